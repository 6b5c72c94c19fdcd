"""Units: what a value with a unit means, and what is said to one without."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.campaign.units import Rate, parse_duration, parse_percent, parse_rate


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("4h", 14_400),
        ("2d", 172_800),
        ("1h30m", 5_400),
        ("1.5h", 5_400),
        ("250ms", 0.25),
        ("4 h", 14_400),
        ("0s", 0),
    ],
)
def test_a_duration_is_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "5x", "m", "-5m", "5m later", "5 minutes", "１m", "1e3s", "inf s", "9" * 400 + "d"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("parse", "text", "hint"),
    [
        (parse_duration, "5", "5 has no unit: write 5s, 5m, 5h or 5d"),
        (parse_rate, "100", "100 has no unit: write 100/s, 100/min or 100/day"),
        (parse_rate, "0/s", "a rate of nothing would never send: write more than 0"),
    ],
)
def test_a_refusal_says_what_to_write(parse: object, text: str, hint: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse(text)  # type: ignore[operator]
    assert str(refused.value) == hint


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/s", Rate(100, 1)),
        ("2000/day", Rate(2000, 86_400)),
        ("600/min", Rate(600, 60)),
        ("0.5 / s", Rate(0.5, 1)),
        ("90/hour", Rate(90, 3_600)),
    ],
)
def test_a_rate_keeps_its_count_and_its_period(text: str, rate: Rate) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["100/", "/s", "100/fortnight", "-1/s", "100/s/s", "many/s", "1e9/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_rate(text)


@given(st.integers(1, 10**9), st.sampled_from([1.0, 60.0, 3600.0, 86400.0]))
def test_a_shown_rate_is_read_back(count: int, per_s: float) -> None:
    assert parse_rate(str(Rate(count, per_s))) == Rate(count, per_s)


@given(st.text(max_size=30))
def test_any_text_is_a_value_or_a_refusal(text: str) -> None:
    outcomes = 0
    for parse in (parse_duration, parse_rate):
        try:
            outcomes += parse(text) is not None  # type: ignore[operator]
        except ValueError:
            outcomes += 1
    assert outcomes == 2


@pytest.mark.parametrize(("text", "part"), [("3%", 0.03), ("0.1%", 0.001), ("99.9 %", 0.999)])
def test_a_percentage_is_a_part_of_one(text: str, part: float) -> None:
    assert parse_percent(text) == pytest.approx(part)


@pytest.mark.parametrize(
    ("text", "says"),
    [("3", "write 3%"), ("0%", "more than 0%"), ("100%", "less than 100%"), ("three", "write it as 3%")],
)
def test_what_is_no_percentage_is_told_how_to_write_one(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_percent(text)
