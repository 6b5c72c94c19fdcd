"""The dry run: everything that a run does before its first connection, and nothing behind that.

The list is planned by the code of the run, into a store in a temporary folder that is gone afterwards; then
each message that would differ is rendered and signed, as it would be. Where that is work, batches are handed
to as many threads as there are cores, a bounded number ahead; sizes are counted, messages are not kept. No
name is looked up and no connection opened.

Plain code without `await`: a Ctrl-C ends it between two batches, and leaves nothing behind.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from bulkmail.campaign.config import Campaign, missing_files
from bulkmail.campaign.egress import check_name
from bulkmail.campaign.plan import make_plan
from bulkmail.campaign.prepare import MOST_PROBLEMS, PROJECT_STORE, check_size, list_spec
from bulkmail.campaign.writers import threads_for
from bulkmail.errors import ConfigError, Problem
from bulkmail.journal import LEFT_OUT, STATES, Interval, Recipient, Store, Suppressions
from bulkmail.message import Composer, Letter

BATCH = 32  # messages that are written, and then signed, at once
PAGE = 500  # intervals, or recipients of one

Progress = Callable[[str, int, int], None]  # ("read" | "placed" | "rendered", so many, of so many or 0)


@dataclass(slots=True)
class Sizes:
    """How long messages are, in octets; the memory is that of the different lengths there are."""

    counts: Counter[int] = field(default_factory=Counter)
    largest: int = 0
    largest_for: str = ""  # the address of somebody whose message is the largest

    def add(self, octets: int, times: int, address: str) -> None:
        self.counts[octets] += times
        if octets > self.largest:
            self.largest, self.largest_for = octets, address

    @property
    def median(self) -> int:
        """Of the recipients' messages; 0 without any."""
        half, seen = (sum(self.counts.values()) + 1) // 2, 0
        for octets in sorted(self.counts):
            seen += self.counts[octets]
            if seen >= half:
                return octets
        return 0


@dataclass(slots=True)
class Rehearsed:
    """What a dry run found. `octets` is what all transactions together would carry.

    `problems` are the first MOST_PROBLEMS of `problem_count`; any of them is one that a run would meet.
    """

    totals: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("source", *STATES), 0))
    signed: bool = False
    personal: bool = True  # messages differ at all
    workers: int = 1
    recipients: int = 0
    transactions: int = 0
    messages: int = 0  # rendered: those that differ
    octets: int = 0
    sizes: Sizes = field(default_factory=Sizes)
    seconds: float = 0.0  # of rendering and signing
    problems: list[Problem] = field(default_factory=list)
    problem_count: int = 0

    @property
    def rate(self) -> float:
        """Messages rendered and signed in a second."""
        return self.messages / self.seconds if self.seconds else 0.0

    def complain(self, problems: Sequence[Problem]) -> None:
        self.problem_count += len(problems)
        self.problems += problems[: MOST_PROBLEMS - len(self.problems)]


@dataclass(frozen=True, slots=True)
class Task:
    """One message to be rendered: for this recipient, and for so many as get the same octets."""

    recipient: Recipient
    recipients: int
    transactions: int


@dataclass(frozen=True, slots=True)
class Rendered:
    """One task done: the octets of its message, or why there is none."""

    task: Task
    octets: int
    problem: str


def rehearse(
    campaign: Campaign,
    compose: Callable[[], Composer],
    *,
    progress: Progress | None = None,
    stdin: BinaryIO | None = None,
) -> Rehearsed:
    """Plan, render and sign. Problems of list, templates and rows are in the result; StoreError is raised."""
    tell = progress or (lambda step, done, whole: None)
    found = Rehearsed()
    try:
        check_name(campaign)
    except ConfigError as error:
        found.complain(error.problems)
    try:
        if problems := missing_files(campaign):
            raise ConfigError(problems)
        composer = compose()
        found.signed, found.personal = bool(composer.keys), composer.personal
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bulkmail-dry-run-")))
            store = stack.enter_context(Store.create(folder / "plan.journal", {}))
            suppressions = stack.enter_context(Suppressions.look(campaign.project_state / PROJECT_STORE))
            make_plan(
                list_spec(campaign),
                composer,
                store,
                suppressions,
                folder=folder / "spill",
                on_missing=campaign.content.on_missing,
                progress=lambda step, rows: tell(step, rows, 0),
                stdin=stdin,
            )
            found.totals = store.totals()
            found.recipients = found.totals["source"] - sum(found.totals[state] for state in LEFT_OUT)
            _render_all(campaign, composer, store, found, tell)
        check_size(campaign, found.totals)
    except ConfigError as error:
        found.complain(error.problems or [campaign.problem("", str(error))])
    return found


def _render_all(
    campaign: Campaign, composer: Composer, store: Store, found: Rehearsed, tell: Progress
) -> None:
    individual = campaign.delivery.transaction == "individual"
    size = 1 if individual else campaign.shaping.default.recipients_per_transaction
    began = time.monotonic()
    done = 0
    batches = _batched(_tasks(store, composer, size))
    found.workers = max(1, threads_for(composer))
    with ThreadPoolExecutor(found.workers) as pool:
        ahead: deque[Future[list[Rendered]]] = deque()
        try:
            while True:
                while len(ahead) < 2 * found.workers and (batch := next(batches, None)):
                    ahead.append(pool.submit(_render, composer, batch))
                if not ahead:
                    break
                for one in ahead.popleft().result():
                    done += one.task.recipients
                    _count(found, one)
                tell("rendered", done, found.recipients)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    found.seconds = time.monotonic() - began


def _tasks(store: Store, composer: Composer, size: int) -> Iterator[Task]:
    """Every message that differs, once. Where octets are the same, they are those of the first recipient."""
    after: tuple[int, int] | None = None
    while page := store.open_intervals(after, PAGE):
        for interval, _ in page:
            after = (interval.size, interval.id)
            if interval.shared:
                first = store.fetch([(interval.first, interval.first)])[0]
                yield Task(first, interval.size, -(-interval.size // size))
            else:
                for one in _people(store, interval):
                    yield Task(one, 1, 1)


def _people(store: Store, interval: Interval) -> Iterator[Recipient]:
    for first in range(interval.first, interval.last + 1, PAGE):
        yield from store.fetch([(first, min(first + PAGE - 1, interval.last))])


def _batched(tasks: Iterator[Task]) -> Iterator[list[Task]]:
    batch: list[Task] = []
    for task in tasks:
        batch.append(task)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _render(composer: Composer, tasks: Sequence[Task]) -> list[Rendered]:
    """In a thread."""
    letters = composer.letters([task.recipient for task in tasks])
    return [
        Rendered(task, len(letter.content), "")
        if isinstance(letter, Letter)
        else Rendered(task, 0, str(letter))
        for task, letter in zip(tasks, letters, strict=True)
    ]


def _count(found: Rehearsed, one: Rendered) -> None:
    address = one.task.recipient.address
    if one.problem:
        found.complain([Problem(address, 0, 0, "", one.problem)])
        return
    found.messages += found.personal or not found.messages
    found.transactions += one.task.transactions
    found.octets += one.octets * one.task.transactions
    found.sizes.add(one.octets, one.task.recipients, address)
