"""What the tests of lists and plans share: files in a folder, a real composer, a real store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from bulkmail.campaign.listing import Batch, ListSpec, Source
from bulkmail.campaign.plan import make_plan
from bulkmail.campaign.sources import expand, read_list
from bulkmail.campaign.spill import Budget
from bulkmail.journal.records import LEFT_OUT, Interval, LeftOut
from bulkmail.journal.store import Store
from bulkmail.journal.suppressions import Suppressions
from bulkmail.message.composer import Composer
from bulkmail.message.draft import Draft

TINY = Budget(buffered=2_000, rows=5, octets=1 << 20)  # everything is spilled, and spilled again


def composer(
    text: str = "Hello.\n",
    *,
    to: str = "All <all@acme.example>",
    subject: str = "News",
    on_missing: str = "fail",
) -> Composer:
    draft = Draft(
        "Acme <news@acme.example>", to, None, subject, {}, text, None, "test", on_missing=on_missing
    )
    return Composer(draft, date=datetime(2026, 11, 24, tzinfo=UTC))


@dataclass(frozen=True)
class Plan:
    """A plan as the store has it. `intervals`: (domain, shared, seeds, addresses), in the order of ids."""

    totals: dict[str, int]
    intervals: list[tuple[str, bool, bool, list[str]]]
    fields: dict[str, dict[str, str]]
    left_out: list[LeftOut]

    @property
    def addresses(self) -> list[str]:
        return [address for *_, addresses in self.intervals for address in addresses]

    def reasons(self, state: str) -> list[tuple[str, int, str]]:
        return [(row.file, row.row, row.reason) for row in self.left_out if row.state == state]


@dataclass
class Case:
    """A folder with a campaign's lists."""

    folder: Path

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def spec(self, *source: Source, **settings: object) -> ListSpec:
        return ListSpec(source or ["people.csv"], base=self.folder, **settings)  # type: ignore[arg-type]

    def read(self, *source: Source, stdin: bytes = b"", **settings: object) -> list[Batch]:
        spec = self.spec(*source, **settings)
        return list(read_list(spec, expand(spec, spec.source), self.folder, BytesIO(stdin)))

    def rows(self, *source: Source, **settings: object) -> list[tuple[int, dict[str, str]]]:
        return [row for batch in self.read(*source, **settings) for row in batch.rows]

    def bad(self, *source: Source, **settings: object) -> list[tuple[int, str]]:
        return [(bad.line, bad.reason) for batch in self.read(*source, **settings) for bad in batch.bad]

    def plan(
        self,
        *source: Source,
        message: Composer | None = None,
        suppressed: Sequence[str] = (),
        on_missing: str = "fail",
        budget: Budget | None = None,
        stdin: bytes = b"",
        **settings: object,
    ) -> Plan:
        path = self.folder / "test.journal"
        path.unlink(missing_ok=True)
        with (
            Suppressions.open(self.folder / "project.db") as suppressions,
            Store.create(path, {"campaign": "test"}) as store,
        ):
            suppressions.add(suppressed, "asked")
            make_plan(
                self.spec(*source, **settings),
                message or composer(),
                store,
                suppressions,
                folder=self.folder / "spill",
                on_missing=on_missing,
                budget=budget,
                stdin=BytesIO(stdin),
            )
            assert not (self.folder / "spill").exists()
            return _plan(store)


def _plan(store: Store) -> Plan:
    found: list[Interval] = [interval for interval, _ in store.open_intervals(None, 100_000)]
    intervals, fields = [], {}
    for interval in sorted(found, key=lambda interval: interval.first):
        people = store.fetch([(interval.first, interval.last)])
        intervals.append((interval.domain, interval.shared, interval.seeds, [p.address for p in people]))
        fields.update({person.address: person.fields for person in people})
    left_out = [row for state in LEFT_OUT for row in store.export(state) if isinstance(row, LeftOut)]
    return Plan(dict(store.totals()), intervals, fields, left_out)


def sums(totals: Mapping[str, int]) -> bool:
    """Whether source is the sum of the others."""
    return totals["source"] == sum(n for state, n in totals.items() if state != "source")
