"""A parent with two workers, to be run as a process of its own and killed. What it is about is its argument.

Each worker says its process id on the channel, and then waits for the end of it. All of them hold the lock.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bulkmail.campaign.workers import process
from bulkmail.journal import CampaignLock


def patient(index: int, end: socket.socket) -> None:
    """Ends when the parent does."""
    end.sendall(b"%d\n" % os.getpid())
    assert end.recv(1) == b""


def stuck(index: int, end: socket.socket) -> None:
    """Never looks at its channel."""
    end.sendall(b"%d\n" % os.getpid())
    while True:
        time.sleep(1)


def broken(index: int, end: socket.socket) -> None:
    raise RuntimeError(f"worker {index} has a bug")


def main(story: str, lock: str) -> None:
    CampaignLock(Path(lock)).acquire()
    if story == "ignored":
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # as whoever starts us may leave it to us
    process.LINGER_S = 1  # of the stuck one nobody wants to wait longer for
    workers = process.fork(2, {"stuck": stuck, "broken": broken}.get(story, patient))
    if story == "broken":
        for one in workers:
            one.channel_end.close()
            print(process.reap(one))
        return
    print(*(one.channel_end.recv(100).decode().strip() for one in workers), flush=True)
    if story == "let go":
        process.end_all(workers)
        print("all gone", flush=True)
    elif story == "group":
        os.killpg(0, signal.SIGINT)
    tell_who_ends(workers)


def tell_who_ends(workers: Sequence[process.Process]) -> None:
    """A line for each worker that is gone, until standard input ends."""
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        for one in workers:
            selector.register(one.channel_end, selectors.EVENT_READ, one)
        while True:
            for key, _ in selector.select():
                if key.data is None:
                    return
                selector.unregister(key.fileobj)
                print(key.data.index, process.reap(key.data), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
