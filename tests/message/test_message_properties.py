"""Whatever the values are, the message is fit for the wire and says to its reader what the values said.

The laws hold for every shape of newsletter (newsletters.py). Octets: canonical CRLF, seven bits, no line over
998, and a body that is its own canonical form for DKIM (RFC 6376 section 3.4.4; dkimpy says what that is). A
reader, here the standard library's: no defects, the same header fields whatever the values, the same values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.policy import compat32
from email.utils import parseaddr
from functools import cache
from pathlib import Path

import dkim
import pytest
from dkim.canonicalization import Relaxed  # type: ignore[import-untyped]
from dkim_keys import ED25519_SEED
from drafts import DATE, as_lines, composer, draft, read
from hypothesis import example, given, settings
from hypothesis import strategies as st
from newsletters import NAMES, NAMES_A_FILE, SHAPES, VALUES, Seen, found_in, png

from bulkmail.message import Composer, Unrenderable
from bulkmail.message.attachments import LONGEST_NAME
from bulkmail.message.signing_key import SigningKey
from bulkmail.message.token import Tokens
from bulkmail.smtp.content import is_canonical, stuff, unstuff

ADDRESS = "ann@a.example"
ORDINARY = {"name": "Ann", "words": "spring"}
TOKENS = Tokens("a secret of sixteen", "hello")
LONG_AGO = datetime(2020, 2, 2, tzinfo=UTC)  # verifiers refuse a signature from the future
PRINTABLE = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\")
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROLS = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")  # shown as a blank in a header


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("newsletter")
    (folder / "logo.png").write_bytes(png())
    return folder


@cache
def compiled(shape: str, folder: Path) -> Composer:
    return Composer(draft(**SHAPES[shape](folder)), date=DATE, tokens=TOKENS)


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=40)
@given(name=NAMES, words=VALUES)
@example(name="x" * 10_000, words="x" * 10_000)
@example(name="ä" * 10_000, words=" \n.\n\t\n" + "ä" * 10_000)
@example(name="", words="")
@example(name=" ", words="\n")
def test_whatever_the_values_are_the_message_is_fit_for_the_wire_and_reads_back(
    shape: str, name: str, words: str, folder: Path
) -> None:
    """I1, I2, I3, I4."""
    c = compiled(shape, folder)
    row = {"name": name, "words": words}
    if refused(shape, name, words):
        assert c.check(row) is not None
        with suppress(Unrenderable):
            assert_fit_for_the_wire(c.render(ADDRESS, row))  # it never comes to that: the plan asks `check`
        return
    reason = c.check(row)
    if reason is not None and shape == "a field in a style":
        assert "CSS" in reason  # what is no style sheet with this value in it
        return
    assert reason is None
    data = c.render(ADDRESS, row)
    assert_fit_for_the_wire(data)
    message = read(data)
    assert field_names(message) == field_names(read(c.render(ADDRESS, ORDINARY)))
    assert_header_says(message, data, name)
    assert_bodies_say(message, words)


def refused(shape: str, name: str, words: str) -> bool:
    """What no message can say: half a character, a line break in a header, a path as the name of a file."""
    if _SURROGATE.search(name + words) or re.search(r"[\r\n\0]", name):
        return True
    return shape in NAMES_A_FILE and (
        "/" in name or "\\" in name or len(f"Invoice {name}.pdf".strip()) > LONGEST_NAME
    )


def assert_fit_for_the_wire(data: bytes) -> None:
    assert is_canonical(data)
    assert data.isascii()
    assert max(map(len, data.split(b"\r\n"))) <= 998
    assert unstuff(stuff(data)) == data
    body = data.partition(b"\r\n\r\n")[2]
    assert Relaxed.canonicalize_body(body) == body
    for part in read(data).walk():
        if part["content-transfer-encoding"] in ("quoted-printable", "base64"):  # RFC 2045 section 6.7 (5)
            assert max(map(len, part.get_payload().split("\r\n"))) <= 76


def field_names(message: EmailMessage) -> list[tuple[str, ...]]:
    """Of every part in order. How a part is encoded depends on what is in it, that it is said does not."""
    return [tuple(sorted(part.keys())) for part in message.walk()]


def assert_header_says(message: EmailMessage, data: bytes, name: str) -> None:
    shown = _CONTROLS.sub(" ", name)
    assert str(message["subject"]).strip() == f"{shown}, your week".strip()
    assert [(a.addr_spec, a.domain) for a in message["to"].addresses] == [(ADDRESS, "a.example")]
    # The name by the older parser: the newer one of Python 3.11 keeps the blanks between encoded words, which
    # RFC 2047 section 6.2 says are not there.
    older = BytesHeaderParser(policy=compat32).parsebytes(data)
    display, address = parseaddr(re.sub(r"\r?\n", "", older["to"]))
    assert address == ADDRESS
    assert squeezed(str(make_header(decode_header(display)))) == squeezed(shown)
    assert message["x-name"] is None or str(message["x-name"]).strip() == shown.strip()
    for part in message.iter_attachments():
        if (file := part.get_filename()) and "Invoice" in file:
            assert file == "".join(c if c.isprintable() else "_" for c in f"Invoice {name}.pdf")


def squeezed(text: str) -> str:
    return " ".join(text.split())


def assert_bodies_say(message: EmailMessage, words: str) -> None:
    """Every text and HTML part has the value wherever it was to stand, and nothing in its place."""
    expected = {as_lines(words)}
    for part in message.walk():
        if part.get_content_maintype() != "text" or part.is_attachment():
            continue
        content = part.get_content()
        if part.get_content_subtype() == "plain":
            assert found_in(content) == expected
        else:
            seen = Seen(content)
            assert found_in(seen.text) == expected
            assert found_in(seen.attributes) <= expected


@settings(max_examples=200)
@given(words=VALUES)
@example(words="")
@example(words=" \n\t\n\n")
def test_a_text_that_is_nothing_but_a_value_reads_back_but_for_the_empty_lines_at_its_end(words: str) -> None:
    """I2, I3, I4."""
    c = composer(to="All <all@acme.example>", text="{{ words }}")
    if _SURROGATE.search(words):
        assert c.check({"words": words}) is not None
        return
    data = c.render(ADDRESS, {"words": words})
    assert_fit_for_the_wire(data)
    content = read(data).get_content()
    assert as_lines(content).rstrip("\n") == as_lines(words).rstrip("\n")


@pytest.mark.parametrize("words", ["", " ", "\n", "x", "  ", "é"])
@pytest.mark.parametrize("length", range(70, 80))
def test_a_value_at_the_end_of_a_line_leaves_no_line_too_long(length: int, words: str) -> None:
    """I4."""
    line = "x" * length + " {{ words }}"
    for text in (line, f"{line}\n", f"{line}\nend\n", f"{line}{line}é\n"):
        data = composer(text=text).render(ADDRESS, {"words": words})
        assert_fit_for_the_wire(data)
        assert as_lines(read(data).get_content()).rstrip("\n") == text.replace("{{ words }}", words).rstrip(
            "\n"
        )


@pytest.mark.parametrize("shape", sorted(SHAPES.keys() - {"a field in a style"}))
@settings(max_examples=4)
@given(name=st.text(PRINTABLE, max_size=30), words=st.text(PRINTABLE))
def test_a_signature_comes_first_and_changes_nothing_else(
    shape: str, name: str, words: str, folder: Path
) -> None:
    key = SigningKey.load(ED25519_SEED, domain="acme.example", selector="ed")
    letters = [
        Composer(draft(**SHAPES[shape](folder)), date=LONG_AGO, tokens=TOKENS, keys=keys).letter(
            ADDRESS, {"name": name, "words": words}, id=7
        )
        for keys in ((), (key,))
    ]
    unsigned, signed = (letter.content for letter in letters)
    field = signed.removesuffix(unsigned)
    assert re.fullmatch(rb"DKIM-Signature: .*\r\n(?: .*\r\n)*", field)
    assert dkim.verify(signed, dnsfunc=lambda name, timeout=5: key.record().encode())


@settings(max_examples=100)
@given(row=st.dictionaries(st.sampled_from(["name", "words", "other"]), st.just("x")))
def test_a_row_has_a_message_exactly_if_check_has_no_reason(row: Mapping[str, str], folder: Path) -> None:
    """I8."""
    c = compiled("everything at once", folder)
    reason = c.check(row)
    assert (reason is None) == (row.keys() >= {"name", "words"})
    if reason is None:
        assert_fit_for_the_wire(c.render(ADDRESS, row))
    else:
        assert reason.missing
        with pytest.raises(Unrenderable):
            c.render(ADDRESS, row)
