"""What EHLO announces, read from answers as they are met."""

from __future__ import annotations

import pytest

from bulkmail.smtp import NONE, Extensions, Limits, Reply


def test_everything_announced_is_understood() -> None:
    reply = Reply.of(
        250,
        "mx.test at your service",
        "PIPELINING",
        "8BITMIME",
        "SMTPUTF8",
        "CHUNKING",
        "STARTTLS",
        "ENHANCEDSTATUSCODES",
        "DSN",
        "SIZE 35882577",
        "AUTH PLAIN LOGIN SCRAM-SHA-256",
        "LIMITS MAILMAX=20 RCPTMAX=50 RCPTDOMAINMAX=1",
    )
    assert Extensions.parse(reply) == Extensions(
        pipelining=True,
        eightbitmime=True,
        smtputf8=True,
        chunking=True,
        starttls=True,
        enhanced_status_codes=True,
        dsn=True,
        size=35882577,
        announces_size=True,
        auth=frozenset({"PLAIN", "LOGIN", "SCRAM-SHA-256"}),
        limits=Limits(20, 50, 1),
        esmtp=True,
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pipelining", Extensions(esmtp=True, pipelining=True)),
        ("SIZE", Extensions(esmtp=True, announces_size=True)),
        ("SIZE 0", Extensions(esmtp=True, announces_size=True)),
        ("SIZE many", Extensions(esmtp=True, announces_size=True)),
        ("SIZE 10 20", Extensions(esmtp=True, announces_size=True, size=10)),
        ("SIZE " + "9" * 5000, Extensions(esmtp=True, announces_size=True)),
        ("AUTH=LOGIN plain", Extensions(esmtp=True, auth=frozenset({"LOGIN", "PLAIN"}))),
        ("AUTH=", Extensions(esmtp=True, auth=frozenset())),
        ("AUTH", Extensions(esmtp=True)),
        ("LIMITS RCPTMAX=0 MAILMAX=x WHAT=1 EVER", Extensions(esmtp=True)),
        ("LIMITS rcptmax=7", Extensions(esmtp=True, limits=Limits(None, 7, None))),
        ("XCLIENT NAME ADDR", Extensions(esmtp=True)),
        ("", Extensions(esmtp=True)),
        (b"\xff\xfe 8BITMIME", Extensions(esmtp=True)),
    ],
)
def test_an_announcement_is_read_tolerantly(line: str | bytes, expected: Extensions) -> None:
    """X10."""
    assert Extensions.parse(Reply.of(250, "mx.test", line)) == expected


def test_both_forms_of_auth_together_are_one_set() -> None:
    reply = Reply.of(250, "mx.test", "AUTH PLAIN", "AUTH=LOGIN")
    assert Extensions.parse(reply).auth == {"PLAIN", "LOGIN"}


def test_the_first_line_is_a_name_and_not_a_keyword() -> None:
    assert Extensions.parse(Reply.of(250, "PIPELINING")) == Extensions(esmtp=True)


def test_a_refused_ehlo_announces_nothing() -> None:
    assert Extensions.parse(Reply.of(502, "no", "PIPELINING")) == NONE
