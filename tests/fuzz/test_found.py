"""What the fuzzer found, told as stories: each of these once ended bulkmail, or took it hours."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fuzz_values import DER

from bulkmail.campaign import config
from bulkmail.campaign.csv_source import read_csv
from bulkmail.campaign.json_source import read_jsonl
from bulkmail.campaign.listing import ListSpec, resolve_header
from bulkmail.campaign.yaml_data import load_data
from bulkmail.cli.suppress import listed
from bulkmail.delivery.classify import replies
from bulkmail.delivery.meaning import Meaning
from bulkmail.errors import ConfigError, StoreError
from bulkmail.journal import Suppressions
from bulkmail.sandbox import file as sandbox_file
from bulkmail.transport.certificate import read_certificate
from bulkmail.transport.stage import Stage
from bulkmail.transport.tls import doubts

SPEC = ListSpec(["x"])
READERS: dict[str, Callable[[Path], object]] = {
    "campaign": lambda path: config.load(path, environ={}),
    "data": load_data,
    "sandbox": sandbox_file.read,
}


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("opening", ["[", "{", "- ", "? "])
def test_a_file_that_is_nested_without_end_is_refused(kind: str, opening: str, tmp_path: Path) -> None:
    """I12. libyaml composes by recursion in C: the process died of it without a word."""
    path = tmp_path / "deep.yaml"
    path.write_text(opening * 100_000)
    with pytest.raises(ConfigError, match=r"deep\.yaml:1: nested too deeply"):
        READERS[kind](path)


def test_a_control_character_in_a_sandbox_file_is_told_with_its_line() -> None:
    with pytest.raises(ConfigError, match="<sandbox>:2: a control character is not allowed"):
        sandbox_file.read("domains:\n  a.test: \x03greylist\n")


@pytest.mark.parametrize(
    "text",
    [
        "domains:\n  {0}: greylist\n",
        "hosts:\n  {0}: {{}}\n",
        "domains: {{ a.test: {{ hosts: {{ {0}: 1 }} }} }}",
    ],
)
def test_a_name_that_the_dns_cannot_have_is_told_in_a_sandbox_file(text: str) -> None:
    with pytest.raises(ConfigError, match="not a name that the DNS can have"):
        sandbox_file.read(text.format("ü" * 70 + ".test"))


@pytest.mark.parametrize(
    "der", [DER.replace(b"\xa0\3\2\1\2", b"\xa0\3\2\1\x47"), DER.replace(b"\x55\4\x0a\x0c", b"\x55\4\x0a\3")]
)
def test_a_certificate_of_an_odd_kind_is_one_that_cannot_be_read(der: bytes) -> None:
    """S5: of a version that there is not, and with bits for a name; OpenSSL takes both where nobody
    verifies.
    """
    assert der != DER
    assert doubts(der, "mx.a.test", datetime(2026, 11, 22, tzinfo=UTC)) == "the certificate cannot be read"
    with pytest.raises(ValueError, match=r"version|oid"):
        read_certificate(der)


def test_the_home_of_nobody_is_a_folder_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "campaign.yaml"
    path.write_text(
        'campaign: hello\nfrom: "Acme <n@a.example>"\nto: "R <n@a.example>"\nsubject: Hi\n'
        "recipients: ~nobody-here/people.csv\ncontent: h.md\ndelivery: { via: sandbox }\n"
    )
    campaign = config.load(path, environ={})
    assert campaign.recipients.source == str(tmp_path / "~nobody-here" / "people.csv")


def test_a_number_of_thousands_of_digits_inside_a_row_leaves_out_that_row() -> None:
    text = '{"email":"a@a.test","deep":[' + "1" * 5000 + ']}\n{"email":"b@a.test"}\n'
    [batch] = read_jsonl(io.StringIO(text), SPEC, "x.jsonl")
    [bad] = batch.bad
    assert (bad.line, bad.reason) == (1, "not a row: a number of thousands of digits")
    assert batch.rows == [(2, {"email": "b@a.test"})]


def test_a_header_whose_quotes_do_not_match_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"x\.csv:1: the header: new-line character"):
        list(read_csv(io.StringIO('email,a"b\nx"\na@a.test,1\n', newline=""), SPEC, "x.csv"))


def test_a_header_of_many_columns_is_read_in_one_pass() -> None:
    """Each name was looked for among all others."""
    names = ["email", *map(str, range(200_000))]
    assert len(resolve_header(SPEC, "x.csv", 1, names).fields) == len(names)


def test_a_list_of_suppressions_that_was_cut_off_in_mid_character_is_refused(tmp_path: Path) -> None:
    """I7."""
    path = tmp_path / "list.csv"
    path.write_bytes("ann@a.test\n".encode("utf-16")[:-1])
    with pytest.raises(ConfigError, match="not utf-16-le text: truncated data"):
        list(listed(path, tmp_path))


def test_text_in_a_store_that_is_no_text_is_damage(tmp_path: Path) -> None:
    """J6: SQLite does not look what it takes for text."""
    path = tmp_path / "project.db"
    with Suppressions.open(path) as store:
        store.add(["ann@a.test"], "asked")
    path.write_bytes(path.read_bytes().replace(b"asked", b"ask\x80d"))
    with (
        Suppressions.open(path) as store,
        pytest.raises(StoreError, match="is damaged, or is not a project store"),
    ):
        store.check("ann@a.test")


def test_a_refusal_in_one_very_long_word_is_read_like_any_other() -> None:
    """G5. An address was looked for from each of its octets on: six seconds for each of these."""
    for word in (b"a" * 64_000, b"a:" * 32_000, b"1." * 32_000):
        for _ in range(50):
            assert replies().read(Stage.RCPT, 550, None, word).meaning is Meaning.OTHER
