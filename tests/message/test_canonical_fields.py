"""Fields are signed as they are sent: the quick canonical form is that of RFC 6376, whatever the values."""

from __future__ import annotations

from drafts import DATE, draft
from hypothesis import example, given
from hypothesis import strategies as st

from bulkmail.message import Composer
from bulkmail.message.dkim import relaxed_field
from bulkmail.message.edition import Edition

TEXT = st.text(
    st.sampled_from(' \t\x01\x7f\x85\u2028aé=,"<>.') | st.characters(exclude_categories=["Cs"]), max_size=90
)


@given(TEXT, TEXT)
@example("\x01y", "\x7f a")
@example("a  b", "x" * 80 + "  y")
def test_what_is_signed_is_the_relaxed_form_of_what_is_sent(name: str, words: str) -> None:
    c = Composer(
        draft(
            to="{{ name }} <{{ email }}>", subject="{{ words }}", headers={"X-A": "{{ words }} {{ name }}"}
        ),
        date=DATE,
    )
    row = {"name": name, "words": words}
    if c.check(row) is not None:
        return
    head = c.render("a@b.example", row).partition(b"\r\n\r\n")[0] + b"\r\n"
    names = ["To", "Subject", "X-A"]
    fields = [b""] * len(names)
    for line in head.replace(b"\r\n ", b"\0").split(b"\r\n"):
        for number, wanted in enumerate(names):
            if line.startswith(wanted.encode() + b":"):
                fields[number] = line.replace(b"\0", b"\r\n ") + b"\r\n"
    edition = Edition([b"From: a@b.example\r\n"], ["From", *names], (), timestamp=0)
    (quick,) = edition._canonical([[field] for field in fields], [[b"a:b\r\n"]], [b"c:d\r\n"])
    assert quick == b"".join(map(relaxed_field, fields)) + b"a:b\r\nc:d\r\n"
