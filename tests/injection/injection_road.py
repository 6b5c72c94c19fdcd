"""bulkmail's whole way from rows to the octets on the wire, in one process and without a network.

The list is a file, the plan is made by the code of a run, the letters come from the store through the
composer, and each of the three ways of delivery says them (`delivery.convey`, `delivery.transaction`)
through the sans-IO client. Only sockets are left out: `Line` hands the octets to a host, in pieces, and its
replies back.
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import trio
from hostile_rows import Row

from bulkmail.campaign.listing import ListSpec
from bulkmail.campaign.plan import make_plan
from bulkmail.delivery import convey
from bulkmail.delivery.consignment import Consignment, Turn
from bulkmail.delivery.disposition import Fate
from bulkmail.delivery.transaction import Transacted
from bulkmail.delivery.work import Letter, Listed, Parcel
from bulkmail.journal import LEFT_OUT, Recipient, Store, Suppressions, by_column
from bulkmail.message import Composer
from bulkmail.message.draft import Attachment, Draft, MailingList, Unsubscribe
from bulkmail.message.token import Tokens
from bulkmail.smtp import ClientProtocol, Ehlo, Extensions, Quit, Reply, paths_of
from bulkmail.smtp.client import Said, ends_group
from bulkmail.transport.flight import Flight

DATE = datetime(2026, 11, 22, tzinfo=UTC)
TOKENS = Tokens("a secret of more than sixteen characters", "hostile")
OPENS, CLOSES = "OPENS", "CLOSES"
TEXT = f"Dear {{{{ name }}}},\n\n{OPENS}{{{{ words }}}}{CLOSES}\n.\n{{{{ city }}}}\n-- \nend\n"
HTML = (
    "<html><body><p>Dear {{ name }},</p>\n"
    f'<p title="{OPENS}{{{{ words }}}}{CLOSES}">{OPENS}{{{{ words }}}}{CLOSES}</p>\n</body></html>\n'
)
COMMON: dict[str, object] = {
    "from_": "Acme News <news@acme.test>",
    "to": "{{ name }} <{{ email }}>",
    "reply_to": None,
    "subject": "{{ name }}: {{ city }}",
    "headers": {"X-City": "{{ city }}"},
    "text": TEXT,
    "html": None,
    "campaign": "hostile",
    "on_missing": "fail",
}
SHAPES: dict[str, dict[str, object]] = {
    "text": {},
    "html": {
        "html": HTML,
        "reply_to": "{{ name }} <answers@acme.test>",
        "attachments": (Attachment("Invoice {{ city }}.txt", b"terms\r\n.\r\n", "text/plain"),),
    },
    "constant": {"to": "All <all@acme.test>", "subject": "News", "headers": {}, "text": "Hello.\n.\nend\n"},
    "marketing": {
        "html": HTML.replace("</body>",
        '<p><a href="{{ unsubscribe_url }}">Leave</a>, {{ list.postal_address }}</p></body>'),
        "kind": "marketing",
        "list_": MailingList("weekly.acme.test", "Acme, 1 Main St"),
        "unsubscribe": Unsubscribe("https://u.acme.test/{{ token }}", "unsub@acme.test"),
        "reverse_path": "bounces+{{ token }}@acme.test",
    },
}  # fmt: skip


def composer(shape: str) -> Composer:
    return Composer(Draft(**(COMMON | SHAPES[shape])), date=DATE, tokens=TOKENS)  # type: ignore[arg-type]


def objects_of(rows: Sequence[Row]) -> bytes:
    """The same list as JSON, an object a line."""
    return b"".join(
        json.dumps({"email": row.email, "name": row.name, "city": row.city, "words": row.words}).encode()
        + b"\n"
        for row in rows
    )


def list_of(rows: Sequence[Row]) -> bytes:
    """As a program writes them that quotes what has to be quoted."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(["email", "name", "city", "words"])
    writer.writerows((row.email, row.name, row.city, row.words) for row in rows)
    return out.getvalue().encode("utf-8", "surrogateescape")


class Planned(NamedTuple):
    totals: dict[str, int]
    left_out: int
    people: Sequence[Recipient]


@contextmanager
def planned(rows: Sequence[Row], made: Composer, folder: Path, *, objects: bool = False) -> Iterator[Planned]:
    """The plan of a list with these rows."""
    name = "people.jsonl" if objects else "people.csv"
    (folder / name).write_bytes(objects_of(rows) if objects else list_of(rows))
    with (
        Suppressions.open(folder / "project.db") as suppressions,
        Store.create(folder / "test.journal", {"campaign": "hostile"}) as store,
    ):
        spec = ListSpec([name], base=folder)
        make_plan(spec, made, store, suppressions, folder=folder / "spill")
        totals = dict(store.totals())
        open_ = totals["source"] - sum(totals[state] for state in LEFT_OUT)
        left_out = sum(1 for state in LEFT_OUT for _ in store.export(state))
        yield Planned(totals, left_out, store.fetch([(1, open_)]) if open_ else [])


