"""The socket of a running campaign: whoever asks, and however he goes, the run goes on."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest
import trio

from bulkmail.campaign.control import NobodyListens, ask, reachable
from bulkmail.campaign.listening import listening

PATIENCE_S = 30.0


def no_warning(text: str) -> None:
    raise AssertionError(text)


async def asked(path: Path, request: bytes) -> trio.SocketStream:
    with reachable(path) as address:
        stream = await trio.open_unix_socket(address)
    await stream.send_all(request)
    return stream


@pytest.mark.parametrize("reads", [0, 10])
async def test_who_goes_away_with_answers_unread_stops_nobody(tmp_path: Path, reads: int) -> None:
    """`top` was ended while an answer was on its way, and the run died of it."""
    gone = trio.Event()

    async def heed(request: object, reply) -> None:
        try:
            while True:
                await reply({"done": False, "pad": "x" * 1000})
        finally:
            gone.set()

    path = tmp_path / "control"
    with trio.fail_after(PATIENCE_S):
        async with listening(path, heed, warn=no_warning):
            stream = await asked(path, b'{"do": "top"}\n')
            assert await stream.receive_some(1)
            for _ in range(reads):
                await stream.receive_some()
            await stream.aclose()
            await gone.wait()
            stream = await asked(path, b'{"do": "top"}\n')
            assert await stream.receive_some(1)
            await stream.aclose()


@pytest.mark.parametrize(
    "request_",
    [b"\n", b"top\n", b'"top"\n', b"[" * 4000 + b"\n", b"{" * 5000, b"\xff\0\n", b'{"do": "' + b"9" * 9000],
)
async def test_what_makes_no_sense_is_answered_all_the_same(tmp_path: Path, request_: bytes) -> None:
    """Also what is nested too deeply, or too long; and then the next one is."""
    heard: list[object] = []

    async def heed(request: object, reply) -> None:
        heard.append(request)
        await reply({"done": True})

    path = tmp_path / "control"
    with trio.fail_after(PATIENCE_S):
        async with listening(path, heed, warn=no_warning):
            for request in (request_, b'{"do": "top"}\n'):
                stream = await asked(path, request)
                assert json.loads(await stream.receive_some()) == {"done": True}
                await stream.aclose()
    assert heard == [{}, {"do": "top"}]


@pytest.mark.parametrize(
    ("said", "answers"), [(b'{"done": false}\n{"do', [{"done": False}]), (b'{"do', None)]
)
def test_of_a_run_that_was_killed_in_the_midst_of_an_answer_what_came_before_counts(
    tmp_path: Path, said: bytes, answers: list[object] | None
) -> None:
    """J1: half a line is no answer."""

    def die() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(100)
            connection.sendall(said)

    path = tmp_path / "control"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        killed = threading.Thread(target=die)
        killed.start()
        if answers is None:
            with pytest.raises(NobodyListens):
                list(ask(path, {"do": "cancel"}))
        else:
            assert list(ask(path, {"do": "cancel"})) == answers
        killed.join()
