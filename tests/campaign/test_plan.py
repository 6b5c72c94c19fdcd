"""The plan, on a real store: who is in which interval, who is left out and why, and that nobody is lost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from listcase import TINY, Case, Plan, composer, sums

from bulkmail.errors import ConfigError
from bulkmail.journal.records import LeftOut
from bulkmail.journal.store import Store

BY_NAME = "Hello {{ name }}.\n"


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_everybody_is_in_one_interval_per_domain_and_the_totals_add_up(case: Case) -> None:
    case.write("people.csv", "email\nann@b.test\nbob@a.test\ncid@b.test\nno address\n")
    plan = case.plan()
    assert plan.intervals == [
        ("a.test", True, False, ["bob@a.test"]),
        ("b.test", True, False, ["ann@b.test", "cid@b.test"]),
    ]
    assert sums(plan.totals)
    assert {state: n for state, n in plan.totals.items() if n} == {"source": 4, "invalid": 1, "pending": 3}


def test_the_whole_row_is_kept_under_our_names(case: Case) -> None:
    case.write("people.csv", 'mail,fname,100%\n ann@A.test ,"Ann ""A""",x\\y\n')
    plan = case.plan(columns={"email": "mail", "name": "fname"})
    assert plan.fields == {"ann@a.test": {"email": "ann@A.test", "name": 'Ann "A"', "100%": "x\\y"}}


def test_duplicates_are_left_out_and_the_first_in_source_order_wins(case: Case) -> None:
    """I5."""
    case.write("a.csv", "email,n\nAnn@Exämple.test,1\nann@b.test,2\nAnn@xn--exmple-cua.TEST,3\n")
    case.write("b.csv", '"email",n\n"ann@b.test",4\n"""ann""@B.test",5\n')
    plan = case.plan("a.csv", "b.csv")
    assert {address: fields["n"] for address, fields in plan.fields.items()} == {
        "Ann@xn--exmple-cua.test": "1",
        "ann@b.test": "2",
    }
    assert sorted(plan.reasons("duplicate")) == [
        ("a.csv", 4, "as a.csv:2"),
        ("b.csv", 2, "as a.csv:3"),
        ("b.csv", 3, "as a.csv:3"),
    ]
    assert sums(plan.totals)


def test_a_local_part_in_capitals_is_another_mailbox_for_us(case: Case) -> None:
    """I5."""
    case.write("people.csv", "email\nann@a.test\nANN@a.test\n")
    assert case.plan().totals["pending"] == 2


def test_without_dedupe_every_row_is_mailed(case: Case) -> None:
    case.write("people.csv", "email,name\nann@a.test,1\nann@a.test,2\n")
    assert case.plan(dedupe="none").addresses == ["ann@a.test", "ann@a.test"]


def test_a_line_end_or_nul_in_an_address_never_reaches_the_plan(case: Case) -> None:
    """I1."""
    case.write(
        "people.csv", b'email,n\n"ann@a.test\nRCPT TO:<x@y.test>",1\n"b\0b@a.test",2\n"c@a.test\r",3\n'
    )
    plan = case.plan()
    reason = "column email: a control character (such as a line end) in the address"
    assert plan.reasons("invalid") == [("people.csv", n, reason) for n in (2, 4, 5)]
    assert (plan.addresses, sums(plan.totals)) == ([], True)


def test_a_line_end_is_invalid_where_a_header_uses_the_value_and_legal_where_only_the_body_does(
    case: Case,
) -> None:
    """I1."""
    case.write("people.csv", 'email,name\nann@a.test,"Ann\nBcc: x@y.test"\nbob@a.test,Bob\n')
    in_header = case.plan(message=composer(subject="For {{ name }}"))
    in_body = case.plan(message=composer(BY_NAME))
    assert [(row, "line break" in reason) for _, row, reason in in_header.reasons("invalid")] == [(2, True)]
    assert (in_header.addresses, sorted(in_body.addresses)) == (["bob@a.test"], ["ann@a.test", "bob@a.test"])


def test_invalid_rows_keep_file_row_column_and_what_stood_there(case: Case) -> None:
    case.write("people.csv", "mail\nann\n\nbob@b.test\nx@\n")
    left_out = case.plan(columns={"email": "mail"}).left_out
    assert left_out == [
        LeftOut("invalid", "people.csv", 2, "ann", "column mail: no @ in the address"),
        LeftOut("invalid", "people.csv", 5, "x@", "column mail: nothing after the @"),
    ]


