"""Forward-paths on the wire: as many commands as addresses, whatever stands in them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smtp_strategies import canonical_addresses

from bulkmail.smtp import AddressError, Mailbox, Rcpt, parse_command, paths_of

evil = st.sampled_from(
    (
        "\r\n",
        "\n",
        "\r",
        "\0",
        "<",
        ">",
        '"',
        "\\",
        " ",
        "\x85",
        "\u2028",
        "RSET",
        ">\r\nRSET\r\n",
        "> SIZE=1",
        "a@b",
    )
)
anything = st.lists(st.one_of(evil, st.text(max_size=4), st.just("a@a.test")), max_size=5).map("".join)

# One command, whose path has brackets only within quotes.
ONE_RCPT = re.compile(rb'RCPT TO:<(?:"(?:[^"\\\r\n\0]|\\[^\r\n\0])*"|[^<>"\r\n\0 ])*>')


@given(st.lists(canonical_addresses, min_size=1, max_size=8))
def test_the_paths_of_canonical_addresses_are_one_rcpt_each(people: list[str]) -> None:
    """I6."""
    paths = paths_of(people)
    mailboxes = [Mailbox.parse(one) for one in people]
    lines = paths.wire.split(b"\r\n")
    assert [parse_command(line) for line in lines[:-1]] == [Rcpt(mailbox) for mailbox in mailboxes]
    assert (lines[-1], paths.recipients, paths.smtputf8) == (
        b"",
        len(people),
        any(mailbox.smtputf8 for mailbox in mailboxes),
    )


@given(st.lists(st.one_of(anything, canonical_addresses), min_size=1, max_size=5))
def test_whatever_they_are_given_paths_are_so_many_commands_or_an_address_error(people: list[str]) -> None:
    """I1: nothing in an address ends a path or a line."""
    try:
        paths = paths_of(people)
    except AddressError:
        return
    assert paths.recipients == len(people)
    assert paths.wire.endswith(b"\r\n")
    lines = paths.wire.removesuffix(b"\r\n").split(b"\r\n")
    assert len(lines) == len(people)
    assert [line for line in lines if ONE_RCPT.fullmatch(line) is None] == []


@pytest.mark.parametrize(
    "address",
    [
        "ann@a.test>\r\nRSET\r\nMAIL FROM:<x@y",
        "ann@a.test\r\nRCPT TO:<bob@a.test",
        "ann@a.test\nbob@a.test",
        "ann@a.test\n",
        "\nann@a.test",
        "ann@a.test\rbob",
        "ann\0@a.test",
        "ann@a.test> NOTIFY=NEVER",
        "ann@a.test NOTIFY=NEVER",
        "<ann@a.test>",
        '"ann\r\n"@a.test',
        '"ann\\\n"@a.test',
        '"ann"@a.test\r\n',
        "jörg\r\n@a.test",
        "jörg@a.test\u2028",
        "",
        "\n",
    ],
)
@pytest.mark.parametrize("others", [0, 1, 3])
def test_an_address_that_would_be_more_than_one_is_refused_wherever_it_stands(
    address: str, others: int
) -> None:
    """I1: also where the number of lines would come out right."""
    for place in range(others + 1):
        people = ["bob@a.test"] * others
        people.insert(place, address)
        with pytest.raises(AddressError):
            paths_of(people)
        with pytest.raises(AddressError):
            paths_of([*people, ""])
