"""The workers of a run, hired before there is a loop and gone when the run is over, however it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from bulkmail.campaign.prepare import Prepared
from bulkmail.campaign.workers.channel import Channel
from bulkmail.campaign.workers.hush import Hush
from bulkmail.campaign.workers.process import Process, end_all, fork
from bulkmail.campaign.workers.worker import work
from bulkmail.errors import LocalResourceError
from bulkmail.journal import LogName, Store, Suppressions


class Hand:
    """One worker, as the parent has it. To be made within the loop."""

    def __init__(self, process: Process, log: LogName) -> None:
        self.index = process.index
        self.process = process
        self.log = log
        self.channel = Channel(process.channel_end)
        self.done = False  # it has said so


class Crew:
    """Processes that wait for their first word."""

    def __init__(self, processes: tuple[Process, ...], logs: tuple[LogName, ...]) -> None:
        self._processes = processes
        self._logs = logs
        self.hush = Hush()

    def hands(self) -> list[Hand]:
        """Within the loop, once."""
        return [Hand(process, log) for process, log in zip(self._processes, self._logs, strict=True)]


@contextmanager
def hired(prepared: Prepared, count: int) -> Iterator[tuple[Prepared, Crew]]:
    """`count` worker processes, which have `prepared` as it is now; the parent goes on with the one yielded.

    There must be no other thread, and no loop. Raises StoreError and LocalResourceError.
    """
    path, project = prepared.store.path, prepared.suppressions.path
    logs = tuple(prepared.store.new_log(index + 1) for index in range(count))
    # SQLite must not be carried across a fork: its locks belong to the process that has opened the file.
    prepared.store.close()
    prepared.suppressions.close()
    try:
        processes = fork(count, partial(work, prepared, logs))
    except OSError as error:
        raise LocalResourceError(f"{count} processes cannot be had: {error.strerror}") from error
    try:
        with Store.open(path) as store, Suppressions.open(project) as suppressions:
            yield replace(prepared, store=store, suppressions=suppressions), Crew(processes, logs)
    finally:
        end_all(processes)
