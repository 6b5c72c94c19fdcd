"""Recipients as they are stored: in blocks, whose rows are read when they are looked at, each its own."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from journal_plans import NewStore

from bulkmail.errors import StoreError
from bulkmail.journal import Exported, Planned, Recipient, Record, Roll, Store, by_column
from bulkmail.journal.roll import PER_BLOCK, SEPARATOR, Block

MANY = 600  # in three blocks


def recipient(number: int) -> Recipient:
    return Recipient(number, f"user{number}@a.test", f'{{"n": "{number}"}}', {})


def told(one: Recipient) -> tuple[object, ...]:
    return one.id, one.address, one.fields, one.attempts, one.since


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """Not planned yet."""
    with Store.create(path, {}) as store:
        yield store


@pytest.fixture
def many(planned: NewStore) -> Store:
    return planned([("a.test", MANY)])


def test_recipients_are_found_across_blocks(many: Store) -> None:
    roll = many.fetch([(500, MANY), (200, 300)])
    assert [told(one) for one in roll] == [
        told(recipient(n)) for n in (*range(200, 301), *range(500, MANY + 1))
    ]
    assert (roll.ids, roll.addresses) == ([one.id for one in roll], [one.address for one in roll])


def test_contiguous_ids_are_a_range(many: Store) -> None:
    last = 2 * PER_BLOCK + 9
    roll = many.fetch([(6, last), (1, 5)])
    assert (roll.ids, len(roll), roll[3:6].ids) == (range(1, last + 1), last, range(4, 7))


def test_only_who_exists_is_found(many: Store) -> None:
    assert [one.id for one in many.fetch([(MANY - 1, 2000), (5000, 5001)])] == [MANY - 1, MANY]
    assert [*many.fetch([])] == []


@given(st.lists(st.slices(MANY).filter(lambda part: (part.step or 1) > 0), max_size=3))
def test_a_slice_of_a_roll_is_the_slice_of_a_list(parts: list[slice]) -> None:
    roll = roll_of(MANY)
    people = [*roll]
    for part in parts:
        roll, people = roll[part], people[part]
    assert [*roll] == people
    assert [*roll.ids] == [one.id for one in people]
    assert [*roll.addresses] == [one.address for one in people]


def roll_of(size: int, *, among: int | None = None, cell: str | None = None) -> Roll:
    """Without a store, of several parts. `among` so many in their block."""
    numbers = range(1, (among or size) + 1)
    addresses = "\n".join(recipient(number).address for number in numbers)
    rows = "\n".join(SEPARATOR.join(("1", cell or str(number))) for number in numbers)
    block = Block(0, addresses, rows)
    cuts = sorted({0, size // 3, size // 2, size})
    parts = [(block, begin, end) for begin, end in pairwise(cuts)]
    return Roll.of(range(1, size + 1), parts, {}, {"1": ("n",)})


def test_some_are_picked_by_their_places(many: Store) -> None:
    roll = many.fetch([(11, 20)]).pick([1, 4, 9])
    assert (roll.ids, [*map(told, roll)], roll[1:].addresses) == (
        [12, 15, 20],
        [told(recipient(n)) for n in (12, 15, 20)],
        ["user15@a.test", "user20@a.test"],
    )


def test_a_roll_that_stands_alone_keeps_nothing_of_those_beside_it_and_none_that_was_read() -> None:
    """A thousand sessions hold one each."""

    def held(*, alone: bool) -> int:
        tracemalloc.start()
        try:
            roll = roll_of(2, among=PER_BLOCK, cell="x" * 4_000)
            assert not alone or roll.alone() == 2 * len("1 ") + 2 * 4_000
            assert len([*roll, *roll]) == 4
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    assert held(alone=True) < 100_000 < 1_000_000 < held(alone=False)


def test_everybody_has_his_own_row_whatever_part_of_a_roll_is_looked_at() -> None:
    roll = roll_of(MANY)
    for part in (roll, roll[5:], roll[190:320], roll[::7], roll.pick([1, 200, 599])):
        assert [one.fields["n"] for one in part] == [str(one.id) for one in part]
        assert [one.address for one in part] == [f"user{one.id}@a.test" for one in part]
    roll.alone()
    assert [one.fields["n"] for one in roll[150:350]] == [*map(str, range(151, 351))]


PLAIN = ["1\x1fa@a.test\x1fAnn", "1\x1fb@a.test\x1f", "1\x1f1\x1f1"]
OTHER = ["1\x1fx", "1\x1fx\x1fy\x1fz", "2\x1fc@a.test\x1fx\x1f1", "3", '{"name": "Bob"}', "4\x1fx", "", "1"]


@given(st.lists(st.sampled_from(PLAIN)) | st.lists(st.sampled_from(PLAIN + OTHER)))
@example([OTHER[0], OTHER[1]])  # which have as many cells as two plain ones
def test_fields_by_column_are_those_of_each(rows: list[str]) -> None:
    shapes = {"1": ("email", "name"), "2": ("email", "", "name"), "3": ("email",)}
    people = [Recipient(number, "a@a.test", row, shapes) for number, row in enumerate(rows)]
    columns = by_column(people)
    if columns is not None:
        assert [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)] == [
            one.fields for one in people
        ]
    plain = bool(rows) and set(rows) <= set(PLAIN)
    assert columns is not None or not plain


def test_who_was_tried_before_is_told(many: Store) -> None:
    many.commit([Record(300, 301, "deferred", 7.0, due=9.0)], [], [])
    roll = many.fetch([(298, 302)])
    assert [(one.attempts, one.since) for one in roll] == [
        (0, None),
        (0, None),
        (1, 7.0),
        (1, 7.0),
        (0, None),
    ]
    assert (roll.tried, roll[:2].tried, roll[2:3].tried) == (True, False, True)


def test_cells_come_back_by_the_names_of_their_shape(store: Store) -> None:
    with store.write_plan() as writer:
        one, other = writer.shape(["email", "", "name"]), writer.shape(["{", "email"])
        rows = [
            Planned("ann@a.test", SEPARATOR.join((one, "ann@a.test", "dropped", 'Ann, \u2028 "é" {'))),
            Planned("bob@a.test", SEPARATOR.join((other, "", "bob@a.test"))),
            Planned("cy@a.test", '{"name": "a\\nb\\u001fc"}'),
            Planned("dan@a.test", writer.shape(["mail"])),  # who has but the address
        ]
        writer.interval("a.test", False, False, rows)
    fields = [
        {"email": "ann@a.test", "name": 'Ann, \u2028 "é" {'},
        {"{": "", "email": "bob@a.test"},
        {"name": "a\nb\x1fc"},
        {"mail": "dan@a.test"},
    ]
    assert [one.fields for one in store.fetch([(1, 4)])] == fields
    assert [one.fields for one in store.export("pending") if isinstance(one, Exported)] == fields


@pytest.mark.parametrize("broken", [Planned("a\n@a.test", "{}"), Planned("ann@a.test", "{}\n")])
def test_no_line_break_shifts_the_rows_of_others(store: Store, broken: Planned) -> None:
    with pytest.raises(ValueError, match="a line break"), store.write_plan() as writer:
        writer.interval("a.test", False, False, [Planned("ann@a.test", "{}"), broken])
    assert not store.planned


def test_a_block_that_lost_a_row_is_refused(many: Store) -> None:
    many._db.execute("UPDATE roll SET rows = substr(rows, instr(rows, char(10)) + 1) WHERE number = 1")
    with pytest.raises(StoreError, match="block 1 of the plan is damaged: it has 256 addresses and 255 rows"):
        many.fetch([(300, 300)])
    assert [*map(told, many.fetch([(3, 3)]))] == [told(recipient(3))]
