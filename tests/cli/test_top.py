"""What `top` makes of what it is told: rates between two looks, and lines that no terminal obeys."""

from __future__ import annotations

from typing import Any

from bulkmail.cli.top import _print, _rated


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
