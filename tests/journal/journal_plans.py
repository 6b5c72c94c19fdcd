"""Small campaigns, planned, and a disk that waits to be let."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from bulkmail.errors import StoreError
from bulkmail.journal import Planned, Store
from bulkmail.journal.disk import Done, Work

Domains = Sequence[tuple[str, int]]  # (domain, how many recipients), in the order of the plan
NewStore = Callable[[Domains], Store]


def plan(store: Store, domains: Domains, *, shared: bool = True) -> None:
    """An interval a domain, of user1@…, user2@…; a domain marked "seeds:" is an interval of seeds."""
    with store.write_plan() as writer:
        for name, size in domains:
            domain = name.removeprefix("seeds:")
            rows = (Planned(f"user{n}@{domain}", f'{{"n": "{n}"}}') for n in range(1, size + 1))
            writer.interval(domain, shared, name != domain, rows)


class HeldDisk:
    """Does what a log gives it when the test lets it, in the test's own thread."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Work, Done]] = deque()
        self._let = 0

    def submit(self, work: Work, done: Done) -> None:
        self.waiting.append((work, done))
        self._run()

    def let(self, times: int = 1) -> None:
        self._let += times
        self._run()

    def close(self) -> None:
        self.let(len(self.waiting))

    def _run(self) -> None:
        while self._let and self.waiting:
            self._let -= 1
            work, done = self.waiting.popleft()
            try:
                work()
            except StoreError as error:
                done(error)
            else:
                done(None)
