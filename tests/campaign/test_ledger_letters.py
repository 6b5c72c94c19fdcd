"""The letters of a campaign, as delivery asks for them: whose, by which clock, in which thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any, NoReturn

import pytest
import trio

from bulkmail.campaign.ledger import CampaignLedger
from bulkmail.campaign.writers import Writers, threads_for
from bulkmail.delivery.work import Letter, Recipient
from bulkmail.errors import ConfigError
from bulkmail.journal import Journal, Planned, Store, Suppressions, by_column
from bulkmail.journal import Recipient as Stored
from bulkmail.message import Composer, Draft, Tokens
from bulkmail.message.signing_key import SigningKey
from bulkmail.smtp import stuff

DATE = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
TOKENS = Tokens("a secret of at least sixteen characters", "hello")
# the secret key of RFC 8463 appendix A.2, which is no secret any more
KEY = SigningKey.load("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=", domain="acme.test", selector="s1")
PERSONAL = "{{ email }}"
CONSTANT = "Readers <news@acme.test>"


class Desk:
    """A plan of forty, and the ledger of whatever message; the threads in which letters were written."""

    def __init__(self, journal: Journal, suppressions: Suppressions) -> None:
        self._journal, self._suppressions = journal, suppressions
        self.now = DATE.timestamp()
        self.threads: list[threading.Thread] = []
        self.composers: list[Composer] = []
        self.writers: list[Writers] = []

    def ledger(self, *, keys: Sequence[SigningKey] = (), **changes: Any) -> CampaignLedger:
        settings: dict[str, Any] = {
            "from_": "Acme News <news@acme.test>",
            "to": PERSONAL,
            "reply_to": None,
            "subject": "Hello",
            "headers": {},
            "text": "Good morning\n",
            "html": None,
            "campaign": "hello",
            "reverse_path": "news@acme.test",
        }
        composer = Composer(Draft(**(settings | changes)), date=DATE, tokens=TOKENS, keys=keys)
        self.composers.append(composer)
        writers = None
        if count := threads_for(composer):
            writers = Writers(count)
            self.writers.append(writers)
        return CampaignLedger(
            self._journal, composer, self._suppressions, None, now=self._clock, writers=writers
        )

    def _clock(self) -> float:
        self.threads.append(threading.current_thread())
        return self.now

    async def people(self, ledger: CampaignLedger) -> Sequence[Recipient]:
        (people,) = await ledger.fetch([[(1, 40)]])
        return people

    async def letters(self, ledger: CampaignLedger) -> list[Letter]:
        """Everybody has one."""
        written = await ledger.letters(await self.people(ledger))
        assert [one for one in written if isinstance(one, str)] == []
        return [one for one in written if isinstance(one, Letter)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with (
        Store.create(tmp_path / "c.journal", {}) as store,
        Suppressions.open(tmp_path / "project.db") as suppressions,
    ):
        with store.write_plan() as writer:
            rows = [f'{{"first_name": "N{n}"}}' if n != 7 else "{}" for n in range(1, 41)]
            people = [Planned(f"p{n}@a.test", row) for n, row in enumerate(rows, 1)]
            writer.interval("a.test", False, False, people)
        journal = Journal(store)
        desk = Desk(journal, suppressions)
        yield desk
        for writers in desk.writers:
            writers.close()
        journal.close()


def gone(*_: object, **__: object) -> NoReturn:
    """What a composer does where something that every letter needs is not there any more."""
    raise ConfigError("the file went away")


def field(letter: Letter, name: str) -> str:
    return str(message_from_bytes(letter.content, policy=policy.default)[name])


async def test_a_letter_is_the_message_and_ends_the_data(desk: Desk) -> None:
    """I3."""
    ledger = desk.ledger()
    (one, *_), (letter, *_) = await desk.people(ledger), await desk.letters(ledger)
    message = desk.composers[0].letter(one.address, one.fields, id=one.id, now=desk.now)
    assert (letter.content, letter.end_of_data.stuffed) == (message.content, stuff(message.content))


async def test_a_letter_of_his_own_is_put_together_where_it_is_sent_and_not_kept(desk: Desk) -> None:
    ledger = desk.ledger(reverse_path="b+{{ token }}@acme.test")
    (letter, *_) = await desk.letters(ledger)
    assert letter.alone
    assert letter.end_of_data is not letter.end_of_data
    assert letter.size == len(letter.content) == sum(map(len, letter.pieces))


async def test_fields_that_are_read_by_column_give_the_letters_of_each(desk: Desk) -> None:
    cells = ["Ann", "", "a\rb", "Zoë", "x" * 100]
    shapes = {"1": ("email", "name")}
    people = [Stored(n, f"p{n}@a.test", f"1\x1fx\x1f{cell}", shapes) for n, cell in enumerate(cells, 1)]
    assert by_column(people) is not None
    ledger = desk.ledger(text="Dear {{ name }}, {{ name | upper }}\n", subject="{{ email }}")
    letter = desk.composers[0].letter
    alone = [letter(one.address, one.fields, id=one.id, now=desk.now).content for one in people]
    assert [one.content for one in await ledger.letters(people) if isinstance(one, Letter)] == alone


async def test_everybody_gets_his_own_letter(desk: Desk) -> None:
    """I9."""
    letters = await desk.letters(desk.ledger())
    assert [field(letter, "To") for letter in letters] == [f"p{n}@a.test" for n in range(1, 41)]


async def test_the_reverse_path_names_him_whose_letter_it_is(desk: Desk) -> None:
    letters = await desk.letters(desk.ledger(to=CONSTANT, reverse_path="b+{{ token }}@acme.test"))
    locals_ = [letter.reverse_path.local.decode() for letter in letters if letter.reverse_path is not None]
    assert [TOKENS.verify(local.removeprefix("b+")) for local in locals_] == list(range(1, 41))


@pytest.mark.parametrize(
    ("changes", "alone"),
    [
        ({"to": PERSONAL}, True),
        ({"reverse_path": "b+{{ token }}@acme.test"}, True),
        ({"text": "Dear {{ first_name | default('friend') }}\n"}, False),
        ({}, False),
    ],
    ids=["the address", "a token", "a name that others have too", "nothing"],
)
async def test_a_letter_that_nobody_else_may_see_says_so(
    desk: Desk, changes: dict[str, str], alone: bool
) -> None:
    """I9."""
    letters = await desk.letters(desk.ledger(**({"to": CONSTANT} | changes)))
    assert {letter.alone for letter in letters} == {alone}


async def test_a_message_that_is_the_same_for_everybody_is_written_once_whoever_asks(desk: Desk) -> None:
    ledger = desk.ledger(to=CONSTANT, keys=[KEY])
    first, second = await desk.letters(ledger), await desk.letters(ledger)
    assert len({id(letter) for letter in (*first, *second)}) == 1


async def test_letters_that_are_signed_one_by_one_are_written_beside_the_event_loop(desk: Desk) -> None:
    letters = await desk.letters(desk.ledger(keys=[KEY]))
    assert threading.current_thread() not in desk.threads
    assert len({field(letter, "DKIM-Signature") for letter in letters}) == 40


async def test_letters_of_many_shapes_are_written_beside_the_event_loop(desk: Desk) -> None:
    """Each may cost a conversion of HTML, in which no reply would be heard."""
    page = "<p>Good {% if first_name %}morning{% else %}day{% endif %}</p>"
    await desk.letters(desk.ledger(text=None, html=page, on_missing="empty"))
    assert threading.current_thread() not in desk.threads


@pytest.mark.parametrize("keys", [[], [KEY]], ids=["here", "in a thread"])
async def test_what_is_no_rows_fault_settles_nobody(desk: Desk, keys: list[SigningKey]) -> None:
    """Unlike a row without a field."""
    ledger = desk.ledger(keys=keys)
    desk.composers[-1].letters = gone  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="the file went away"):
        await ledger.letters(await desk.people(ledger))


@pytest.mark.parametrize(
    ("to", "keys"), [(PERSONAL, []), (CONSTANT, [KEY])], ids=["unsigned", "signed once for all"]
)
async def test_letters_that_cost_little_are_written_where_they_are_asked_for(
    desk: Desk, to: str, keys: list[SigningKey]
) -> None:
    await desk.letters(desk.ledger(to=to, keys=keys))
    assert desk.threads == [threading.current_thread()]


async def test_sessions_that_ask_at_the_same_time_get_what_each_of_them_asked_for(desk: Desk) -> None:
    """I9."""
    ledger = desk.ledger(keys=[KEY])
    people = await desk.people(ledger)
    got: dict[int, str] = {}

    async def ask(first: int) -> None:
        mine = people[first : first + 5]
        for one, letter in zip(mine, await ledger.letters(mine), strict=True):
            assert isinstance(letter, Letter)
            got[one.id] = field(letter, "To")

    async with trio.open_nursery() as sessions:
        for first in range(0, 40, 5):
            sessions.start_soon(ask, first)
    assert got == {n: f"p{n}@a.test" for n in range(1, 41)}


async def test_a_row_that_has_no_letter_says_why_and_the_others_have_theirs(desk: Desk) -> None:
    """I8."""
    ledger = desk.ledger(text="Dear {{ first_name }}\n", keys=[KEY])
    written = await ledger.letters(await desk.people(ledger))
    reasons = {place: one for place, one in enumerate(written, 1) if isinstance(one, str)}
    assert (list(reasons), "first_name" in reasons[7]) == ([7], True)


async def test_a_letter_is_dated_when_it_is_written_by_the_hour(desk: Desk) -> None:
    ledger = desk.ledger(to=CONSTANT)
    desk.now += 3 * 3600 + 10
    (letter, *_) = await desk.letters(ledger)
    assert field(letter, "Date") == "Sat, 21 Nov 2026 15:30:00 +0000"


async def test_a_sender_whose_address_needs_smtputf8_says_so_with_each_letter(desk: Desk) -> None:
    """X11."""
    letters = await desk.letters(desk.ledger(from_="Jörg <jörg@acme.test>"))
    assert {letter.smtputf8 for letter in letters} == {True}
