"""How many messages are in flight on a connection: one at first, more while all goes well."""

from __future__ import annotations

import re
from dataclasses import replace
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from post_office import letter_of
from three_ways import CLOSED, DISMISSED, TAKEN, Came, Script, run

from bulkmail.delivery.shaping import Limits
from bulkmail.delivery.site import BELIEVED_S, Site
from bulkmail.sandbox.behaviour import Said
from bulkmail.smtp import grammar

PIPELINING_ALONE = ("CHUNKING",)
NEITHER = ("CHUNKING", "PIPELINING")


def flights(came: Came, verb: str = "MAIL") -> list[list[int]]:
    """For each connection, how many of `verb` stood in each flight."""
    return [session.flight_sizes(verb) for session in came.ledger.sessions]


def most(came: Came, verb: str = "MAIL") -> int:
    return max(size for sizes in flights(came, verb) for size in sizes)


def verbs(came: Came) -> set[str]:
    return {command.split()[0] for session in came.ledger.sessions for command in session.commands}


# --- the number: pure --------------------------------------------------------------------------------


def test_it_begins_at_one_doubles_and_stays_within_the_limit() -> None:
    site = Site("mx.a.test", Limits(messages_in_flight=20), 0.0)
    windows = []
    for at_once in (1, 2, 1, 4, 8, 16, 20):
        windows.append(site.window(0.0))
        site.went_well(2, at_once)
    assert windows == [1, 2, 4, 4, 8, 16, 20]


@given(st.integers(1, 40), st.lists(st.sampled_from(("well", "trouble", "lockstep", "limit")), max_size=30))
def test_whatever_happens_it_is_at_least_one_and_never_above_the_limit(limit: int, events: list[str]) -> None:
    site = Site("mx.a.test", Limits(messages_in_flight=limit), 0.0)
    expected = 1
    for event in events:
        if event == "well":
            site.went_well(3, 100)
            expected = min(2 * expected, limit)
        elif event == "trouble":
            site.shrink()
            expected = 1
            assert not site.keeps_connections
        elif event == "lockstep":
            site.learn(0.0, lockstep=True)
        else:
            limit = max(1, limit // 2)
            site.limit(Limits(messages_in_flight=limit))
            expected = min(expected, limit)
        window = 1 if site.learned(0.0).lockstep else expected
        assert 1 <= site.window(0.0) <= limit
        assert site.window(0.0) == window


def test_a_host_in_lock_step_has_one_message_in_flight_until_that_is_forgotten() -> None:
    """X9."""
    site = Site("mx.a.test", Limits(), 0.0)
    for _ in range(4):
        site.went_well(2, 8)
    site.learn(0.0, lockstep=True)
    assert [site.window(now) for now in (0.0, BELIEVED_S - 1, BELIEVED_S + 1)] == [1, 1, 8]


def test_a_site_keeps_connections_once_a_second_transaction_was_answered_on_one() -> None:
    site = Site("mx.a.test", Limits(), 0.0)
    told = [site.keeps_connections]
    for transactions in (1, 1, 2, 1):
        site.went_well(transactions)
        told.append(site.keeps_connections)
    site.shrink()
    assert [*told, site.keeps_connections] == [False, False, False, True, True, False]


# --- on the wire -------------------------------------------------------------------------------------


def test_with_chunking_the_messages_in_flight_double_up_to_the_limit() -> None:
    came = run(Script(), 60)
    came.check(60)
    (sizes,) = flights(came)
    # two that show that connections are kept, one that shows that BDAT works
    assert (sizes[:7], set(came.fates.values())) == ([1, 1, 1, 2, 4, 8, 8], {"delivered"})
    assert {"BDAT", "END_OF_DATA"} & verbs(came)


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_never_more_are_in_flight_than_the_campaign_allows(limit: int) -> None:
    came = run(Script(), 40, messages_in_flight=limit)
    came.check(40)
    assert (most(came), set(came.fates.values())) == (limit, {"delivered"})


def test_between_messages_in_flight_stands_a_rset() -> None:
    """X17."""
    came = run(Script(), 30)
    for session in came.ledger.sessions:
        for flight in session.flights:
            mails = [at for at, command in enumerate(flight) if command.startswith("MAIL")]
            assert all(flight[at - 1] == "RSET" for at in mails[1:])


def test_with_pipelining_alone_the_next_envelope_rides_and_one_message_is_in_flight() -> None:
    came = run(Script(), 40, without=PIPELINING_ALONE)
    came.check(40)
    assert (most(came), "BDAT" in verbs(came), set(came.fates.values())) == (1, False, {"delivered"})
    riding = [
        flight
        for session in came.ledger.sessions
        for flight in session.flights
        if flight[0] == "END_OF_DATA" and len(flight) > 1
    ]
    assert riding
    assert all(
        [line.split()[0] for line in one] == ["END_OF_DATA", "RSET", "MAIL", "RCPT", "DATA"] for one in riding
    )


@pytest.mark.parametrize("without", [NEITHER, ("PIPELINING",)])
def test_without_pipelining_a_host_gets_one_command_at_a_time(without: tuple[str, ...]) -> None:
    """RFC 2920: also where CHUNKING is announced."""
    came = run(Script(), 20, without=without)
    came.check(20)
    sizes = {len(flight) for session in came.ledger.sessions for flight in session.flights}
    assert (sizes, set(came.fates.values())) == ({1}, {"delivered"})


# --- trouble -----------------------------------------------------------------------------------------


# How many replies a host has given when flights of 1, 1, 1, 2 and 4 messages are answered: the first two with
# DATA, the others with BDAT and RSET in between.
BEFORE_EIGHT = 4 + 4 + 3 + 7 + 15


@pytest.mark.parametrize("ending", [CLOSED, TAKEN, DISMISSED])
@pytest.mark.parametrize("place", range(1, 32, 3))
def test_after_a_connection_ended_it_is_one_message_at_a_time_again(place: int, ending: object) -> None:
    came = run(Script(endings={BEFORE_EIGHT + place: ending}), 60)
    came.check(60)
    first, second = flights(came)[:2]
    assert (first[:5], second[:4]) == ([1, 1, 1, 2, 4], [1, 1, 2, 4])
    assert (came.script.met, came.in_doubt <= 8) == (1, True)


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "END_OF_DATA"])
def test_a_refusal_in_the_middle_of_a_window_is_that_of_one_alone(stage: str) -> None:
    """X17: everybody else is delivered to, each under his own reverse-path."""
    came = run(Script({10: (stage, b"550 5.1.1 no"), 12: (stage, b"450 4.2.1 later")}), 40)
    came.check(40)
    assert {number: fate for number, fate in came.fates.items() if fate != "delivered"} == {
        10: "bounced",
        12: "deferred",
    }


