"""The fastest that anybody could be over one connection: `python benchmarks/bare.py --port N`.

Everything that will be said is put together before the clock runs: MAIL, RCPT, BDAT and the letter of message
after message, with nothing in between. Then it is written as fast as the other side reads, whatever is still
unanswered; replies are counted and have to be successes. Nothing is recorded, so nobody could send mail like
this. It says what a receiver can take: foreign.py holds it beside who sends. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

from peers import by_hand, material

PIECE = 256 * 1024
KINDS = 8  # letters that differ; more would only take longer to write
PATIENCE_S = 120.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--scenario", choices=("shared", "personal"), default="personal")
    parser.add_argument("--recipients", type=int, default=1_000)
    parser.add_argument("--per-transaction", type=int, default=100, help="recipients, where they share one")
    given = parser.parse_args()
    per_message = given.per_transaction if given.scenario == "shared" else 1
    messages = list(transactions(given.scenario, given.recipients, per_message))
    said, replies = b"".join(messages), given.recipients + 2 * len(messages)
    with connected(given.host, given.port) as wire:
        cpu, began = time.process_time(), time.perf_counter()
        push(wire, said, replies)
        seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu
        wire.setblocking(True)
        wire.sendall(b"QUIT\r\n")
    counts = {"messages": len(messages), "recipients": given.recipients}
    print(json.dumps({**counts, "seconds": round(seconds, 4), "cpu_s": round(cpu_s, 4)}))


def transactions(scenario: str, recipients: int, per_message: int) -> Iterator[bytes]:
    write = by_hand.writer(None)
    letters = [material.constant_message()] if scenario == "shared" else [write(n) for n in range(KINDS)]
    for number, first in enumerate(range(0, recipients, per_message)):
        letter = letters[number % len(letters)]
        people = map(material.address, range(first, min(first + per_message, recipients)))
        rcpt = "".join(f"RCPT TO:<{address}>\r\n" for address in people)
        mail = f"MAIL FROM:<{material.REVERSE_PATH}> BODY=8BITMIME\r\n{rcpt}BDAT {len(letter)} LAST\r\n"
        yield mail.encode() + letter


def connected(host: str, port: int) -> ssl.SSLSocket:
    """With STARTTLS, greeted, and ready for MAIL."""
    wire = socket.create_connection((host, port), PATIENCE_S)
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    replied(wire)
    for command in (b"EHLO bare.example\r\n", b"STARTTLS\r\n"):
        wire.sendall(command)
        replied(wire)
    secured = ssl._create_unverified_context().wrap_socket(wire)  # whoever answers here is ours
    secured.sendall(b"EHLO bare.example\r\n")
    if b"CHUNKING" not in replied(secured):
        sys.exit("it has no CHUNKING")
    return secured


def replied(wire: socket.socket) -> bytes:
    """One reply, a success."""
    reply = b""
    while not reply.endswith(b"\r\n") or reply.splitlines()[-1][3:4] == b"-":
        piece = wire.recv(PIECE)
        if not piece:
            sys.exit("it hung up")
        reply += piece
    if not reply.startswith(b"2"):
        sys.exit(f"it said {reply!r}")
    return reply


def push(wire: ssl.SSLSocket, said: bytes, replies: int) -> None:
    """Write all of it and take that many replies, whichever can go on."""
    wire.setblocking(False)
    left, rest = memoryview(said), b""
    while replies:
        reads, writes = [wire], [wire] if left else []
        if not wire.pending():
            reads, writes, _ = select.select(reads, writes, [], PATIENCE_S)
            if not reads and not writes:
                sys.exit(f"silence, with {replies} replies to come")
        if writes:
            with suppress(ssl.SSLWantWriteError):
                left = left[wire.send(left[:PIECE]) :]
        try:
            piece = wire.recv(PIECE)
        except ssl.SSLWantReadError:
            continue
        if not piece:
            sys.exit(f"it hung up, with {replies} replies to come")
        *lines, rest = (rest + piece).split(b"\r\n")
        for line in lines:
            if line[:1] != b"2":
                sys.exit(f"it said {line!r}")
            replies -= line[3:4] == b" "


if __name__ == "__main__":
    main()
