"""`bulkmail` with a count of its tasks: `python benchmarks/watched.py FILE WORDS…` runs `bulkmail WORDS…`.

FILE has the most tasks of trio that there were at once, as a number, a moment old.
"""

from __future__ import annotations

import sys
import threading
import time
from functools import partial
from pathlib import Path

import trio

WRITE_S = 0.2


class Tasks(trio.abc.Instrument):
    def __init__(self) -> None:
        self.now = self.most = 0

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        self.now += 1
        self.most = max(self.most, self.now)

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        self.now -= 1


def main() -> None:
    from bulkmail.cli import main as command

    tasks, file = Tasks(), Path(sys.argv[1])
    trio.run = partial(trio.run, instruments=[tasks])

    def write() -> None:
        while True:
            beside = file.with_suffix(".new")
            beside.write_text(str(tasks.most), "utf-8")
            beside.replace(file)
            time.sleep(WRITE_S)

    threading.Thread(target=write, daemon=True).start()
    sys.argv = ["bulkmail", *sys.argv[2:]]
    command()


if __name__ == "__main__":
    main()
