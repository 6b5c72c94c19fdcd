"""A sink for benchmarks: a mail server and a name server that cost next to nothing, as a process of its own.

    with sink.running(dns=True) as mx:
        ...                            # mail to mx.host, mx.port; MX and A for every name at mx.dns
        print(mx.counts().recipients)
    print(mx.counts().cpu_s)           # the last ones are kept
    with sink.delayed(mx.host, mx.port, rtt_ms=50) as road:
        ...                            # the same server, further away, at road.host, road.port

They are in C (sink.c and delay.c say how they work); build.py compiles them on demand. They end when this
process does, however that happens.
"""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from .build import CannotBuild, built

__all__ = ["CannotBuild", "Counts", "Kept", "Road", "Sink", "built", "delayed", "kept", "running"]

STOP_S = 10.0  # to write its last line; afterwards it is killed


@dataclass(frozen=True)
class Counts:
    """What a sink has seen. Times are of CLOCK_MONOTONIC (`time.monotonic()`), None where nothing came."""

    connections: int
    open: int  # of them, now
    tls: int  # handshakes
    transactions: int  # messages accepted
    recipients: int  # theirs
    octets: int  # of their content
    rcpts: int  # RCPT accepted, whatever became of the message
    replies: int
    refused: int  # of them, 4yz and 5yz
    early: int  # commands, or content, that did not wait for a reply which they had to wait for
    queries: int  # DNS
    first_rcpt: float | None
    last_rcpt: float | None
    last_message: float | None
    cpu_s: float  # user and system


class Program:
    """One of the C programs, running: it prints a line for each port it has, and its counters at the end."""

    def __init__(self, process: subprocess.Popen[str], name: str) -> None:
        self.pid = process.pid
        self._process, self._name = process, name
        self._end: str | None = None

    def line(self) -> str:
        """The next one that it prints. Raises RuntimeError where it has ended instead."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the {self._name} ended with {self._process.wait()}")
        return line

    def port(self, kind: str) -> int:
        return int(self.line().removeprefix(kind))

    def report(self) -> str:
        """Its counters up to now; once it is stopped, the last ones."""
        if self._end is not None:
            return self._end
        self._process.send_signal(signal.SIGUSR1)
        return self.line()

    def stop(self) -> None:
        if self._end is not None:
            return
        if self._process.poll() is not None:
            raise RuntimeError(f"the {self._name} ended with {self._process.returncode}")
        self._process.send_signal(signal.SIGTERM)
        try:
            rest, _ = self._process.communicate(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise
        self._end = rest.splitlines()[-1]


@contextmanager
def program(name: str, *arguments: str | Path) -> Iterator[Program]:
    """That program while the block lasts. Raises CannotBuild."""
    command = [built(name), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        running = Program(process, name)
        try:
            yield running
        finally:
            running.stop()


@dataclass(frozen=True)
class Sink:
    """A running sink. `ca` is the PEM of the authority of its certificate (localhost, 127.0.0.1, ::1)."""

    host: str
    port: int
    dns_port: int
    ca: Path
    program: Program

    @property
    def pid(self) -> int:
        return self.program.pid

    @property
    def dns(self) -> str:
        """As `delivery.resolvers` wants it."""
        return f"{self.host}:{self.dns_port}"

    def counts(self) -> Counts:
        """Up to now; once it is stopped, the last ones."""
        return Counts(**json.loads(self.program.report()))

    def stop(self) -> None:
        """Earlier than at the end of its block."""
        self.program.stop()


@contextmanager
def running(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    dns: bool = False,
    starttls: bool = True,
    chunking: bool = True,
    pipelining: bool = True,
    unique: bool = False,
    keep: Path | None = None,
    ledger: Path | None = None,
) -> Iterator[Sink]:
    """A sink while the block lasts. Raises CannotBuild.

    `unique` gives each message a queue id of its own; `keep` is a folder that gets every message (`kept`
    reads it), `ledger` a file that gets each recipient of every message accepted, a line each.
    """
    with tempfile.TemporaryDirectory(prefix="sink-") as name:
        folder = Path(name)
        ca = trustme.CA()
        ca.cert_pem.write_to_path(str(folder / "ca.pem"))
        issued = ca.issue_cert("localhost", "127.0.0.1", "::1")
        issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "sink.pem"))
        bracketed = f"[{host}]" if ":" in host else host
        options: list[str | Path] = ["--listen", f"{bracketed}:{port}"]
        options += ["--certificate", folder / "sink.pem"] if starttls else ["--no-starttls"]
        options += ["--dns", f"{bracketed}:0"] if dns else []
        options += ["--address", host] if dns and ":" not in host else []
        options += [] if chunking else ["--no-chunking"]
        options += [] if pipelining else ["--no-pipelining"]
        options += ["--unique"] if unique else []
        options += ["--keep", keep] if keep else []
        options += ["--ledger", ledger] if ledger else []
        with program("sink", *options) as sink:
            smtp_port = sink.port("smtp ")
            yield Sink(host, smtp_port, sink.port("dns ") if dns else 0, folder / "ca.pem", sink)


@dataclass(frozen=True)
class Road:
    """To a server, through a round trip of some length."""

    host: str
    port: int
    program: Program


@contextmanager
def delayed(host: str, port: int, *, rtt_ms: float) -> Iterator[Road]:
    """A road to that server while the block lasts: delay.c says what it does. Raises CannotBuild."""
    to = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    with program("delay", "--to", to, "--rtt-ms", f"{rtt_ms}") as road:
        yield Road("127.0.0.1", road.port("port "), road)


@dataclass(frozen=True)
class Kept:
    """A message as a sink took it. Envelope commands are as the client wrote them, without their verb."""

    connection: int
    tls: bool
    mail: bytes  # FROM:<…> and the parameters
    forward_paths: tuple[bytes, ...]
    content: bytes


def kept(folder: Path) -> Iterable[Kept]:
    """In the order in which they were accepted."""
    for path in sorted(folder.iterdir()):
        envelope, _, content = path.read_bytes().partition(b"\n\n")
        head, mail, *rcpt = envelope.split(b"\n")
        _, number, how = head.split(b" ")
        paths = tuple(line.removeprefix(b"RCPT TO:<").removesuffix(b">") for line in rcpt)
        yield Kept(int(number), how == b"tls", mail.removeprefix(b"MAIL "), paths, content)
