"""Laws of the plan: it does not depend on how much memory it had, and nobody is lost or mailed twice."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from listcase import composer

from bulkmail.campaign.listing import ListSpec
from bulkmail.campaign.plan import write_plan
from bulkmail.campaign.plan_summary import plan_summary
from bulkmail.campaign.spill import Budget, Candidate, Spill, by_address, by_domain
from bulkmail.journal.records import LeftOut, Planned


class Kept:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.intervals: list[tuple[str, bool, bool, list[Planned]]] = []
        self.rows: list[LeftOut] = []
        self.source = 0

    def interval(self, domain: str, shared: bool, seeds: bool, rows: Iterable[Planned]) -> None:
        self.intervals.append((domain, shared, seeds, list(rows)))

    def left_out(self, row: LeftOut) -> None:
        self.rows.append(row)

    def count(self, state: str, number: int) -> None:
        assert state == "source"
        self.source = number

    @property
    def planned(self) -> list[Planned]:
        return [row for *_, rows in self.intervals for row in rows]


class Nobody:
    def contains_keys(self, keys: Iterable[str]) -> set[str]:
        return {key for key in keys if key.startswith("s")}


ADDRESSES = st.builds("{}@{}.test".format, st.sampled_from("abcsABS"), st.sampled_from(["x", "y", "big"]))
ROWS = st.lists(
    st.tuples(st.one_of(ADDRESSES, st.just("none")), st.sampled_from(["N", "M", ""])), max_size=60
)
BUDGETS = st.builds(Budget, buffered=st.integers(1, 5000), rows=st.integers(1, 20), octets=st.just(1 << 20))


@settings(max_examples=60)
@given(
    rows=ROWS,
    budget=BUDGETS,
    text=st.sampled_from(["Hello.\n", "Hello {{ name }}.\n", "{{ email }}\n"]),
    dedupe=st.sampled_from(["address", "none"]),
    seeds=st.lists(ADDRESSES, max_size=2, unique=True),
)
def test_a_plan_is_the_same_however_little_memory_there_is(
    rows: list[tuple[str, str]], budget: Budget, text: str, dedupe: str, seeds: list[str]
) -> None:
    """I10."""
    with TemporaryDirectory() as folder:
        base = Path(folder)
        (base / "people.csv").write_text("email,name\n" + "".join(f"{a},{n}\n" for a, n in rows))
        (base / "out.csv").write_text("email\na@x.test\nB@big.test\n")
        spec = ListSpec(["people.csv"], base, dedupe=dedupe, seeds=seeds, exclude=["out.csv"])
        plans = []
        for some in (budget, Budget()):
            sink = Kept()
            write_plan(spec, composer(text), sink, Nobody(), folder=base / "spill", budget=some)
            plans.append(sink)
    little, ample = plans
    assert Counter(little.planned) == Counter(ample.planned)
    assert Counter(little.rows) == Counter(ample.rows)
    for plan in plans:
        assert plan.source == len(rows) + len(seeds) == len(plan.planned) + len(plan.rows)
        assert all(people for *_, people in plan.intervals)
        for _, shared, _, people in plan.intervals:
            assert not shared or len({_message(text, person) for person in people}) == 1
        if dedupe == "address":
            assert max(Counter(row.address for row in plan.planned).values(), default=1) == 1


def _message(text: str, person: Planned) -> str:
    fields = json.loads(person.fields)
    return text.replace("{{ email }}", person.address).replace("{{ name }}", fields.get("name", ""))


CANDIDATES = st.builds(
    Candidate,
    kind=st.integers(0, 2),
    order=st.integers(0, 1 << 40),
    file=st.integers(0, 3),
    line=st.integers(0, 1 << 40),
    address=st.sampled_from(["a@x.test", "ü@y.test", "B@z.test"]),
    domain=st.sampled_from([b"x.test", b"y.test", b"z.test"]),
    key=st.binary(max_size=16),
    fields=st.one_of(st.just(""), st.just('{"email": "x\\u0000", "n": "ä\U0001f600"}')),
    problem=st.one_of(st.none(), st.tuples(st.just("skipped"), st.text(max_size=5))),
)


@given(st.lists(st.lists(CANDIDATES, max_size=20), max_size=8), st.integers(1, 20_000), st.integers(0, 9))
def test_what_is_spilled_comes_back_whole_and_in_order(
    blocks: list[list[Candidate]], buffered: int, level: int
) -> None:
    for key in (by_domain, by_address):
        with TemporaryDirectory() as folder:
            spill = Spill(Path(folder), key, level=level, budget=Budget(buffered=buffered))
            for block in blocks:
                spill.extend(block)
            parts = [(part, part.read()) for part in spill.parts()]
        given_ = [candidate for block in blocks for candidate in block]
        assert Counter(c for _, found in parts for c in found) == Counter(given_)
        for part, found in parts:
            assert part.rows == len(found)
            for value in {key(candidate) for candidate in found}:
                same = [candidate for candidate in given_ if key(candidate) == value]
                assert [candidate for candidate in found if key(candidate) == value] == same


def test_eight_times_the_list_takes_no_more_memory(tmp_path: Path) -> None:
    """I10."""
    peaks = []
    for rows in (4_000, 32_000):
        lines = (f"p{n}@{'big' if n % 2 else f'd{n % 500}'}.test,N{n % 9}\n" for n in range(rows))
        (tmp_path / "people.csv").write_text("email,name\n" + "".join(lines))
        spec = ListSpec([tmp_path / "people.csv"])
        budget = Budget(buffered=200_000, rows=500, octets=400_000)
        message = composer("Hello {{ name }}.\n")
        tracemalloc.start()
        try:
            summary = plan_summary(spec, message, Nobody(), recipients_per_transaction=50, budget=budget)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert summary.recipients == rows
    assert peaks[1] < 1.3 * peaks[0]