def test_where_filters_before_anything_else_is_asked_of_a_row(case: Case) -> None:
    case.write("people.csv", "email,country\nann@a.test,ES\nbob@b.test,XX\nnonsense,XX\n")
    plan = case.plan(where="country <> 'XX'")
    assert plan.addresses == ["ann@a.test"]
    assert plan.reasons("filtered") == [
        ("people.csv", 3, "where: country <> 'XX'"),
        ("people.csv", 4, "where: country <> 'XX'"),
    ]


def test_suppressed_people_are_left_out_whatever_the_capitals(case: Case) -> None:
    case.write("people.csv", "email\nAnn@a.test\nbob@a.test\n")
    plan = case.plan(suppressed=["ann@A.test"])
    assert (plan.addresses, plan.totals["suppressed"], sums(plan.totals)) == (["bob@a.test"], 1, True)


def test_reading_stops_when_the_limit_is_reached_and_no_row_behind_it_is_counted(case: Case) -> None:
    case.write("people.csv", "email\nno\nann@a.test\nno\nbob@a.test\nno\ncid@a.test\n")
    plan = case.plan(limit=2)
    assert plan.addresses == ["ann@a.test", "bob@a.test"]
    assert {state: n for state, n in plan.totals.items() if n} == {"source": 4, "invalid": 2, "pending": 2}


def test_seeds_are_intervals_of_their_own_and_counted_in_the_source(case: Case) -> None:
    case.write("people.csv", "email\nann@a.test\n")
    plan = case.plan(seeds=["qa@a.test", "qa@b.test"])
    assert sorted(plan.intervals) == [
        ("a.test", True, False, ["ann@a.test"]),
        ("a.test", True, True, ["qa@a.test"]),
        ("b.test", True, True, ["qa@b.test"]),
    ]
    assert (plan.totals["source"], sums(plan.totals)) == (3, True)


def test_a_seed_shows_the_names_of_the_fields_and_nobodys_values(case: Case) -> None:
    """I9."""
    case.write("people.csv", "email,name\nann@a.test,Ann\n")
    plan = case.plan(message=composer(BY_NAME), seeds=["qa@a.test"])
    assert plan.fields["qa@a.test"] == {"email": "qa@a.test", "name": "[name]"}


@pytest.mark.parametrize("budget", [None, TINY])
def test_a_seed_who_is_in_the_list_gets_one_message_with_their_own_values(case: Case, budget: object) -> None:
    case.write("people.csv", "email,name\nx@a.test,X\nqa@a.test,Q\nqa@a.test,R\n")
    plan = case.plan(message=composer(BY_NAME), seeds=["qa@a.test"], budget=budget)
    assert [(seeds, addresses) for _, _, seeds, addresses in plan.intervals if seeds] == [
        (True, ["qa@a.test"])
    ]
    assert plan.fields["qa@a.test"]["name"] == "Q"
    assert (plan.totals["duplicate"], sums(plan.totals)) == (2, True)


def test_a_seed_that_is_no_address_is_complained_of(case: Case) -> None:
    case.write("people.csv", "email\nann@a.test\n")
    with pytest.raises(ConfigError, match=r"recipients\.seeds\[1\]: 'qa': no @"):
        case.plan(seeds=["qa@a.test", "qa"])


def test_a_field_that_is_no_column_is_met_with_the_columns_there_are(case: Case) -> None:
    """I8."""
    case.write("people.csv", "email,nmae\nann@a.test,Ann\n")
    with pytest.raises(ConfigError, match="'name' is missing, did you mean 'nmae'"):
        case.plan(message=composer(BY_NAME))


def test_all_rows_without_a_field_are_told_before_anything_is_planned(case: Case) -> None:
    """I8."""
    people = "".join(f"p{n}@a.test{'' if n % 2 else ',N'}\n" for n in range(300))
    case.write("people.csv", "email,name\n" + people + "p1@a.test\n")
    with pytest.raises(ConfigError) as raised:
        case.plan(message=composer(BY_NAME), suppressed=["p3@a.test"])
    lines = str(raised.value).splitlines()
    assert [line.split(":")[1] for line in lines[:3]] == ["3", "7", "9"]  # not the suppressed one
    assert (len(lines), lines[-1]) == (4, "people.csv: and 146 more rows that cannot be rendered")
    with Store.open(case.folder / "test.journal") as store:
        assert not store.planned


def test_rows_without_a_field_are_skipped_where_the_campaign_says_so(case: Case) -> None:
    """I8."""
    case.write("people.csv", "email,name\nann@a.test,Ann\nbob@a.test\n")
    plan = case.plan(message=composer(BY_NAME, on_missing="skip"), on_missing="skip")
    assert (plan.addresses, plan.reasons("skipped")[0][:2]) == (["ann@a.test"], ("people.csv", 3))
    assert sums(plan.totals)


