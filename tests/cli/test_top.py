"""What `top` makes of what it is told: rates between two looks, and lines that no terminal obeys."""

from __future__ import annotations

from typing import Any

from bulkmail.cli.top import _lines, _print, _rated


def told(seconds: float, answered: int, **more: Any) -> dict[str, Any]:
    row = {
        "provider": "a.test",
        "sites": 2,
        "connections": 3,
        "answered": answered,
        "waiting": 1200,
        "deferred": 4,
        "last": "throttled",
        "last_s": 12.0,
        "held": "left alone for 30 s: \x1b[31mgo away",
    }
    totals = {"source": 2000, "delivered": 700, "pending": 1300}
    one = {"done": False, "campaign": "c", "via": "mx", "seconds": seconds, "totals": totals, "rows": [row]}
    return {**one, "paused": None, "stopping": False, **more}


def test_a_rate_is_what_came_between_two_looks() -> None:
    first, second = _rated([told(10.0, 100), told(12.0, 150)])
    assert (first["rated"], first["rows"][0]["rate"]) == (False, 0.0)
    assert (second["rated"], second["rows"][0]["rate"]) == (True, 25.0)


def test_what_is_shown_is_safe_to_be_shown(capsys: Any) -> None:
    _, one = _rated([told(10.0, 100), told(12.0, 150)])
    _print(one)
    assert capsys.readouterr().out.splitlines() == [
        "c via mx, 12 s: 25.0/s",
        "700 delivered, 1,300 pending",
        "provider    conn  rate/s  waiting  deferred  last refusal     held back by",
        "a.test (2)     3    25.0    1,200         4  throttled, 12 s  left alone for 30 s: \\x1b[31mgo away",
    ]


def test_a_run_that_has_ended_says_so(capsys: Any) -> None:
    _print({"done": True, "totals": {"source": 1, "delivered": 1}})
    assert capsys.readouterr().out == "The run has ended.\n1 delivered\n"


def test_in_a_narrow_terminal_what_holds_back_stands_below_its_provider(capsys: Any) -> None:
    """80 columns would cut it off, and it is what one looks for."""
    _, one = _rated([told(10.0, 100), told(12.0, 150)])
    one["rows"] = [{**one["rows"][0], "held": "message_rate 20/s (default, campaign.yaml:8)"}] * 3
    head, table, more = _lines(one, 80, 10)
    assert len(head) + len(table) + len(more) == 2 + 5 + 1
    assert table == [
        "provider    conn  rate/s  waiting  deferred  last refusal",
        *[
            "a.test (2)     3    25.0    1,200         4  throttled, 12 s",
            "  message_rate 20/s (default, campaign.yaml:8)",
        ]
        * 2,
    ]
    assert more == ["and 1 more"]
    assert [len(part) for part in _lines(one, 200, 24)] == [2, 4, 0]
    capsys.readouterr()
    _print(one, 80)
    assert capsys.readouterr().out.splitlines()[4] == "  message_rate 20/s (default, campaign.yaml:8)"


PACE = {"rate": 12.4, "takes": 13.0, "connections": 4, "how": "found", "until": "2026-11-29T14:03:00+00:00"}


def test_what_a_provider_was_found_to_take_has_a_column_where_somebody_has_asked_for_less(
    capsys: Any,
) -> None:
    _, one = _rated([told(10.0, 100), told(12.0, 150)])
    one["rows"] = [{**one["rows"][0], "held": "", "pace": PACE}, {**one["rows"][0], "held": "", "pace": None}]
    _print(one)
    assert capsys.readouterr().out.splitlines()[2:4] == [
        "provider    conn  rate/s  waiting  deferred  last refusal     takes                               "
        "held back by",
        "a.test (2)     3    25.0    1,200         4  throttled, 12 s  13/s, 4 conn: found, kept to 11-29",
    ]
    assert _lines(one, 80, 24)[1][:3] == [
        "provider    conn  rate/s  waiting  deferred  last refusal",
        "a.test (2)     3    25.0    1,200         4  throttled, 12 s",
        "  takes 13/s, 4 conn: found, kept to 11-29",
    ]
