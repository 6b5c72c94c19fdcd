"""How a running campaign is spoken to from another terminal: a socket beside its journal, lines of JSON.

    request   {"do": "pause"}
    answers   {"done": false, …} … {"done": true, …}     one or more, the last one says so

Whoever may read the journal may ask: the socket has mode 0600, and the other end is asked who it is. Only
who holds the campaign's lock listens, so a socket that is there and answers nobody is what a killed run left.

A run that does not listen yet, for it plans or asks its user, finds what is wanted of it in a file: `want`.
This side is the one that asks, without a loop; `listening` is the other.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from bulkmail.errors import CampaignLocked, refusal

Answer = Mapping[str, object]

MOST = 107  # octets of a socket's path that every kernel takes
ANSWERED_S = 30.0  # within which there is a first answer; what follows may be long
LINE = 1 << 22  # octets of an answer
_PEER = struct.Struct("3i")  # pid, uid, gid: what Linux tells of the other end


class NobodyListens(Exception):
    """There is no such socket, or no process behind it."""


def socket_path(journal: Path) -> Path:
    """Where the run of the campaign with this journal listens."""
    name = journal.name + ".control"
    if len(os.fsencode(name)) > MOST - len("/proc/self/fd/9999/"):
        name = blake2b(os.fsencode(journal.name), digest_size=12).hexdigest() + ".control"
    return journal.with_name(name)


def wanted_path(journal: Path, word: str) -> Path:
    """What says that `word` is wanted of a run that does not listen yet: a file for each, so none is lost."""
    return journal.with_name(f"{journal.name}.{word}.wanted")


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """`path` as a socket's address, however long it is. OSError."""
    if len(os.fsencode(path)) <= MOST:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def is_ours(connection: socket.socket) -> bool:
    """Whether the process at the other end is our user's, or root's."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # the mode of the socket has to do
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    return _PEER.unpack(told)[1] in (0, os.geteuid())


def ask(path: Path, request: Mapping[str, object], *, within_s: float = ANSWERED_S) -> Iterator[Answer]:
    """The answers to `request`; as many as the run gives until the last, or until it ends; the first of them
    `within_s`.

    Raises NobodyListens, and CampaignLocked where there is a run that does not answer us.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(within_s)
        try:
            with reachable(path) as address:
                connection.connect(address)
            connection.sendall(json.dumps(request).encode() + b"\n")
        except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError, BrokenPipeError) as error:
            raise NobodyListens from error
        except TimeoutError as error:
            raise CampaignLocked(_DEAF) from error
        except OSError as error:
            raise refusal(error, f"{path}: the run cannot be asked") from error
        with connection.makefile("rb") as lines:
            yield from _answers(connection, lines)


_DEAF = "the run that holds this campaign does not answer; it may be stopped by its process id (see status)"


def _answers(connection: socket.socket, lines: Iterable[bytes]) -> Iterator[Answer]:
    heard = False
    try:
        for line in lines:
            if not line.endswith(b"\n"):
                break  # it was killed in the midst of it
            answer: Answer = json.loads(line)
            heard = True
            connection.settimeout(None)
            yield answer
            if answer["done"]:
                return
    except TimeoutError as error:
        raise CampaignLocked(_DEAF) from error
    except ConnectionResetError:
        pass
    if not heard:  # it ended in this very moment
        raise NobodyListens


def want(journal: Path, word: str) -> None:
    """Of the run that begins to listen next: `pause` or `cancel`. StoreError."""
    path = wanted_path(journal, word)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise refusal(error, f"{path}: cannot be written") from error


def wanted(journal: Path) -> str:
    """What is wanted of this run, "" for nothing; a cancellation counts, whatever else is. Until `unwant`."""
    for word in ("cancel", "pause"):
        if wanted_path(journal, word).exists():
            return word
    return ""


def unwant(journal: Path, word: str) -> bool:
    """Whether `word` was wanted. Not any more."""
    try:
        wanted_path(journal, word).unlink()
    except OSError:
        return False
    return True
