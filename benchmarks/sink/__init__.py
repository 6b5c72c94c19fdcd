"""A sink for benchmarks: a mail server and a name server that cost next to nothing, as a process of its own.

    with sink.running(dns=True) as mx:
        ...                            # mail to mx.host, mx.port; MX and A for every name at mx.dns
        print(mx.counts().recipients)
    print(mx.counts().cpu_s)           # the last ones are kept

The server itself is in C (sink.c says how it works); `build.py` compiles it on demand. It ends when this
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

__all__ = ["CannotBuild", "Counts", "Kept", "Sink", "built", "kept", "running"]

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


class Sink:
    """A running sink. `ca` is the PEM of the authority of its certificate (localhost, 127.0.0.1, ::1)."""

    def __init__(self, process: subprocess.Popen[str], host: str, ca: Path) -> None:
        self.host, self.ca, self.pid = host, ca, process.pid
        self.port = self.dns_port = 0
        self._process = process
        self._last: Counts | None = None

    @property
    def dns(self) -> str:
        """As `delivery.resolvers` wants it."""
        return f"{self.host}:{self.dns_port}"

    def counts(self) -> Counts:
        """Up to now; once it is stopped, the last ones."""
        if self._last is not None:
            return self._last
        self._process.send_signal(signal.SIGUSR1)
        return Counts(**json.loads(self._line()))

    def stop(self) -> None:
        if self._last is None and self._process.poll() is not None:
            raise RuntimeError(f"the sink ended with {self._process.returncode}")
        if self._last is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                rest, _ = self._process.communicate(timeout=STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.communicate()
                raise
            self._last = Counts(**json.loads(rest.splitlines()[-1]))

    def started(self, *, dns: bool) -> None:
        self.port = int(self._line().removeprefix("smtp "))
        if dns:
            self.dns_port = int(self._line().removeprefix("dns "))

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the sink ended with {self._process.wait()}")
        return line


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
    program = built("sink")
    with tempfile.TemporaryDirectory(prefix="sink-") as name:
        folder = Path(name)
        ca = trustme.CA()
        ca.cert_pem.write_to_path(str(folder / "ca.pem"))
        issued = ca.issue_cert("localhost", "127.0.0.1", "::1")
        issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "sink.pem"))
        bracketed = f"[{host}]" if ":" in host else host
        command: list[str | Path] = [program, "--listen", f"{bracketed}:{port}"]
        command += ["--certificate", folder / "sink.pem"] if starttls else ["--no-starttls"]
        command += ["--dns", f"{bracketed}:0"] if dns else []
        command += ["--address", host] if dns and ":" not in host else []
        command += [] if chunking else ["--no-chunking"]
        command += [] if pipelining else ["--no-pipelining"]
        command += ["--unique"] if unique else []
        command += ["--keep", keep] if keep else []
        command += ["--ledger", ledger] if ledger else []
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            sink = Sink(process, host, folder / "ca.pem")
            try:
                sink.started(dns=dns)
                yield sink
            finally:
                sink.stop()


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
