"""The receiving side: a process of its own that serves a world and keeps the count of what it accepted.

It outlives every runner. Each accepted transaction is a line on disk before its 250, and a byte in a pipe, by
which the harness sets the moment of a kill; so is who is connected, and named by RCPT, with the time. What
the harness asks is a line of JSON, and so is the answer; when the harness has gone, it ends.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import trio

from bulkmail import sandbox
from bulkmail.sandbox.ledger import Ledger, Presence, Received, Session
from tests.kill.scenario import Scenario
from tests.kill.steps import Step, Steps, watch

QUIET_S = 20.0  # a conversation whose client is dead ends at once; longer than this is a bug of the sandbox


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy that the receiving side took."""

    to: str
    helo: str  # names the run
    host: str
    client: str = ""  # the address that it came from


class TellingLedger(Ledger):
    """A ledger that writes a byte to `told` for each transaction, and knows which conversations are open."""

    def __init__(self, told: int) -> None:
        super().__init__("ledger")
        self._told = told
        self.conversing: set[int] = set()

    def connected(
        self, host: str, sites: Iterable[str], is_open: Callable[[], bool], client: str = ""
    ) -> tuple[Session, Presence]:
        session, presence = super().connected(host, sites, is_open, client)
        self.conversing.add(session.id)
        now = time.monotonic_ns()
        noted = {"event": "connected", "ns": now, "session": session.id, "host": host, "client": client}
        self._line(noted)
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
            except BaseException:
                traceback.print_exc()  # whoever waits for an answer would only learn that it has gone
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
        if not self._question("quiet"):
            raise AssertionError("the receiving side did not come to rest")

    def arm(self, pid: int, step: Step | None) -> None:
        """The run of `pid` begins, at whose `step` something is to happen. Steps are counted from here."""
        self._question("arm", pid, None if step is None else asdict(step))

    def steps(self) -> tuple[int, dict[str, Any]]:
        """How many there were since `arm`, and what was done at the one that was told."""
        count, done = cast("tuple[int, dict[str, Any]]", self._question("steps"))
        return count, done

    def _question(self, *words: object) -> object:
        os.write(self._ask, json.dumps(words).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            data = os.read(self._hello, 65536)
            if not data:
                raise AssertionError("the receiving side has gone")
            answer += data
        return json.loads(answer)

    def connected(self, since_ns: int, until_ns: int) -> Counter[str]:
        """How many connections to each host began between these times, by the monotonic clock."""
        return Counter(
            entry["host"]
            for entry in self._entries()
            if entry["event"] == "connected" and since_ns <= entry["ns"] <= until_ns
        )

    def copies(self) -> list[Copy]:
        """Everything that was accepted, recipient by recipient."""
        clients: dict[int, str] = {}
        found: list[Copy] = []
        for entry in self._entries():
            if entry["event"] == "connected":
                clients[entry["session"]] = entry["client"]
            elif entry["event"] == "accepted":
                client = clients[entry["session"]]
                found += [Copy(to, entry["helo"], entry["host"], client) for to in entry["to"]]
        return found

    def _entries(self) -> Iterator[dict[str, Any]]:
        with (self._folder / "ledger.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                if not line.endswith("\n"):
                    break  # being written at this instant
                yield json.loads(line)

    def close(self) -> None:
        for descriptor in (self._ask, self._hello, self.told):
            os.close(descriptor)
        os.waitpid(self.pid, 0)


async def _serve(scenario: Scenario, folder: Path, hello: int, ask: int, told: int) -> None:
    world = scenario.world()
    ledger = world.ledger = TellingLedger(told)
    steps = Steps()
    watch(steps)
    async with sandbox.serve(world, directory=folder) as running, trio.lowlevel.FdStream(ask) as asked:
        os.write(hello, f"{running.dns[0]}:{running.dns[1]} {running.smtp_port}".encode())
        async for questions in asked:  # the harness waits for each answer, so it is one, and whole
            answer: object = True
            match json.loads(questions):
                case ["quiet"]:
                    answer = await _quiet(ledger)
                case ["arm", pid, step]:
                    steps.arm(pid, None if step is None else Step(**step))
                case ["steps"]:
                    answer = steps.count, steps.done
            os.write(hello, json.dumps(answer).encode() + b"\n")


async def _quiet(ledger: TellingLedger) -> bool:
    with trio.move_on_after(QUIET_S):
        # a connection that the kernel holds for us is seen only when it is accepted
        while ledger.conversing or await _still(ledger):  # noqa: ASYNC110
            await trio.sleep(0.001)
        return True
    return False


async def _still(ledger: TellingLedger) -> bool:
    """Whether a conversation begins within a few milliseconds, for which there is no event."""
    await trio.sleep(0.005)
    return bool(ledger.conversing)