class Addressed(NamedTuple):
    """A letter and the recipients that the plan has it for: of a personal one, one."""

    people: Sequence[Recipient]
    letter: Letter

    @property
    def addresses(self) -> list[str]:
        return [person.address for person in self.people]


def letters(made: Composer, people: Sequence[Recipient]) -> list[Addressed]:
    """As `CampaignLedger` makes them. Raises what the composer gives instead of a letter: the plan has
    checked.
    """
    found = []
    for person, composed in zip(people, made.letters(people, columns=by_column), strict=True):
        if isinstance(composed, Exception):
            raise composed
        found.append(Addressed([person], Letter(*composed, bool(made.unique))))
    if made.personal or not found:
        return found
    return [Addressed(people[at : at + SHARED], found[0].letter) for at in range(0, len(people), SHARED)]


Hear = Callable[[bytes], bytes]


class Line:
    """In place of a Connection: what delivery says goes to `hear` in pieces, what that answers comes back."""

    failure = None

    def __init__(self, hear: Hear, chance: random.Random, greeting: bytes) -> None:
        self.lockstep = False
        self.wire = 0  # octets
        self._hear, self._chance = hear, chance
        self._client = ClientProtocol()
        self._client.receive(greeting)
        self._said: list[tuple[Said, list[Reply]]] = []  # and not told of yet
        ehlo = Ehlo("out.acme.test")
        self._client.receive(hear(self._client.send(ehlo)))

    @property
    def extensions(self) -> Extensions:
        return self._client.extensions

    @property
    def usable(self) -> bool:
        return self._client.idle

    quiet = True  # the host says nothing that it was not asked for

    def expect(self) -> None:
        """It is not even looked at."""

    def abandon(self) -> None:
        raise AssertionError("a connection was given up")

    async def exchange(self, commands: Sequence[Said]) -> Flight:
        await self.say(commands)
        return await self.hear()

    async def say(self, commands: Sequence[Said]) -> None:
        """To the host, whose replies are all here then, and told of by `hear`."""
        self._said += [(command, []) for command in commands]
        group = b""
        for number, command in enumerate(commands):
            group += self._client.send(command)
            last = number + 1 == len(commands)
            if last or ends_group(command) or not self._client.extensions.pipelining:
                for answer in self._client.receive(self._hear_in_pieces(group)):
                    (replies,) = [replies for one, replies in self._said if one is answer.command]
                    replies += answer.replies
                group = b""

    async def hear(self, leaving: int = 0) -> Flight:
        """As if the last `leaving` were not answered yet."""
        told = self._said[: len(self._said) - leaving]
        del self._said[: len(told)]
        replies = tuple([reply for _, replies in told for reply in replies])
        return Flight(replies, True, None, len(told), all(reply.positive for reply in replies))

    async def quit(self) -> None:
        await self.exchange([Quit()])

    def _hear_in_pieces(self, data: bytes) -> bytes:
        self.wire += len(data)
        if self._chance.random() < 0.7:
            return self._hear(data)
        cuts = sorted(self._chance.choices(range(len(data) + 1), k=3))
        return b"".join(
            [self._hear(data[start:end]) for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        )


WAYS = {"plain": convey.plain, "riding": convey.riding, "whole": convey.whole}
WINDOW = 8
SHARED = 20  # recipients of one transaction


def deliver(addressed: Sequence[Addressed], line: Line, way: str) -> None:
    """All letters over one connection. Raises AssertionError where delivery believes that one was not
    taken.
    """

    async def carry() -> None:
        turn = _Turn([_consignment(one, number) for number, one in enumerate(addressed)])
        while coming := await turn.more():
            await WAYS[way](line, coming, turn)  # type: ignore[arg-type]
        await line.quit()

    trio.run(carry)


class _Turn(Turn):
    """All of them, WINDOW in flight; each is delivered."""

    def __init__(self, todo: Sequence[Consignment]) -> None:
        self._todo = list(todo)[::-1]
        self._flying = 0

    async def more(self) -> Sequence[Consignment]:
        coming = [self._todo.pop() for _ in range(min(WINDOW - self._flying, len(self._todo)))]
        self._flying += len(coming)
        return coming

    def tell(self, told: Sequence[tuple[Consignment, Transacted]]) -> bool:
        for _, done in told:
            assert {fate.fate for fate in done.fates} == {Fate.DELIVERED}, done
        self._flying -= len(told)
        return True


def _consignment(one: Addressed, number: int) -> Consignment:
    roll = Listed(one.people)
    parcel = Parcel("a.test", [(roll.ids[0], roll.ids[-1])], shared=len(roll) > 1)
    return Consignment(parcel, roll, paths_of(roll.addresses), one.letter, number)
