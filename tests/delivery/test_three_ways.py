"""Plain, riding and whole tell the same story: what a host says decides, not how closely it was spoken to."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from three_ways import CLOSED, DISMISSED, TAKEN, Script, run
from ways import WAYS

COUNT = 24
SEVERAL = settings(max_examples=10)  # up to three runs over real sockets each

words = st.sampled_from((b"550 5.1.1 unknown", b"451 4.3.0 later", b"554 5.6.0 no", b"450 4.2.1 not now"))
personal = st.dictionaries(
    st.integers(1, COUNT),
    st.tuples(st.sampled_from(("MAIL", "RCPT", "RCPT", "END_OF_DATA")), words),
    max_size=10,
)
refused = st.tuples(st.sampled_from(("RCPT", "END_OF_DATA")), words)
# Too many recipients make later transactions smaller, so that it is not the same ones that end in a refusal.
too_many = st.tuples(st.just("RCPT"), st.just(b"452 4.5.3 too many recipients"))
shared = st.one_of(
    st.dictionaries(st.integers(1, COUNT), refused, max_size=10),
    st.dictionaries(st.integers(1, COUNT), too_many | st.tuples(st.just("RCPT"), words), max_size=10),
)
endings = st.dictionaries(
    st.integers(1, 4 * COUNT), st.sampled_from((CLOSED, TAKEN, DISMISSED)), min_size=1, max_size=3
)


@SEVERAL
@given(personal, st.integers(2, 8), st.booleans())
def test_everybody_fares_the_same_whichever_way_his_letter_goes(
    refusals: dict[int, tuple[str, bytes]], at_once: int, pieces: bool
) -> None:
    """X1, X3, X6, X17: no connection is lost, and so nobody is in doubt."""
    came = {
        way: run(Script(refusals), COUNT, way, at_once=at_once, patient=True, pieces=pieces) for way in WAYS
    }
    for one in came.values():
        one.check(COUNT)
    assert came["riding"].fates == came["plain"].fates
    assert came["whole"].fates == came["plain"].fates
    assert came["plain"].in_doubt == 0


@SEVERAL
@given(shared, st.integers(2, 4), st.integers(2, 8), st.booleans())
def test_those_who_share_transactions_fare_the_same(
    refusals: dict[int, tuple[str, bytes]], each: int, at_once: int, pieces: bool
) -> None:
    """X1, X2, X5, X6."""
    came = {
        way: run(Script(refusals), COUNT, way, at_once=at_once, shared=each, patient=True, pieces=pieces)
        for way in WAYS
    }
    for one in came.values():
        one.check(COUNT)
    assert came["riding"].fates == came["plain"].fates
    assert came["whole"].fates == came["plain"].fates


@pytest.mark.parametrize("way", WAYS)
@SEVERAL
@given(personal, endings, st.integers(2, 8), st.booleans())
def test_when_connections_end_nobody_is_lost_and_nobody_gets_two(
    way: str, refusals: dict[int, tuple[str, bytes]], ends: dict, at_once: int, pieces: bool
) -> None:
    """X8, G2, G9: `check` compares with what the host has; who is in doubt was in flight."""
    came = run(Script(refusals, ends), COUNT, way, at_once=at_once, pieces=pieces)
    came.check(COUNT)
    in_flight = at_once if way == "whole" else 1
    assert came.in_doubt <= in_flight * came.script.met


@pytest.mark.parametrize("way", WAYS)
@SEVERAL
@given(shared, endings, st.integers(2, 4), st.integers(2, 8), st.booleans())
def test_the_same_of_those_who_share_transactions(
    way: str, refusals: dict[int, tuple[str, bytes]], ends: dict, each: int, at_once: int, pieces: bool
) -> None:
    """X8: no more are in doubt than messages in flight times recipients per transaction."""
    came = run(Script(refusals, ends), COUNT, way, at_once=at_once, shared=each, pieces=pieces)
    came.check(COUNT)
    in_flight = at_once if way == "whole" else 1
    assert came.in_doubt <= in_flight * each * came.script.met


@SEVERAL
@given(personal, endings, st.integers(1, 8), st.booleans())
def test_as_the_session_decides_itself_the_same_holds(
    refusals: dict[int, tuple[str, bytes]], ends: dict, in_flight: int, pieces: bool
) -> None:
    """X8."""
    came = run(Script(refusals, ends), COUNT, messages_in_flight=in_flight, pieces=pieces)
    came.check(COUNT)
    assert came.in_doubt <= in_flight * came.script.met
