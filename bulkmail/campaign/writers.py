"""Letters of a campaign that are worth being written side by side, beside the event loop.

Writing holds the interpreter for a moment, signing does not. With `trio.to_thread` a thread that has done
its letters waits until the event loop, which wants the interpreter too, has handed it the next ones: two
processors then do 1.6 times the work of one. Threads that take what is next from a queue by themselves do
1.8 times as much (benchmarks/message.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import trio

from bulkmail.message import Composer

Asked = TypeVar("Asked")
Written = TypeVar("Written")


def threads_for(composer: Composer, *, processes: int = 1) -> int:
    """As many as each of so many processes has processors; 0 where a letter costs less than the way there.

    Letters cost something where each is signed, or where some need a conversion of their own: of HTML, for
    milliseconds, in which an event loop would hear nobody. Where there is one processor, signatures are not
    made any sooner by another thread, and handing the interpreter to and fro costs a tenth of them.
    """
    if not composer.personal:
        return 0
    processors = -(-len(os.sched_getaffinity(0)) // processes)
    side_by_side = bool(composer.keys) and processors > 1
    return processors if side_by_side or not composer.one_shape else 0


class Writers:
    """`count` threads, begun when they are needed, until `close`."""

    def __init__(self, count: int) -> None:
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="bulkmail writer")

    def close(self) -> None:
        """Wait for what they are at; what nobody has begun is not written."""
        self._threads.shutdown(cancel_futures=True)

    async def run(self, write: Callable[[Asked], Written], asked: Asked) -> Written:
        """`write(asked)`, in a thread. Raises what it raises; cancelled, it may be called for nobody."""
        token = trio.lowlevel.current_trio_token()
        written = trio.Event()

        def tell(_: Future[Written]) -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(written.set)

        future = self._threads.submit(write, asked)
        future.add_done_callback(tell)
        try:
            await written.wait()
        except BaseException:
            future.cancel()
            raise
        return future.result()
