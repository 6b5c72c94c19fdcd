"""Laws of the plan: it does not depend on how much memory it had, and nobody is lost or mailed twice."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from listcase import composer

from bulkmail.campaign.candidates import Candidates, Trouble
from bulkmail.campaign.listing import ListSpec
from bulkmail.campaign.plan import write_plan
from bulkmail.campaign.plan_summary import plan_summary
from bulkmail.campaign.spill import Budget, Spill
from bulkmail.journal.records import LeftOut, Run
from bulkmail.journal.roll import parse_row

Person = tuple[str, tuple[tuple[str, str], ...]]  # address and fields


class Kept:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, bool, bool, list[Person]]] = []
        self.rows: list[LeftOut] = []
        self.source = 0
        self._shapes: dict[str, tuple[str, ...]] = {}

    def shape(self, columns: Sequence[str]) -> str:
        self._shapes[str(len(self._shapes))] = tuple(columns)
        return str(len(self._shapes) - 1)

    def intervals(
        self, runs: Sequence[Run], addresses: Sequence[str], rows: Sequence[str], *, seeds: bool, whole: bool
    ) -> None:
        fields = [
            tuple(sorted(parse_row(row, address, self._shapes).items()))
            for address, row in zip(addresses, rows, strict=True)
        ]
        people = iter(list(zip(addresses, fields, strict=True)))
        for domain, size, shared in runs:
            self.kept.append((domain, shared, seeds, list(islice(people, size))))
        assert next(people, None) is None

    def left_out(self, row: LeftOut) -> None:
        self.rows.append(row)

    def count(self, state: str, number: int) -> None:
        assert state == "source"
        self.source = number

    @property
    def planned(self) -> list[Person]:
        return [row for *_, rows in self.kept for row in rows]


class Nobody:
    def reasons_of(self, keys: Iterable[str]) -> dict[str, str]:
        return {key: "asked" for key in keys if key.startswith("s")}


def candidates(
    kind: int, file: int, keyed: bool, people: list[tuple[int, str, str, str, Trouble | None]]
) -> Candidates:
    return Candidates(
        kind,
        file,
        [line for line, *_ in people],
        [address for _, address, *_ in people],
        [address.partition("@")[2] for _, address, *_ in people],
        [text for _, _, text, *_ in people],
        sum(len(text) for _, _, text, *_ in people),
        [key for *_, key, _ in people] if keyed else [],
        {line: problem for line, *_, problem in people if problem is not None},
    )


def people_of(block: Candidates) -> list[tuple[object, ...]]:
    keys = block.keys or [""] * len(block)
    columns = zip(block.lines, block.addresses, block.domains, block.texts, keys, strict=True)
    return [(block.kind, block.file, *one, block.problems.get(one[0])) for one in columns]


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
    alone=st.booleans(),
)
def test_a_plan_is_the_same_however_little_memory_there_is(
    rows: list[tuple[str, str]], budget: Budget, text: str, dedupe: str, seeds: list[str], alone: bool
) -> None:
    """I10."""
    with TemporaryDirectory() as folder:
        base = Path(folder)
        if alone:  # a list of addresses and nothing else
            text = text.replace("{{ name }}", "")
            lines = "email\n" + "".join(f"{a}\n" for a, _ in rows)
        else:
            lines = "email,name\n" + "".join(f"{a},{n}\n" for a, n in rows)
        (base / "people.csv").write_text(lines)
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
        assert all(people for *_, people in plan.kept)
        for _, shared, _, people in plan.kept:
            assert not shared or len({_message(text, person) for person in people}) == 1
        if dedupe == "address":
            assert max(Counter(address for address, _ in plan.planned).values(), default=1) == 1


def _message(text: str, person: Person) -> str:
    address, fields = person
    return text.replace("{{ email }}", address).replace("{{ name }}", dict(fields).get("name", ""))


BLOCKS = st.builds(
    candidates,
    kind=st.integers(0, 2),
    file=st.integers(0, 3),
    keyed=st.booleans(),
    people=st.lists(
        st.tuples(
            st.integers(0, 1 << 40),
            st.sampled_from(["a@x.test", "ü@y.test", "B@z.test"]),
            st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])),
            st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])),
            st.one_of(st.none(), st.tuples(st.just("skipped"), st.text(max_size=5))),
        ),
        min_size=1,
        max_size=20,
        unique_by=itemgetter(0),
    ),
)


@given(
    st.lists(BLOCKS, max_size=8, unique_by=lambda block: block.file), st.integers(1, 9_000), st.integers(0, 4)
)
def test_what_is_spilled_comes_back_whole_and_in_order(
    blocks: list[Candidates], buffered: int, level: int
) -> None:
    everybody = [one for block in blocks for one in people_of(block)]
    with TemporaryDirectory() as folder:
        spill = Spill(Path(folder), level=level, budget=Budget(buffered=buffered))
        for block in blocks:
            spill.extend(block)
        parts = [[one for block in part.blocks() for one in people_of(block)] for part in spill.parts()]
    assert Counter(one for part in parts for one in part) == Counter(everybody)
    for part in parts:
        for address in {one[3] for one in part}:  # somebody is in one part, with all others of the address
            assert [one for one in part if one[3] == address] == [
                one for one in everybody if one[3] == address
            ]


def test_eight_times_the_list_takes_no_more_memory(tmp_path: Path) -> None:
    """I10."""
    peaks = []
    for rows in (8_000, 64_000):
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
