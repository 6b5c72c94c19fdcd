"""One look at the sockets of all who are about to write."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from bulkmail.transport.lookout import Lookout


class Looks:
    """Counts what the lookout asks the kernel."""

    def __init__(self, lookout: Lookout) -> None:
        self.count = 0
        self._inner = lookout._poll
        lookout._poll = self  # type: ignore[assignment]
        self.register, self.unregister = self._inner.register, self._inner.unregister

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        self.count += 1
        return self._inner.poll(timeout)


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    made = [socket.socketpair() for _ in range(3)]
    yield made
    for pair in made:
        for end in pair:
            end.close()


Pairs = list[tuple[socket.socket, socket.socket]]


def test_one_look_serves_all_who_were_expected(pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    lookout = Lookout()
    looks = Looks(lookout)
    ours = [one.fileno() for one, _ in pairs]
    for descriptor in ours:
        lookout.expect(descriptor)
    pairs[1][1].send(b"421 bye\r\n")
    pairs[2][1].close()
    assert ([lookout.quiet(descriptor) for descriptor in ours], looks.count) == ([True, False, False], 1)


def test_what_was_seen_long_ago_is_looked_at_again(pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    lookout = Lookout()
    first, second = pairs[0][0].fileno(), pairs[1][0].fileno()
    lookout.expect(first)
    lookout.expect(second)
    assert lookout.quiet(first)
    pairs[1][1].send(b"421 bye\r\n")
    now = 100.1
    assert not lookout.quiet(second)


def test_who_comes_after_the_look_is_looked_at(pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    lookout = Lookout()
    lookout.expect(pairs[0][0].fileno())
    assert lookout.quiet(pairs[0][0].fileno())
    pairs[1][1].send(b"421 bye\r\n")
    assert not lookout.quiet(pairs[1][0].fileno())


def test_who_asks_again_is_looked_at_again(pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    lookout = Lookout()
    descriptor = pairs[0][0].fileno()
    assert lookout.quiet(descriptor)
    pairs[0][1].send(b"421 bye\r\n")
    assert not lookout.quiet(descriptor)


def test_a_number_that_is_given_again_is_somebody_else(pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    lookout = Lookout()
    first, second = pairs[0][0].fileno(), pairs[1][0].fileno()
    lookout.expect(first)
    lookout.expect(second)
    assert lookout.quiet(first)
    lookout.forget(second)  # it is closed, and another has its number
    pairs[1][1].send(b"421 bye\r\n")
    assert not lookout.quiet(second)
