"""What all foreign mail servers have in common: a child process, a maildir, a log, a certificate.

Each server runs from the folder that install.sh filled, with everything that it writes below one temporary
folder of its own. That folder is in the system's place for temporary files and not in pytest's, which nobody
but the owner may enter: the servers drop their privileges. The log is copied to pytest's when the test ends.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import trio
import trustme

CHECKOUT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("BULKMAIL_FOREIGN") or CHECKOUT / ".cache/foreign")
GREETS_WITHIN_S = 30
STOPS_WITHIN_S = 10


class NotInstalled(Exception):
    """This server cannot run here. The message says what is missing."""


class Delivered(NamedTuple):
    """What lies in a mailbox: for whom by the envelope, and the content with CRLF, as it was sent."""

    recipients: tuple[str, ...]
    content: bytes


class LogEntry(NamedTuple):
    """What the server's own log says of one recipient. `queue_id` is "" where none was given."""

    address: str
    queue_id: str
    status: str  # delivered, deferred, bounced, or refused (at RCPT)


@dataclass
class ForeignServer:
    """A server that runs. `ca_pem` signed its certificate for `hostname`; "" without TLS."""

    name: str
    hostname: str
    address: str
    port: int
    ca_pem: str
    folder: Path
    log: Path
    maildir: Path
    # Reads one file of the maildir, and the log: each server has its own way to write them.
    read_message: Callable[[bytes], Delivered]
    read_log: Callable[[str], list[LogEntry]]
    # Where it can show its queue: how, and the recipients of each message in what is shown then.
    show_queue: Sequence[str | Path] = ()
    read_queue: Callable[[str], list[tuple[str, ...]]] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    pid: int = 0  # everything of it descends from this process
    _read: dict[str, Delivered] = field(default_factory=dict)

    def messages(self) -> list[Delivered]:
        """Everything that was delivered until now, one entry for each recipient or several."""
        for path in (self.maildir / "new").glob("*"):
            if path.name not in self._read:
                self._read[path.name] = self.read_message(path.read_bytes())
        return list(self._read.values())

    def queued(self) -> list[tuple[str, ...]]:
        """The recipients of each message that it has accepted and not delivered yet, by its own tool."""
        assert self.read_queue is not None
        command = [*map(str, self.show_queue)]
        shown = subprocess.run(command, check=True, capture_output=True, text=True, env=self.environment)
        return self.read_queue(shown.stdout)

    def log_entries(self) -> list[LogEntry]:
        return self.read_log(self.log.read_text(errors="replace")) if self.log.exists() else []

    async def settled(self, recipients: int) -> None:
        """Wait until so many recipients are in mailboxes and in the log: servers deliver after they answer.

        The caller owns the deadline.
        """
        while True:
            delivered = sum(len(message.recipients) for message in self.messages())
            logged = sum(entry.status == "delivered" for entry in self.log_entries())
            if delivered >= recipients and logged >= recipients:
                return
            await trio.sleep(0.05)


def unpacked(*parts: str) -> Path:
    """The path of something that install.sh unpacked. Raises NotInstalled."""
    path = FOLDER.joinpath(*parts)
    if not path.exists():
        raise NotInstalled(f"{parts[0]} is not unpacked: run tests/foreign/install.sh")
    if os.geteuid() != 0:
        raise NotInstalled(f"{parts[0]} runs only where root starts it")
    return path


def library_path(*folders: Path) -> str:
    """For LD_LIBRARY_PATH: `folders`, and the libraries that this machine does not have itself."""
    libraries = FOLDER / "lib/usr/lib"
    return ":".join(map(str, [*folders, *sorted(libraries.glob("*-linux-gnu*")), libraries]))


@dataclass(frozen=True)
class Certificate:
    chain: Path  # the certificate and its key belong to root alone
    key: Path
    ca_pem: str


def certify(folder: Path, hostname: str, ca: trustme.CA | None) -> Certificate:
    ca = ca or trustme.CA()
    issued = ca.issue_cert(hostname)
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    key.chmod(0o600)
    return Certificate(chain, key, ca.cert_pem.bytes().decode())


@asynccontextmanager
async def workplace(name: str, keep: Path, under: Path | None = None) -> AsyncIterator[Path]:
    """A temporary folder that everybody may enter; what is in its `log` ends up in `keep`."""
    folder = Path(tempfile.mkdtemp(prefix=f"bulkmail-{name}-", dir=under))
    try:
        os.chmod(folder, 0o755)
        os.mkdir(folder / "log")
        yield folder
    finally:
        shutil.copytree(folder / "log", keep / f"{folder.name}.log", dirs_exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)  # a delivery may still be dying in it


def make_maildir(path: Path, uid: int, gid: int) -> Path:
    for folder in (path, path / "new", path / "cur", path / "tmp"):
        folder.mkdir(mode=0o700)
        os.chown(folder, uid, gid)
    return path


@asynccontextmanager
async def running(
    command: Sequence[str | Path], server: ForeignServer, *, environment: dict[str, str] | None = None
) -> AsyncIterator[ForeignServer]:
    """Run `command` until the block ends; the block begins when the server greets."""
    server.environment = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", **(environment or {})}
    console = server.folder / "log" / "console"
    with console.open("wb") as output:
        # setpriv ends the server with us, whatever ends us. From this thread, because that is whose death
        # counts: in a thread of trio's the server would be gone with it after ten idle seconds.
        process = subprocess.Popen(  # noqa: ASYNC220
            ["setpriv", "--pdeathsig", "TERM", *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=server.folder,
            env=server.environment,
        )
    server.pid = process.pid
    try:
        with trio.fail_after(GREETS_WITHIN_S):
            while not await _greets(server.address, server.port):
                if process.poll() is not None:
                    raise RuntimeError(f"{server.name} ended at once:\n{_said(server)}")
                await trio.sleep(0.02)
        yield server
    except trio.TooSlowError:
        raise RuntimeError(f"{server.name} does not greet:\n{_said(server)}") from None
    finally:
        process.terminate()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(_wait, process)


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(STOPS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _said(server: ForeignServer) -> str:
    return "\n".join(path.read_text(errors="replace") for path in sorted((server.folder / "log").glob("*")))


async def _greets(address: str, port: int) -> bool:
    try:
        stream = await trio.open_tcp_stream(address, port)
    except OSError:
        return False
    async with stream:
        try:
            greeting = b""
            while not greeting.endswith(b"\n"):
                data = await stream.receive_some()
                if not data:
                    return False
                greeting += data
            await stream.send_all(b"QUIT\r\n")
        except trio.BrokenResourceError:
            return False
        return greeting.startswith(b"220")


def split_trace(stored: bytes, names: Sequence[bytes]) -> tuple[dict[bytes, bytes], bytes]:
    """The headers that the server put in front, by lower-case name, and the content as it was sent.

    `names` (lower-case) are what it adds, each once and all of them before the first header of the content.
    """
    content = stored.replace(b"\n", b"\r\n")
    found: dict[bytes, bytes] = {}
    while True:
        name, colon, _ = content.partition(b":")
        name = name.lower()
        if not colon or name not in names or name in found:
            return found, content
        end = content.index(b"\r\n") + 2
        while content[end : end + 1] in (b" ", b"\t"):
            end = content.index(b"\r\n", end) + 2
        found[name] = content[len(name) + 1 : end].strip()
        content = content[end:]
