"""A client for the sink that says exactly what it is told, in the pieces it is told."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

PATIENCE_S = 60.0  # a sink that does not answer fails the test, instead of holding it up


class Address(Protocol):
    host: str
    port: int


class Talk:
    """One connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.left = b""

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.sock.sendall(piece)

    def reply(self) -> bytes:
        """The last line of the next reply, without CRLF."""
        while True:
            line = self.line()
            if line[3:4] == b" ":
                return line

    def line(self) -> bytes:
        while b"\r\n" not in self.left:
            part = self.sock.recv(65536)
            if not part:
                raise EOFError(self.left)
            self.left += part
        line, _, self.left = self.left.partition(b"\r\n")
        return line

    def replies(self, number: int) -> list[bytes]:
        return [self.reply() for _ in range(number)]

    def codes(self, number: int) -> list[int]:
        return [int(reply[:3]) for reply in self.replies(number)]

    def said(self, *pieces: bytes, replies: int = 1) -> list[int]:
        self.send(*pieces)
        return self.codes(replies)

    def rest(self) -> bytes:
        """Everything until the sink closes."""
        while part := self.sock.recv(65536):
            self.left += part
        return self.left

    def start_tls(self, context: ssl.SSLContext) -> None:
        assert self.said(b"STARTTLS\r\n") == [220]
        assert self.left == b""
        self.sock = context.wrap_socket(self.sock, server_hostname="localhost")


@contextmanager
def talk(to: Address, *, greet: bool = True) -> Iterator[Talk]:
    """Connected, greeted, and (unless told otherwise) past EHLO."""
    with socket.create_connection((to.host, to.port), timeout=PATIENCE_S) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = Talk(sock)
        try:
            assert client.reply().startswith(b"220 ")
            if greet:
                assert client.said(b"EHLO client.example\r\n") == [250]
            yield client
        finally:
            client.sock.close()


def every_octet(data: bytes) -> Iterable[bytes]:
    return (data[i : i + 1] for i in range(len(data)))
