"""What people ask the journal afterwards: one person, everybody in a state, why things failed."""

from __future__ import annotations

from pathlib import Path

import pytest
from journal_plans import NewStore

from bulkmail.journal import Exported, Failure, History, LeftOut, Planned, Record, Store


def bounced(first: int, last: int, reply: str = "550 5.1.1 unknown") -> Record:
    return Record(first, last, "bounced", 5.0, 550, "5.1.1", reply, stage="RCPT", host="mx.a.test")


def test_one_person_is_told_every_attempt_with_its_reply(planned: NewStore) -> None:
    store = planned([("a.test", 3000)])
    greylisted = Record(
        900, 2900, "deferred", 1.0, 451, "4.7.1", "451 4.7.1 later", stage="RCPT", host="mx1.a.test",
        address="192.0.2.1", source="192.0.2.9", tls="TLSv1.3", due=61.0,
    )  # fmt: skip
    store.commit([greylisted], [], [])
    store.commit([Record(2047, 2050, "delivered", 62.0, 250, None, "250 ok", attempted=False)], [], [])
    [history] = store.history("USER2049@A.test")
    assert isinstance(history, History)
    assert (history.id, history.address, history.state) == (2049, "user2049@a.test", "delivered")
    first, second = history.attempts
    assert (first.at, first.state, first.code, first.enhanced, first.reply, first.stage, first.host) == (
        1.0, "deferred", 451, "4.7.1", "451 4.7.1 later", "RCPT", "mx1.a.test",
    )  # fmt: skip
    assert (first.address, first.source, first.tls, first.due) == ("192.0.2.1", "192.0.2.9", "TLSv1.3", 61.0)
    assert (second.reply, second.attempted, second.due) == ("250 ok", False, None)


def test_a_person_left_out_is_told_why(path: Path) -> None:
    with Store.create(path, {}) as store:
        with store.write_plan() as writer:
            writer.interval("a.test", True, False, [Planned("ann@a.test", "{}")])
            writer.left_out(LeftOut("duplicate", "list.csv", 9, "ann@a.test", "is in row 2 already"))
            writer.left_out(LeftOut("invalid", "list.csv", 12, "no address", "no @ in the address"))
        assert [type(one) for one in store.history("ann@a.test")] == [History, LeftOut]
        assert store.history("no address") == [
            LeftOut("invalid", "list.csv", 12, "no address", "no @ in the address")
        ]
        assert store.history("bob@a.test") == []


def test_a_person_in_an_international_domain_is_found_by_either_form(path: Path) -> None:
    """I6."""
    with Store.create(path, {}) as store:
        with store.write_plan() as writer:
            writer.interval("xn--bcher-kva.test", True, False, [Planned("ann@xn--bcher-kva.test", "{}")])
        assert store.history("ann@bücher.test") == store.history("ann@xn--bcher-kva.test") != []


def test_an_export_is_a_list_again(path: Path) -> None:
    with Store.create(path, {}) as store:
        with store.write_plan() as writer:
            people = [Planned("ann@a.test", '{"name": "Ann"}'), Planned("bob@a.test", '{"name": "Bob, é"}')]
            writer.interval("a.test", True, False, people)
        store.commit([bounced(2, 2)], [], [])
        assert list(store.export("bounced")) == [
            Exported("bob@a.test", {"name": "Bob, é"}, "550 5.1.1 unknown", 550, "5.1.1", "RCPT", "mx.a.test")
        ]
        assert list(store.export("pending")) == [Exported("ann@a.test", {"name": "Ann"}, "")]


def test_suppressed_are_those_of_the_plan_and_those_of_the_run(path: Path) -> None:
    listed = LeftOut("suppressed", "list.csv", 1, "cy@a.test", "on the suppression list")
    with Store.create(path, {}) as store:
        with store.write_plan() as writer:
            writer.interval("a.test", True, False, [Planned("ann@a.test", "{}")])
            writer.left_out(listed)
        store.commit([Record(1, 1, "suppressed", 1.0, reply="since the plan", attempted=False)], [], [])
        assert list(store.export("suppressed")) == [Exported("ann@a.test", {}, "since the plan"), listed]
        assert store.totals()["suppressed"] == 2


