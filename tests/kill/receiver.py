"""The receiving side: a process of its own that serves a world and keeps the count of what it accepted.

It outlives every runner. Each accepted transaction is a line on disk before its 250, and a byte in a pipe, by
which the harness sets the moment of a kill. On a byte from the harness it waits until the last conversation
is over and answers; when the harness has gone, it ends.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import trio

from bulkmail import sandbox
from bulkmail.sandbox.ledger import Ledger, Presence, Received, Session
from tests.kill.scenario import Scenario

QUIET_S = 20.0  # a conversation whose client is dead ends at once; longer than this is a bug of the sandbox


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy that the receiving side took."""

    to: str
    helo: str  # names the run
    host: str


class TellingLedger(Ledger):
    """A ledger that writes a byte to `told` for each transaction, and knows which conversations are open."""

    def __init__(self, told: int) -> None:
        super().__init__("ledger")
        self._told = told
        self.conversing: set[int] = set()

    def connected(
        self, host: str, sites: Iterable[str], is_open: Callable[[], bool]
    ) -> tuple[Session, Presence]:
        session, presence = super().connected(host, sites, is_open)
        self.conversing.add(session.id)
        return session, presence

    def left(self, session: Session, presence: Presence) -> None:
        super().left(session, presence)
        self.conversing.discard(session.id)

    def accept(self, received: Received) -> None:
        super().accept(received)
        os.write(self._told, b".")


class Receiver:
    """The harness's end. Made by forking: there must be no threads and no loop running."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self._folder = folder
        read_hello, write_hello = os.pipe()
        read_ask, write_ask = os.pipe()
        read_told, write_told = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.close(write_ask)
                trio.run(_serve, scenario, folder, write_hello, read_ask, write_told)
                code = 0
            finally:
                os._exit(code)
        for descriptor in (write_hello, read_ask, write_told):
            os.close(descriptor)
        self._hello, self._ask = read_hello, write_ask
        self.told = read_told  # a byte for each accepted transaction
        os.set_blocking(read_told, False)
        resolver, port = os.read(read_hello, 100).decode().split()
        self.resolver, self.port = resolver, int(port)

    def drain(self) -> int:
        """Transactions accepted since the last call."""
        count = 0
        try:
            while data := os.read(self.told, 65536):
                count += len(data)
        except BlockingIOError:
            pass
        return count

    def quiet(self) -> None:
        """Return when every conversation is over, so that the ledger is final for the runs until now."""
        os.write(self._ask, b"?")
        if os.read(self._hello, 1) != b"!":
            raise AssertionError("the receiving side did not come to rest")

    def copies(self) -> list[Copy]:
        """Everything that was accepted, recipient by recipient."""
        found: list[Copy] = []
        with (self._folder / "ledger.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                if not line.endswith("\n"):
                    break  # being written at this instant
                entry = json.loads(line)
                if entry["event"] == "accepted":
                    found += [Copy(to, entry["helo"], entry["host"]) for to in entry["to"]]
        return found

    def close(self) -> None:
        for descriptor in (self._ask, self._hello, self.told):
            os.close(descriptor)
        os.waitpid(self.pid, 0)


async def _serve(scenario: Scenario, folder: Path, hello: int, ask: int, told: int) -> None:
    world = scenario.world()
    ledger = world.ledger = TellingLedger(told)
    async with sandbox.serve(world, directory=folder) as running, trio.lowlevel.FdStream(ask) as asked:
        os.write(hello, f"{running.dns[0]}:{running.dns[1]} {running.smtp_port}".encode())
        async for questions in asked:
            for _ in questions:
                with trio.move_on_after(QUIET_S):
                    # a connection that the kernel holds for us is seen only when it is accepted
                    while ledger.conversing or await _still(ledger):  # noqa: ASYNC110
                        await trio.sleep(0.001)
                    os.write(hello, b"!")
                    continue
                return


async def _still(ledger: TellingLedger) -> bool:
    """Whether a conversation begins within a few milliseconds, for which there is no event."""
    await trio.sleep(0.005)
    return bool(ledger.conversing)
