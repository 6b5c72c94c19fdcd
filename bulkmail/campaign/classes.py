"""Why recipients are deferred, bounced or expired, by the class of the reply that they had last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from bulkmail.delivery.meaning import Meaning
from bulkmail.delivery.replies import Table
from bulkmail.delivery.retold import retold
from bulkmail.journal import Exported, Store
from bulkmail.journal.refused import Reason, reasons

STATES = ("deferred", "bounced", "expired")
OURS = (Meaning.BLOCKED, Meaning.CONTENT, Meaning.POLICY, Meaning.THROTTLED)  # of what we are, send or do
MOST = 3  # classes that are told of at the end of a run

_read = lru_cache(maxsize=4096)(retold)


class Why(NamedTuple):
    """How many were not delivered to for reasons of one class, and the most frequent reply of it."""

    meaning: str
    recipients: int
    reply: str

    def told(self) -> dict[str, object]:
        return {"class": self.meaning, "recipients": self.recipients, "reply": self.reply}


class Failed(NamedTuple):
    """At the end of a run: the most frequent classes, and how many bounced for what we are, send or do."""

    why: tuple[Why, ...] = ()
    ours: int = 0


def classes(store: Store, table: Table | None) -> dict[str, dict[str, int]]:
    """By state and class, the most frequent first; a state without anybody is empty. `table`: see retold.

    Each reply is read once, in less than fifty microseconds, however many had it.
    """
    counts: dict[str, Counter[str]] = {state: Counter() for state in STATES}
    for one in reasons(store):
        counts[one.state][_meaning(one, table).value] += one.recipients
    return {state: dict(found.most_common()) for state, found in counts.items()}


def failed(store: Store, table: Table | None) -> Failed:
    """Costs what `classes` does."""
    counts: Counter[Meaning] = Counter()
    replies: dict[Meaning, tuple[int, str]] = {}
    ours = 0
    for one in reasons(store):
        meaning = _meaning(one, table)
        counts[meaning] += one.recipients
        replies[meaning] = max(replies.get(meaning, (0, "")), (one.recipients, one.reply))
        if one.state == "bounced" and meaning in OURS:
            ours += one.recipients
    why = (Why(meaning.value, count, replies[meaning][1]) for meaning, count in counts.most_common(MOST))
    return Failed(tuple(why), ours)


def ended(store: Store, table: Table | None, *, at_once: bool) -> tuple[Mapping[str, int], Failed]:
    """The totals at the end of a run; and unless it ends `at_once`, why not everybody was delivered to."""
    totals = store.totals()
    asked = not at_once and any(totals[state] for state in STATES)
    return totals, failed(store, table) if asked else Failed()


def class_of(one: Exported, table: Table | None) -> str:
    """Of the last reply; of who is deferred, bounced or expired."""
    return _read(one.stage, one.code, one.enhanced, one.reply, one.host, table).meaning.value


def named(text: str) -> frozenset[str]:
    """The classes in `blocked,content`: as they are told, or their first word. Raises ValueError."""
    found = set()
    for part in text.split(","):
        word = part.strip().lower().replace("_", " ").replace("-", " ")
        meant = [one.value for one in Meaning if word == one.value] or [
            one.value for one in Meaning if word == one.value.partition(" ")[0]
        ]
        if len(meant) != 1:
            raise ValueError(f"{part.strip()!r} is none of {', '.join(one.value for one in Meaning)}")
        found.update(meant)
    return frozenset(found)


def _meaning(one: Reason, table: Table | None) -> Meaning:
    return _read(one.stage, one.code, one.enhanced, one.reply, one.host, table).meaning
