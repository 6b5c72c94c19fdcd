"""The side of a running campaign that is spoken to (`control` is the other): one task for each who asks.

What makes no sense is answered with what would; whoever goes away is not waited for. A socket that cannot be
made is told, and the run goes on without.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from bulkmail.campaign.control import Answer, is_ours, reachable

REQUEST = 4_096  # octets of a request, at most
ASKING_S = 10.0  # for which somebody may think about it
PARTING_S = 2.0  # for the last answers, once the run is over
BACKLOG = 16

Reply = Callable[[Answer], Awaitable[None]]
Heed = Callable[[Mapping[str, object], Reply], Awaitable[None]]


@asynccontextmanager
async def listening(path: Path, heed: Heed, *, warn: Callable[[str], None]) -> AsyncIterator[None]:
    """Answer whoever asks at `path`, as `heed` does. The campaign's lock is ours.

    `heed` is cancelled where who has asked goes away. At the end those who are being answered have PARTING_S.
    """
    try:
        listener = _listen(path)
    except OSError as error:
        warn(
            f"{path}: no socket can be made here ({error.strerror}): pause, resume, cancel and top cannot "
            "speak to this run; Ctrl-C stops it"
        )
        yield
        return
    try:
        async with trio.open_nursery() as serving, trio.open_nursery() as accepting:
            accepting.start_soon(_accept, listener, heed, serving)
            yield
            accepting.cancel_scope.cancel()
            serving.cancel_scope.deadline = trio.current_time() + PARTING_S
    finally:
        listener.close()
        _remove(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _listen(path: Path) -> trio.socket.SocketType:
    """Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()  # of a run that was killed
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(listener.fileno(), 0o600)  # on Linux it is made so, and nobody is quicker
        with reachable(path) as address:
            listener.bind(address)
        os.chmod(path, 0o600)
        listener.listen(BACKLOG)
        return trio.socket.from_stdlib_socket(listener)
    except BaseException:
        listener.close()
        raise


async def _accept(listener: trio.socket.SocketType, heed: Heed, serving: trio.Nursery) -> None:
    while True:
        try:
            connection, _ = await listener.accept()
        except OSError:  # no descriptor is left: whoever asks waits
            await trio.sleep(1.0)
            continue
        serving.start_soon(_serve, trio.SocketStream(connection), heed)


async def _serve(stream: trio.SocketStream, heed: Heed) -> None:
    async with stream:
        request = await _request(stream) if is_ours(_plain(stream)) else None
        if request is None:
            return
        async with trio.open_nursery() as nursery:
            asking = nursery.cancel_scope

            async def reply(answer: Answer) -> None:
                try:
                    await stream.send_all(json.dumps(answer, ensure_ascii=False).encode() + b"\n")
                except trio.BrokenResourceError:  # here, for out of a nursery it would come as a group
                    asking.cancel()
                    await trio.lowlevel.checkpoint()

            nursery.start_soon(_until_gone, stream, asking)
            await heed(request, reply)
            asking.cancel()


def _plain(stream: trio.SocketStream) -> socket.socket:
    return stream.socket  # type: ignore[return-value]  # it has getsockopt, which is all that is asked of it


async def _request(stream: trio.SocketStream) -> Mapping[str, object] | None:
    """What is asked; None for nothing."""
    data = b""
    with trio.move_on_after(ASKING_S):
        while b"\n" not in data and len(data) <= REQUEST:
            try:
                more = await stream.receive_some(REQUEST)
            except trio.BrokenResourceError:
                return None
            if not more:
                return None
            data += more
    return understood(data)


def understood(data: bytes) -> Mapping[str, object]:
    """The request in these octets, which may be anything; an empty one for what is none, or too long."""
    line, _, _ = data.partition(b"\n")
    if len(line) > REQUEST:
        return {}
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return request if isinstance(request, dict) else {}


async def _until_gone(stream: trio.SocketStream, asking: trio.CancelScope) -> None:
    """Nothing more is said: whoever reads no answers has gone."""
    with contextlib.suppress(trio.BrokenResourceError):  # an answer that he has not read breaks it
        while await stream.receive_some():
            pass
    asking.cancel()
