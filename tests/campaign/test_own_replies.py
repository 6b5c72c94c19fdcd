"""`shaping.replies`: rows of the user's own, and what is said of those that mean nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaign_file import SMALL, load

from bulkmail.campaign.own_replies import own_rows, table_of
from bulkmail.delivery.classify import classify
from bulkmail.delivery.disposition import Fate, Scope
from bulkmail.delivery.meaning import Consequence, Meaning
from bulkmail.errors import ConfigError
from bulkmail.smtp import Reply
from bulkmail.transport.stage import Stage

WITH_OWN = f"{SMALL}shaping: {{ replies: own.toml }}\n"


@pytest.fixture(autouse=True)
def _beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Files are named as whoever stands beside them would."""
    monkeypatch.chdir(tmp_path)


def complaints(folder: Path, text: str) -> list[str]:
    (folder / "own.toml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        load(folder, WITH_OWN)
    return [str(problem) for problem in refused.value.problems]


def test_a_row_of_ones_own_stands_before_the_built_in_ones(tmp_path: Path):
    (tmp_path / "own.toml").write_text(
        '[[reply]]\nprovider = "a.test"\nsays = "no such user"\nclass = "throttled"\nscope = "site"\n'
    )
    table = table_of(load(tmp_path, WITH_OWN))
    said = Reply.of(451, "4.1.1 No such user")
    there = classify(Stage.RCPT, said, "mx.a.test", table)
    assert (there.meaning, there.scope, there.fate) == (Meaning.THROTTLED, Scope.SITE, Fate.DEFERRED)
    elsewhere = classify(Stage.RCPT, said, "mx.b.test", table)
    assert elsewhere.meaning is Meaning.UNKNOWN_USER
    assert table_of(load(tmp_path)) is None


def test_no_row_of_ones_own_suppresses_by_a_temporary_reply_or_whom_another_word_spares(tmp_path: Path):
    (tmp_path / "own.toml").write_text('[[reply]]\ncode = "4yz 5yz"\nclass = "unknown user"\n')
    table = table_of(load(tmp_path, WITH_OWN))
    suppresses = [
        classify(Stage.RCPT, Reply.of(code, text), "", table).consequence is Consequence.SUPPRESS
        for code, text in ((450, "gone"), (550, "gone: policy"), (550, "gone"))
    ]
    assert suppresses == [False, False, True]
    assert classify(Stage.RCPT, Reply.of(250, "gone"), "", table).fate is Fate.DELIVERED


def test_everything_that_is_wrong_is_told_at_once_by_line_with_what_was_meant(tmp_path: Path):
    text = """\
colour = "red"
[[reply]]  # [[reply]]
says = '''
[[reply]]
class = "inside a text"'''
clas = "blocked"
class = "bloked"
code = 550

[[reply]]
about = "boxx gone"
then = "pause"
stage = "rcpt mail_from"
enhanced = "5.7 x.1.1"
code = "55z"
says = " , "

[[reply]]
class = "policy"
scope = "everybody"
"""
    assert complaints(tmp_path, text) == [
        "own.toml:1:1: colour: only [[reply]] rows can stand here",
        "own.toml:6:1: clas: did you mean class?",
        "own.toml:7:1: class: bloked is unknown: did you mean blocked?",
        "own.toml:8:1: code: a text in quotes is wanted here",
        "own.toml:11:1: about: boxx is unknown: did you mean box?",
        "own.toml:12:1: then: pause is unknown: did you mean pause the campaign?",
        "own.toml:13:1: stage: mail_from is unknown: did you mean mail?",
        "own.toml:14:1: enhanced: 5.7 is none: write 5.1.1, x.7.* or 5.7.1-30",
        "own.toml:15:1: code: 55z is none: write 550 or 4yz",
        "own.toml:16:1: says: says nothing: leave it out, or write something",
        "own.toml:18:1: it would fit every reply: say which it is for, by says, about, enhanced, code, "
        "stage, provider",
        "own.toml:20:1: scope: everybody is unknown: known are recipient, message, session, site, source at "
        "the site, campaign",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[reply]]\nclass = "blocked\n', "own.toml:2:17: Illegal character '\\n'"),
        ('\nreply = "no"\n', "own.toml:2:1: reply: write [[reply]] above each row"),
        ('[reply]\nsays = "x"\n', "own.toml:1:1: reply: write [[reply]] above each row"),
    ],
)
def test_a_file_that_is_no_table_of_rows_is_told_where_it_stops_being_one(
    tmp_path: Path, text: str, said: str
):
    assert complaints(tmp_path, text) == [said]


def test_rows_that_are_written_in_one_line_are_told_by_that_line(tmp_path: Path):
    text = '\nreply = [{ says = "a", class = "policy" }, { says = "b", class = "nothing" }]\n'
    (said,) = complaints(tmp_path, text)
    assert said.startswith("own.toml:2:1: class: nothing is unknown: known are greylisted")


def test_a_file_that_is_not_there_is_told_at_the_key_that_names_it(tmp_path: Path):
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, WITH_OWN)
    (problem,) = refused.value.problems
    assert str(problem).endswith("campaign.yaml:8:21: shaping.replies: own.toml: no such file")


def test_a_row_knows_where_it_stands_and_what_it_says(tmp_path: Path):
    file = tmp_path / "own.toml"
    file.write_text(
        '# ours\n\n[[reply]]\nsays = """\none,\ntwo"""\nclass = "policy"\n\n[[ reply ]]\ncode="550"\n'
    )
    assert [(row.whence, row.told()) for row in own_rows(file)] == [
        ("own.toml:3", "says: one, two; class: policy"),
        ("own.toml:9", "code: 550"),
    ]
