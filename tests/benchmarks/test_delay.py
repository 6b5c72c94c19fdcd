"""The road to a server that is further away: late, and otherwise as if it were not there."""

from __future__ import annotations

import random
import socket
import ssl
import threading
import time
from collections.abc import Iterator

import pytest
import sink
from lacking import lacks
from sink_client import PATIENCE_S, talk

RTT_MS = 20.0
RTT_S = RTT_MS / 1000


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    try:
        sink.built("delay")
    except sink.CannotBuild as reason:
        lacks(str(reason))


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE_S)
        yield listening


def test_a_greeting_takes_two_round_trips_and_a_reply_one() -> None:
    """Nothing comes earlier. How much later it comes is the machine's business."""
    with sink.running() as mx, sink.delayed(mx.host, mx.port, rtt_ms=RTT_MS) as road:
        began = time.monotonic()
        with talk(road, greet=False) as client:
            greeted = time.monotonic()
            client.said(b"NOOP\r\n")
            assert greeted - began >= 2 * RTT_S
            assert time.monotonic() - greeted >= RTT_S


def test_mail_through_tls_arrives_on_many_connections() -> None:
    with sink.running() as mx, sink.delayed(mx.host, mx.port, rtt_ms=RTT_MS) as road:
        context = ssl.create_default_context(cafile=str(mx.ca))

        def send() -> None:
            with talk(road) as client:
                client.start_tls(context)
                client.said(b"EHLO a.test\r\n")
                client.send(b"MAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nBDAT 100000 LAST\r\n", b"x" * 100_000)
                client.codes(3)

        threads = [threading.Thread(target=send) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (mx.counts().transactions, mx.counts().tls) == (20, 20)


def test_octets_keep_their_order_and_an_end_comes_last(server: socket.socket) -> None:
    """More than sockets hold, both ways at once, to somebody who reads only when everything was written."""
    there, back = random.Random(1).randbytes(8_000_000), random.Random(2).randbytes(8_000_000)
    got: list[bytes] = []

    def serve() -> None:
        peer, _ = server.accept()
        with peer:
            peer.settimeout(PATIENCE_S)
            peer.sendall(back)
            got.append(everything(peer))
            peer.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=serve)
    thread.start()
    host, port = server.getsockname()
    with (
        sink.delayed(host, port, rtt_ms=RTT_MS) as road,
        socket.create_connection((road.host, road.port), timeout=PATIENCE_S) as sock,
    ):
        sock.sendall(there)
        sock.shutdown(socket.SHUT_WR)
        assert everything(sock) == back
        thread.join()
    assert got == [there]


def test_where_nobody_answers_the_connection_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        host, port = gone.getsockname()
    with (
        sink.delayed(host, port, rtt_ms=RTT_MS) as road,
        socket.create_connection((road.host, road.port), timeout=PATIENCE_S) as sock,
    ):
        assert sock.recv(1) == b""


def test_a_client_that_breaks_off_is_not_waited_for(server: socket.socket) -> None:
    host, port = server.getsockname()
    with sink.delayed(host, port, rtt_ms=RTT_MS) as road:
        for _ in range(50):
            sock = socket.create_connection((road.host, road.port), timeout=PATIENCE_S)
            sock.sendall(b"x" * 1000)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()
        for _ in range(50):
            peer, _ = server.accept()
            with peer:
                peer.settimeout(PATIENCE_S)
                everything(peer)


def everything(sock: socket.socket) -> bytes:
    parts = []
    while part := sock.recv(1_000_000):
        parts.append(part)
    return b"".join(parts)
