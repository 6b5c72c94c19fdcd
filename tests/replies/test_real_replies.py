"""The table against what real exchangers said; where the replies are from, README.md tells."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.delivery.classify import classify
from bulkmail.delivery.disposition import Fate
from bulkmail.delivery.meaning import Consequence, Meaning
from bulkmail.delivery.retold import retold
from bulkmail.smtp import Reply
from bulkmail.transport.stage import Stage

RIGHT = 0.95
# What nobody has met is read so: of this set hardly anything was learned.
KEPT_BACK = {"first_look_9": 0.85}
HERE = Path(__file__).parent
DEAD = (Meaning.UNKNOWN_USER, Meaning.DISABLED)


def said(text, code=None):
    """The reply that `text` quotes, with another code if one is given."""
    first, rest = text[:3], text[3:].lstrip(" -")
    lines = re.split(rf"\s+{first}(?:-|(?= \d\.\d\.\d)) ?", rest)
    return Reply.of(int(code or first), *(re.sub(r"[\r\n]+", " ", line) for line in lines))


def replies(name):
    rows = [json.loads(line) for line in (HERE / f"{name}.jsonl").read_text("utf-8").splitlines()]
    return [(said(row["reply"]), Stage(row.get("stage", "rcpt")), Meaning(row["class"]), row) for row in rows]


NAMES = ("development", "held_back", *(f"first_look_{number}" for number in range(1, 10)))
SETS = {name: replies(name) for name in NAMES}
README = (HERE / "README.md").read_text("utf-8")
# | `held_back` | 214 … | at the first look | now |
FIGURES = re.finditer(r"^\| `(\w+)` \| (\d+)[^|]*\|[^|]*\| ([\d.]+%) \|$", README, re.MULTILINE)
PUBLISHED = {row[1]: (int(row[2]), row[3]) for row in FIGURES}
EVERYTHING = [one for rows in SETS.values() for one in rows]


@pytest.mark.parametrize("name", SETS)
def test_a_set_of_real_replies_is_read_right(name):
    wrong = [
        (meaning.value, classify(stage, reply).meaning.value, row["reply"])
        for reply, stage, meaning, row in SETS[name]
        if classify(stage, reply).meaning is not meaning
    ]
    rate = 1 - len(wrong) / len(SETS[name])
    print(f"{name}: {rate:.1%} of {len(SETS[name])}")
    assert rate >= KEPT_BACK.get(name, RIGHT), wrong
    assert PUBLISHED[name] == (len(SETS[name]), f"{rate:.1%}"), "README.md says otherwise"


def test_there_are_enough_of_them_and_no_two_are_the_same():
    texts = {row["reply"] for *_, row in EVERYTHING}
    assert len(texts) == len(EVERYTHING) >= 1500


def test_no_reply_suppresses_that_is_not_about_a_dead_mailbox():
    suppressing = [
        row["reply"]
        for reply, stage, meaning, row in EVERYTHING
        if classify(stage, reply).consequence is Consequence.SUPPRESS
        and (meaning not in DEAD or not reply.permanent)
    ]
    assert suppressing == []


@given(st.sampled_from(EVERYTHING), st.integers(400, 499), st.sampled_from(list(Stage)))
def test_no_reply_suppresses_when_it_is_temporary(one, code, stage):
    reply = said(one[3]["reply"], code)
    verdict = classify(stage, reply)
    assert verdict.consequence is not Consequence.SUPPRESS
    assert verdict.fate in (Fate.DEFERRED, Fate.AGAIN)


@given(
    st.sampled_from([one for one in EVERYTHING if one[2] not in DEAD]),
    st.integers(500, 599),
    st.sampled_from(list(Stage)),
)
def test_no_policy_block_content_or_full_mailbox_suppresses_whatever_its_code(one, code, stage):
    assert classify(stage, said(one[3]["reply"], code)).consequence is not Consequence.SUPPRESS


def test_most_dead_mailboxes_are_suppressed():
    """Else all of the above would be easy. What may be meant of us keeps its address; of the terse
    sets about two thirds are suppressed."""
    known = SETS["development"] + SETS["held_back"]
    dead = [one for one in known if one[2] in DEAD and one[0].permanent and one[1] is Stage.RCPT]
    suppressed = [one for one in dead if classify(one[1], one[0]).consequence is Consequence.SUPPRESS]
    assert len(suppressed) >= 0.8 * len(dead), [one[3]["reply"] for one in dead if one not in suppressed]


@pytest.mark.parametrize("name", SETS)
def test_what_was_kept_is_read_as_it_was_heard(name):
    """The journal keeps a line for people; `explain`, `status` and the suppressions read that."""
    for reply, stage, _, row in SETS[name]:
        heard = classify(stage, reply, "mx.a.test")
        kept = retold(stage.value, heard.code, heard.status or None, heard.text, "mx.a.test")
        assert kept.meaning is heard.meaning, row["reply"]
        assert heard.fate is not Fate.BOUNCED or kept.consequence is heard.consequence, row["reply"]