def test_rows_without_a_field_are_mailed_where_the_campaign_says_empty(case: Case) -> None:
    """I8."""
    case.write("people.csv", "email,name\nann@a.test,Ann\nbob@a.test\n")
    plan = case.plan(message=composer(BY_NAME, on_missing="empty"), on_missing="empty")
    assert sorted(plan.addresses) == ["ann@a.test", "bob@a.test"]


@pytest.mark.parametrize("budget", [None, TINY])
def test_a_shared_interval_has_only_people_whose_message_is_the_same(case: Case, budget: object) -> None:
    """I9."""
    names = [("ann", "A"), ("bob", "B"), ("cid", "A"), ("dan", "D"), ("eve", "A"), ("fay", "B")]
    rows = [f"{user}@{domain}.test,{name}\n" for domain in "xy" for user, name in names]
    case.write("people.csv", "email,name\n" + "".join(rows))
    plan = case.plan(message=composer(BY_NAME), budget=budget)
    found = {
        (domain, frozenset(address[:3] for address in addresses), shared)
        for domain, shared, _, addresses in plan.intervals
    }
    groups = (({"ann", "cid", "eve"}, True), ({"bob", "fay"}, True), ({"dan"}, False))
    assert found == {(f"{d}.test", frozenset(users), shared) for d in "xy" for users, shared in groups}


def test_an_absent_field_and_an_empty_one_are_not_the_same_message(case: Case) -> None:
    """I9."""
    case.write("people.csv", "email,name\nann@a.test\nbob@a.test,\ncid@a.test\n")
    message = composer("Hello {{ name | default('you') }}.\n", on_missing="empty")
    plan = case.plan(message=message, on_missing="empty")
    assert sorted((shared, sorted(people)) for _, shared, _, people in plan.intervals) == [
        (False, ["bob@a.test"]),
        (True, ["ann@a.test", "cid@a.test"]),
    ]


def test_a_message_that_shows_the_address_is_shared_with_nobody(case: Case) -> None:
    """I9."""
    case.write("people.csv", "email\nann@a.test\nbob@a.test\n")
    plan = case.plan(message=composer(to="{{ email }}"))
    assert plan.intervals == [("a.test", False, False, ["ann@a.test", "bob@a.test"])]


def test_what_a_crash_left_of_the_spill_is_removed_at_the_next_plan(case: Case) -> None:
    """J1."""
    left = case.folder / "spill"
    left.mkdir()
    (left / "stdin.csv").write_text("email\nold@a.test\n")
    plan = case.plan("-", stdin=b"email\nann@a.test\n", budget=TINY)
    assert (plan.addresses, left.exists()) == (["ann@a.test"], False)


def test_a_list_that_breaks_off_leaves_no_plan_and_no_spill(case: Case) -> None:
    case.write("people.csv", "email\n" + "".join(f"p{n}@a.test\n" for n in range(100)) + '"open@a.test\n')
    with pytest.raises(ConfigError, match="never closed"):
        case.plan(budget=TINY)
    with Store.open(case.folder / "test.journal") as store:
        assert (store.planned, (case.folder / "spill").exists()) == (False, False)


@pytest.mark.parametrize("message", ["Hello.\n", BY_NAME])
def test_one_huge_domain_among_many_is_planned_like_any_other(case: Case, message: str) -> None:
    """I10."""
    rows = [f"p{n}@{'big' if n % 3 else f'd{n}'}.test,N{n % 7}\n" for n in range(900)]
    case.write("people.csv", "email,name\n" + "".join(rows + rows[::5]))
    whole = case.plan(message=composer(message))
    pieces = case.plan(message=composer(message), budget=TINY)
    assert sorted(whole.addresses) == sorted(pieces.addresses)
    assert sorted(whole.left_out, key=_place) == sorted(pieces.left_out, key=_place)
    assert (pieces.totals, sums(pieces.totals)) == (whole.totals, True)
    assert _same_names(pieces, personal=message == BY_NAME)


def test_one_address_a_thousand_times_is_mailed_once(case: Case) -> None:
    """I5."""
    case.write("people.csv", "email\n" + "ann@a.test\n" * 1000)
    plan = case.plan(budget=TINY)
    assert (plan.addresses, plan.totals["duplicate"]) == (["ann@a.test"], 999)


def _place(row: LeftOut) -> tuple[str, int]:
    return row.file, row.row


def _same_names(plan: Plan, *, personal: bool) -> bool:
    for domain, shared, _, people in plan.intervals:
        assert all(re.fullmatch(rf"p\d+@{re.escape(domain)}", address) for address in people)
        if personal and shared and len({plan.fields[address]["name"] for address in people}) > 1:
            return False
    return True