class Closing(Script):
    """Closes without a word where the MAIL behind so many messages on a connection was due."""

    messages = 1

    def departure(self, conversation, stage, event):
        if stage == "MAIL" and conversation._answers._messages >= self.messages:
            return CLOSED
        return super().departure(conversation, stage, event)


def closing_after(messages: int) -> Closing:
    script = Closing()
    script.messages = messages
    return script


@pytest.mark.parametrize("without", [(), PIPELINING_ALONE, NEITHER])
def test_a_host_that_closes_after_each_message_never_gets_two_in_flight(without: tuple[str, ...]) -> None:
    """Each message is answered, then the connection is gone."""
    came = run(closing_after(1), 30, without=without)
    came.check(30)
    assert (most(came), came.in_doubt, set(came.fates.values())) == (1, 0, {"delivered"})


@pytest.mark.parametrize("messages", [2, 3, 5, 6, 7, 9, 14])
def test_a_host_that_closes_after_some_messages_puts_only_one_window_in_doubt(messages: int) -> None:
    """X10, X8: what it did once is learned, though it said nothing."""
    came = run(closing_after(messages), 120)
    came.check(120)
    assert came.in_doubt <= 8
    assert set(came.fates.values()) <= {"delivered", "in_doubt"}


@pytest.mark.parametrize("messages", [1, 2, 5])
@pytest.mark.parametrize("without", [PIPELINING_ALONE, NEITHER])
def test_a_connection_that_ends_where_mail_was_due_costs_nobody_an_attempt(
    messages: int, without: tuple[str, ...]
) -> None:
    """G9: of riding envelopes as of those that stand alone."""
    came = run(closing_after(messages), 40, without=without)
    came.check(40)
    assert set(came.fates.values()) == {"delivered"}


# --- BDAT that does not work -------------------------------------------------------------------------


class NoBdat(Script):
    """Announces CHUNKING and refuses each BDAT, whose octets it at least reads."""

    words = b"502 5.5.1 command not implemented"

    def departure(self, conversation, stage, event):
        if stage == "END_OF_DATA" and conversation._protocol.state.name != "CONTENT":
            return Said(raw=self.words + b"\r\n")
        return super().departure(conversation, stage, event)


@pytest.mark.parametrize(
    "words", [b"500 what?", b"500 5.5.2 unrecognized", b"502 5.5.1 not implemented", b"503 5.5.1 sequence"]
)
@pytest.mark.parametrize("shared", [0, 4])
def test_a_host_that_announces_chunking_and_refuses_bdat_gets_data(words: bytes, shared: int) -> None:
    """X12: on a fresh transaction, remembered, and everybody is delivered to once."""
    script = NoBdat()
    script.words = words
    came = run(script, 60, shared=shared)
    came.check(60)
    assert set(came.fates.values()) == {"delivered"}
    said = [command for session in came.ledger.sessions for command in session.commands]
    chunks = sum(
        1 for one, before in zip(said[1:], said, strict=False) if one == "END_OF_DATA" and before != "DATA"
    )
    assert 0 < chunks <= 8


@pytest.mark.parametrize("lines", range(8))
def test_where_the_content_of_a_chunk_is_read_as_commands_nobody_is_taken_for_delivered(lines: int) -> None:
    """X12, G8: replies to its lines stand where those to the next messages are due."""

    def write(one):
        letter = letter_of(one)
        return replace(letter, pieces=letter.pieces + (b"and so on\r\n",) * lines)

    with patch.object(grammar, "BDAT_LINE", re.compile(rb"(?!)")):
        came = run(Script(), 40, write=write)
    came.check(40)
    fates = list(came.fates.values())
    assert (fates.count("in_doubt") <= 4, fates.count("bounced"), fates.count("delivered") >= 30) == (
        True,
        0,
        True,
    )
