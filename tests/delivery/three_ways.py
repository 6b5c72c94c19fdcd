"""One list, one host that acts by a script, and the way in which messages go to it: who got what in the end.

The script speaks of people and of how many replies the host has given, not of commands, so that it means the
same whether a transaction is said command by command or with seven others in one breath.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from unittest.mock import patch

import trio
from post_office import Post, letter_of, office
from ways import only

from bulkmail import sandbox
from bulkmail.delivery import site
from bulkmail.delivery.work import Letter, Recipient
from bulkmail.sandbox.answers import Event
from bulkmail.sandbox.behaviour import Said
from bulkmail.sandbox.smtp import Conversation
from bulkmail.smtp import Mail, Mailbox, Message, Rcpt

PATIENCE_S = 120.0
CLOSED = Said(raw=b"", close=True)
TAKEN = Said(raw=b"", close=True, accepted=True)  # at the end of data; elsewhere it is only closed
DISMISSED = Said(raw=b"421 4.3.2 going down\r\n")


@dataclass
class Script:
    """`refusals`: who is refused at which stage (MAIL, RCPT or END_OF_DATA), and in which words.

    `endings`: after so many replies, over all connections, instead of the next one.
    """

    refusals: Mapping[int, tuple[str, bytes]] = field(default_factory=dict)
    endings: Mapping[int, Said] = field(default_factory=dict)
    replies: int = 0
    met: int = 0  # endings

    def departure(self, conversation: Conversation, stage: str, event: Event) -> Said | None:
        if stage in ("EHLO", "QUIT"):
            return None
        self.replies += 1
        ending = self.endings.get(self.replies)
        if ending is not None:
            self.met += 1
            return ending
        refused = self.refusals.get(_whom(conversation, event))
        return Said(raw=refused[1] + b"\r\n") if refused is not None and refused[0] == stage else None


def _whom(conversation: Conversation, event: Event) -> int:
    """The id of whom this is about; of several, the first who was accepted; 0 is nobody."""
    if isinstance(event, Mail):
        return _number(event.reverse_path)
    if isinstance(event, Rcpt):
        return int(event.forward_path.local[1:])
    if isinstance(event, Message):
        accepted = conversation._answers._recipients
        return int(accepted[0].partition("@")[0][1:]) if accepted else 0
    return 0


def _number(path: Mailbox | None) -> int:
    tag = b"0" if path is None else path.local.partition(b"+")[2]
    return int(tag) if tag.isdigit() else 0


def shared_letter(one: Recipient) -> Letter:
    """The same for everybody."""
    return Letter(Mailbox.parse("news@acme.test"), (b"To: readers@acme.test\r\n\r\nHello\r\n",))


@dataclass
class Came:
    """What a run brought: the fates by our word, and what the host has."""

    post: Post
    ledger: sandbox.Ledger
    script: Script

    @property
    def fates(self) -> dict[int, str]:
        return dict(sorted(self.post.verdicts.items()))

    @property
    def in_doubt(self) -> int:
        return sum(fate == "in_doubt" for fate in self.fates.values())

    def copies(self, number: int) -> int:
        return self.ledger.copies[f"p{number}@a.test"]

    def check(self, count: int) -> None:
        """What must hold whatever happened: nobody lost, nobody twice, nobody under another's name."""
        assert list(self.fates) == list(range(1, count + 1))
        for number, fate in self.fates.items():
            expected = {"delivered": {1}, "in_doubt": {0, 1}}.get(fate, {0})
            assert self.copies(number) in expected, f"{number} is {fate}: {self.copies(number)} copies"
        for message in self.ledger.messages:
            if message.reverse_path != "news@acme.test":
                number = message.reverse_path.partition("@")[0].partition("+")[2]
                assert message.recipients == (f"p{number}@a.test",)
                assert f"Hello {number}\r\n".encode() in message.content
        assert self.post.open == {}, "intents that nobody closed"


@contextmanager
def in_pieces() -> Iterator[None]:
    """The host says what it thinks of each message at once, and then others have their turn."""
    answer = Conversation._answer

    async def say_it(self: Conversation, event: Event) -> None:
        await answer(self, event)
        if isinstance(event, Message):
            await self._flush()
            for _ in range(5):
                await trio.lowlevel.checkpoint()

    with patch.object(Conversation, "_answer", say_it):
        yield


def run(
    script: Script,
    count: int,
    way: str | None = None,
    *,
    at_once: int = 8,
    shared: int = 0,
    patient: bool = False,
    pieces: bool = False,
    without: tuple[str, ...] = (),
    write: Callable[[Recipient], Letter] = letter_of,
    **limits: float,
) -> Came:
    """Send to so many people. `shared`: so many to a transaction; `patient`: the site is never given up.

    `pieces`: the answers to messages in flight come one by one. `way` None: as the session decides.
    """
    post = Post(shared_letter if shared else write)
    world = sandbox.World()
    world.domain("a.test").extensions(without=without).reply("VRFY", b"252 whatever")

    async def deliver() -> None:
        with trio.fail_after(PATIENCE_S):
            async with office(world, post) as there:
                most = {"recipients_per_transaction": shared} if shared else {}
                await there.deliver(count, there.dispatcher(**(most | limits)), shared=bool(shared))

    def departure(conversation: Conversation, stage: str, event: Event) -> Said | None:
        return script.departure(conversation, stage, event)

    with (
        patch.object(Conversation, "_departure", departure),
        patch.object(site, "STRIKES", 10**9 if patient else site.STRIKES),
        in_pieces() if pieces else nullcontext(),
    ):
        if way is None:
            trio.run(deliver)
        else:
            with only(way, at_once):
                trio.run(deliver)
    return Came(post, world.ledger, script)
