"""What a plan would be, without making one: the numbers of `bulkmail plan`.

The same code plans, into a sink that only counts, so the numbers cannot differ from those of the run. The
intervals of nearly all domains come one after the other, so counting needs no memory for them; the few large
ones that come in parts are remembered. Nothing is kept on disk but what the list is spilled to while it is
planned, in a folder that is gone afterwards.
"""

from __future__ import annotations

import heapq
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from bulkmail.campaign.admission import Composer
from bulkmail.campaign.listing import ListSpec
from bulkmail.campaign.plan import Progress, write_plan
from bulkmail.campaign.settling import Suppressed
from bulkmail.campaign.spill import Budget
from bulkmail.journal.records import LEFT_OUT, LeftOut, Run
from bulkmail.journal.roll import parse_row

_REASONS = 200  # distinct reasons kept apart; the texts are fixed ones but for a few that quote a cell
_SAMPLES = 3
OTHER = "other reasons"


@dataclass(frozen=True, slots=True)
class DomainCount:
    domain: str
    recipients: int
    transactions: int


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """Rows left out for one reason, with the first of them. Where every row has its own, `reason` is ""."""

    state: str
    reason: str
    rows: int
    first: LeftOut


class Sampled(NamedTuple):
    address: str
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class PlanSummary:
    totals: dict[str, int]  # source, pending, and each state of those left out
    seeds: int  # of the pending
    domains: int
    transactions: int
    sharing: int  # recipients whose message has the same octets as that of somebody else of their domain
    transactions_if_same: int  # if everybody got the same bytes: what a constant `to` could save
    top: tuple[DomainCount, ...]  # the biggest domains first
    reasons: tuple[ReasonCount, ...]  # the most frequent first
    samples: tuple[Sampled, ...]  # a few recipients, to look at before a send

    @property
    def recipients(self) -> int:
        return self.totals["pending"]


def plan_summary(
    spec: ListSpec,
    composer: Composer,
    suppressions: Suppressed,
    *,
    recipients_per_transaction: int,
    on_missing: str = "fail",
    top: int = 20,
    each: Callable[[DomainCount], None] | None = None,
    individual: bool = False,
    progress: Progress | None = None,
    stdin: BinaryIO | None = None,
    budget: Budget | None = None,
) -> PlanSummary:
    """Plan and count; freezes nothing. Raises what `make_plan` raises.

    `each` is told of every domain, its seeds not among its recipients.
    `individual` is `delivery.transaction: individual`: one recipient a transaction whatever the bytes.
    """
    tally = _Tally(1 if individual else recipients_per_transaction, recipients_per_transaction, top, each)
    with tempfile.TemporaryDirectory(prefix="bulkmail-plan-") as folder:
        write_plan(
            spec,
            composer,
            tally,
            suppressions,
            folder=Path(folder) / "spill",
            on_missing=on_missing,
            progress=progress,
            stdin=stdin,
            budget=budget,
        )
    return tally.summary()


class _Tally:
    """A sink that counts."""

    def __init__(
        self,
        shared_size: int,
        full_size: int,
        top: int,
        each: Callable[[DomainCount], None] | None,
    ) -> None:
        self._shared_size = shared_size
        self._full_size = full_size
        self._most = top
        self._each = each
        self._counts: Counter[str] = Counter()
        self._domain = ""
        self._recipients = 0  # of the domain at hand
        self._transactions = 0
        self._domains = 0
        self._seeds = 0
        self._sums: Counter[str] = Counter()
        self._top: list[tuple[int, int, DomainCount]] = []
        self._reasons: dict[tuple[str, str], tuple[int, LeftOut]] = {}
        self._samples: list[Sampled] = []
        self._shapes: dict[str, tuple[str, ...]] = {}
        self._large: dict[
            str, tuple[int, int]
        ] = {}  # recipients and transactions of domains that come in parts

    def shape(self, columns: Sequence[str]) -> str:
        self._shapes[str(len(self._shapes))] = tuple(columns)
        return str(len(self._shapes) - 1)

    def intervals(
        self, runs: Sequence[Run], addresses: Sequence[str], rows: Sequence[str], *, seeds: bool, whole: bool
    ) -> None:
        self._counts["pending"] += len(addresses)
        if not seeds and len(self._samples) < _SAMPLES:
            chosen = list(zip(addresses, rows, strict=True))[: _SAMPLES - len(self._samples)]
            self._samples += [
                Sampled(address, parse_row(row, address, self._shapes)) for address, row in chosen
            ]
        for domain, size, shared in runs:
            self._sums["sharing"] += size if shared and size > 1 else 0
            transactions = -(-size // self._shared_size) if shared else size
            if seeds:  # beside the domain's people, in transactions of their own
                self._seeds += size
                self._sums["transactions"] += transactions
                self._sums["if_same"] += -(-size // self._full_size)
            elif not whole:  # more of it may come
                before = self._large.get(domain, (0, 0))
                self._large[domain] = (before[0] + size, before[1] + transactions)
            else:
                if domain != self._domain:
                    self._close_domain()
                    self._domain = domain
                self._recipients += size
                self._transactions += transactions

    def left_out(self, row: LeftOut) -> None:
        self._counts[row.state] += 1
        key = (row.state, row.reason if row.state in ("invalid", "skipped") else "")
        if key not in self._reasons and len(self._reasons) >= _REASONS:
            key = (row.state, OTHER)
        rows, first = self._reasons.get(key, (0, row))
        self._reasons[key] = (rows + 1, first)

    def count(self, state: str, number: int) -> None:
        self._counts[state] += number

    def summary(self) -> PlanSummary:
        self._close_domain()
        for domain, (recipients, transactions) in self._large.items():
            self._domain, self._recipients, self._transactions = domain, recipients, transactions
            self._close_domain()
        reasons = [ReasonCount(*key, *value) for key, value in self._reasons.items()]
        return PlanSummary(
            totals={name: self._counts[name] for name in ("source", *LEFT_OUT, "pending")},
            seeds=self._seeds,
            domains=self._domains,
            transactions=self._sums["transactions"],
            sharing=self._sums["sharing"],
            transactions_if_same=self._sums["if_same"],
            top=tuple(count for *_, count in sorted(self._top, key=lambda entry: entry[:2], reverse=True)),
            reasons=tuple(sorted(reasons, key=lambda reason: -reason.rows)),
            samples=tuple(self._samples),
        )

    def _close_domain(self) -> None:
        if not self._recipients:
            return
        self._domains += 1
        self._sums["transactions"] += self._transactions
        self._sums["if_same"] += -(-self._recipients // self._full_size)
        count = DomainCount(self._domain, self._recipients, self._transactions)
        if self._each is not None:
            self._each(count)
        # the second key keeps equals in the order in which they came, and the heap from comparing more
        entry = (self._recipients, -self._domains, count)
        if len(self._top) < self._most:
            heapq.heappush(self._top, entry)
        elif self._most:
            heapq.heappushpop(self._top, entry)
        self._recipients = self._transactions = 0