def test_an_export_shows_the_last_reply_of_who_is_unfinished(planned: NewStore) -> None:
    store = planned([("a.test", 4)])
    store.commit([Record(1, 4, "deferred", 1.0, 451, None, "451 later", due=9.0)], [], [])
    store.commit([Record(2, 2, "deferred", 9.0, 452, None, "452 full", due=99.0)], [], [])
    store.commit([Record(3, 3, "in_doubt", 9.0, reply="connection lost")], [], [])
    shown = {row.address: row.reply for state in ("deferred", "in_doubt") for row in store.export(state)
             if isinstance(row, Exported)}  # fmt: skip
    assert shown == {
        "user1@a.test": "451 later",
        "user2@a.test": "452 full",
        "user3@a.test": "connection lost",
        "user4@a.test": "451 later",
    }


def test_an_unknown_state_is_named_with_those_there_are(planned: NewStore) -> None:
    with pytest.raises(ValueError, match=r"lost is not a state; they are invalid, .*in_doubt"):
        list(planned([("a.test", 1)]).export("lost"))


def test_an_export_reads_on_while_the_run_writes(planned: NewStore) -> None:
    store = planned([("a.test", 100)])
    rows = store.export("pending")
    first = next(rows)
    store.commit([Record(1, 100, "delivered", 1.0)], [], [])
    assert 1 + len(list(rows)) == 100
    assert (first.address, list(store.export("pending"))) == ("user1@a.test", [])


def test_failures_are_counted_by_their_reason(planned: NewStore) -> None:
    store = planned([("a.test", 5000), ("b.test", 10)])
    store.commit([bounced(1, 3000), Record(3001, 3004, "expired", 5.0, 451, "4.7.1", "451 later")], [], [])
    store.commit([bounced(5001, 5003), bounced(5004, 5004, "550 no")], [], [])
    store.commit([Record(5005, 5006, "deferred", 5.0, 452, "4.2.2", "452 full", due=9.0)], [], [])
    store.commit([Record(5007, 5007, "in_doubt", 5.0, reply="connection lost")], [], [])
    assert store.failures(3) == [
        Failure("bounced", 550, "5.1.1", "550 5.1.1 unknown", 3003, "user1@a.test"),
        Failure("expired", 451, "4.7.1", "451 later", 4, "user3001@a.test"),
        Failure("deferred", 452, "4.2.2", "452 full", 2, "user5@b.test"),
    ]


def test_the_undelivered_are_streamed_in_the_order_of_the_plan(planned: NewStore) -> None:
    store = planned([("a.test", 2), ("b.test", 2)])
    store.commit([bounced(3, 3), Record(4, 4, "delivered", 1.0)], [], [])
    store.commit([Record(1, 1, "deferred", 1.0, due=2.0)], [], [])
    store.commit([Record(1, 1, "expired", 6.0, 451, None, "451 later", host="mx.b.test")], [], [])
    found = [(lost.address, lost.state, lost.reply, lost.host, lost.at) for lost in store.bounced()]
    assert found == [
        ("user1@a.test", "expired", "451 later", "mx.b.test", 6.0),
        ("user1@b.test", "bounced", "550 5.1.1 unknown", "mx.a.test", 5.0),
    ]


def test_the_biggest_domains_tell_their_states(planned: NewStore) -> None:
    store = planned([("a.test", 3), ("b.test", 2000), ("seeds:a.test", 1), ("c.test", 1)])
    store.commit([Record(2, 1500, "delivered", 1.0), Record(1501, 1503, "deferred", 1.0, due=2.0)], [], [])
    store.commit([Record(1502, 1502, "bounced", 2.0)], [], [])
    assert store.domains(2) == [
        ("b.test", {"pending": 500, "deferred": 2, "delivered": 1497, "bounced": 1}),
        ("a.test", {"pending": 2, "delivered": 2}),
    ]
