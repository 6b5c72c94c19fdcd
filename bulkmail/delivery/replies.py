"""How a refusal is read: its text and codes against the rows of a table, top down; the first that fits.

The table is `replies.toml`, and its head tells what a row may name. Which fate follows is not decided here
but by the reply's first digit (`classify`); and a 2yz is never read. A `Table` is immutable; to make it takes
some twenty milliseconds, to read a reply less than a tenth of one, which only a refusal costs.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from bulkmail.delivery.disposition import Scope
from bulkmail.delivery.meaning import Consequence, Meaning
from bulkmail.smtp import EnhancedStatus
from bulkmail.transport.stage import Stage

USUAL = {
    Meaning.GREYLISTED: Consequence.SAME_SOURCE,
    Meaning.THROTTLED: Consequence.SLOW,
    Meaning.BLOCKED: Consequence.SUSPEND,
    Meaning.CONTENT: Consequence.PAUSE,
    Meaning.UNKNOWN_USER: Consequence.SUPPRESS,
    Meaning.DISABLED: Consequence.SUPPRESS,
}

# Addresses, also in brackets, and enhanced codes, also those that a program has put behind each code. An
# address begins where a word does, and not far from its "@": else a host that answers in one very long word
# has us search it again from each of its octets.
_NO_WORDS = re.compile(
    rb"<?(?<![^\s<>\[\])(@,;:])[^\s<>\[(@]{1,256}@[^\s<>\])@,;:]+>?"
    rb"|(?:\b[245]\d\d[ -])?#?\b[245]\.\d{1,3}\.\d{1,3}\b(?!\.\d)"
)
# Of a URL its host and its query tell something; what pages of explanations are called misleads.
_PATH = re.compile(rb"(://[^\s/?#]+)/[^\s?#;,)]*(?:\?ip=[^\s&]*)?")
# "550 #5.1.0 Address rejected", "RCPT not accepted: 5.7.1 relaying"; of an IP address it is no part
_WITHIN = re.compile(rb"(?<![\d.])([45])\.(\d{1,3})\.(\d{1,3})(?![\d.]*\d)")
# Letters in lower case, digits, and what is not ASCII; a space for all else.
_PLAIN = bytes(code if code > 127 or chr(code).isalnum() else 32 for code in bytes(range(256)).lower())
_ANY = -1  # detail of an enhanced code

Phrase = tuple[bytes, ...]  # pieces that stand in the words, one behind the other
Key = tuple[int, int, int]  # of an enhanced code: class, subject, detail


KEYS = (
    "class",
    "scope",
    "then",
    "says",
    "about",
    "unless",
    "enhanced",
    "code",
    "stage",
    "provider",
)  # of a row


class Reading(NamedTuple):
    """What a refusal is taken for. `scope` is None where the stage says whom it concerns.

    `whence`: where the row stands by which it was read, as `own.toml:12`, if it is none of ours.
    """

    meaning: Meaning
    scope: Scope | None
    consequence: Consequence
    whence: str = ""


class Row(NamedTuple):
    """One row, as it is compared. Empty is: whatever it may be."""

    reading: Reading
    says: tuple[Phrase, ...] = ()
    about: frozenset[str] = frozenset()
    unless: frozenset[str] = frozenset()
    enhanced: frozenset[Key] = frozenset()
    codes: frozenset[int] = frozenset()
    stages: tuple[Stage, ...] = ()
    provider: tuple[str, ...] = ()

    @classmethod
    def of(cls, row: Mapping[str, str], whence: str = "") -> Row:
        """Raises ValueError for what means nothing."""
        if unknown := row.keys() - set(KEYS):
            raise ValueError(f"a reply has no {', '.join(sorted(unknown))}")
        meaning = Meaning(row.get("class", Meaning.OTHER.value))
        then = Consequence(row["then"]) if "then" in row else USUAL.get(meaning, Consequence.NONE)
        return cls(
            Reading(meaning, Scope(row["scope"]) if "scope" in row else None, then, whence),
            _phrases(row.get("says", "")),
            frozenset(row.get("about", "").split()),
            frozenset(row.get("unless", "").split()),
            frozenset(key for text in row.get("enhanced", "").split() for key in _keys_of(text)),
            frozenset(code for text in row.get("code", "").split() for code in _codes_of(text)),
            tuple(Stage(text) for text in row.get("stage", "").split()),
            tuple(row.get("provider", "").split()),
        )

    def fits(self, stage: Stage, code: int, key: Key | None, host: str) -> bool:
        """But for what it says."""
        if self.codes and code not in self.codes:
            return False
        if self.enhanced and not self.names(key):
            return False
        if self.stages and stage not in self.stages:
            return False
        return not self.provider or host.endswith(self.provider)

    def names(self, key: Key | None) -> bool:
        return key is not None and (key in self.enhanced or (key[0], key[1], _ANY) in self.enhanced)


class _Phrases:
    """Which of some names have a phrase in a text. There are two thousand phrases: each is looked for only
    where the longest of its words is there; of few no word is whole.
    """

    __slots__ = ("_by_word", "_others")

    def __init__(self, phrases: Mapping[str | int, tuple[Phrase, ...]]) -> None:
        self._by_word: dict[bytes, list[tuple[str | int, Phrase]]] = {}
        self._others: list[tuple[str | int, Phrase]] = []
        for name, some in phrases.items():
            for phrase in some:
                whole = [word for piece in phrase for word in piece.rpartition(b" ")[0].split()]
                place = self._by_word.setdefault(max(whole, key=len), []) if whole else self._others
                place.append((name, phrase))

    def said(self, words: bytes) -> set[str | int]:
        """The names."""
        found: set[str | int] = set()
        for name, phrase in self._others:
            if phrase[0] in words and (len(phrase) == 1 or _in_order(phrase, words)):
                found.add(name)
        for word in set(words.split()):
            for name, phrase in self._by_word.get(word, ()):
                if name not in found and _in_order(phrase, words):
                    found.add(name)
        return found


NEVER = "never"
EMPTY: Mapping[str, tuple[Phrase, ...]] = MappingProxyType({})
NOTHING_KNOWN = Reading(Meaning.OTHER, None, Consequence.NONE)


class Table:
    """The rows. `Table.load` has those that bulkmail comes with."""

    __slots__ = ("_never", "_phrases", "_rows", "subjects")

    def __init__(
        self, rows: Sequence[Row], never_suppress: Row, subjects: Mapping[str, tuple[Phrase, ...]] = EMPTY
    ) -> None:
        """What `never_suppress` says or names is never the end of an address, whatever fits besides.

        Raises ValueError for a subject that is not one of `subjects`.
        """
        for row in rows:
            if unknown := (row.about | row.unless) - subjects.keys():
                raise ValueError(f"nothing is said of {', '.join(sorted(unknown))}")
        self._rows = tuple(rows)
        self.subjects = frozenset(subjects)
        phrases: dict[str | int, tuple[Phrase, ...]] = {NEVER: never_suppress.says}
        phrases.update(subjects)
        phrases.update((number, row.says) for number, row in enumerate(rows))
        self._phrases = _Phrases(phrases)
        self._never = never_suppress

    @classmethod
    def load(cls, own: Sequence[Row] = ()) -> Table:
        """`own`: rows that stand before those that bulkmail comes with."""
        table = tomllib.loads(Path(__file__).with_name("replies.toml").read_text("utf-8"))
        subjects = {name: _phrases(text) for name, text in table["subjects"].items()}
        return cls((*own, *map(Row.of, table["reply"])), Row.of(table["never_suppress"]), subjects)

    def read(
        self, stage: Stage, code: int, enhanced: EnhancedStatus | None, text: bytes, host: str = ""
    ) -> Reading:
        """What a 4yz or 5yz to the command of `stage` means. `host`: the exchanger, where it is known."""
        key = _within(code, text) if enhanced is None else (enhanced.klass, enhanced.subject, enhanced.detail)
        if b"://" in text:
            text = _PATH.sub(rb"\1 ", text)
        words = b" %b " % b" ".join(_NO_WORDS.sub(b" ", text).translate(_PLAIN).split())
        reading = NOTHING_KNOWN
        said = self._phrases.said(words)
        for number, row in enumerate(self._rows):
            if (
                (not row.says or number in said)
                and row.about <= said
                and (not row.unless or row.unless.isdisjoint(said))
                and row.fits(stage, code, key, host)
            ):
                reading = row.reading
                break
        if reading.consequence is Consequence.SUPPRESS and not (
            code >= 500
            and stage in (Stage.RCPT, Stage.END_OF_DATA)
            and not self._never.names(key)
            and NEVER not in said
        ):
            return reading._replace(consequence=Consequence.NONE)
        return reading


def _within(code: int, text: bytes) -> Key | None:
    """An enhanced code that stands elsewhere than RFC 2034 has it."""
    for match in _WITHIN.finditer(text):
        if int(match[1]) == code // 100:
            return int(match[1]), int(match[2]), int(match[3])
    return None


def _in_order(pieces: Phrase, words: bytes) -> bool:
    at = 0
    for piece in pieces:
        at = words.find(piece, at)
        if at < 0:
            return False
        at += len(piece) - 1  # the space that ends one word begins the next
    return True


# --- what the table says, as it is compared -----------------------------------------------------------


def _phrases(text: str) -> tuple[Phrase, ...]:
    return tuple(_pieces(phrase) for phrase in text.split(",") if phrase.strip())


def _pieces(phrase: str) -> Phrase:
    pieces = []
    for part in phrase.split(" * "):
        words = b" ".join(part.encode().translate(_PLAIN).split())
        pieces.append(b" %b" % words if part.endswith("*") else b" %b " % words)
    return tuple(pieces)


def _keys_of(text: str) -> list[Key]:
    klass, subject, detail = text.split(".")
    first, _, last = detail.partition("-")
    details = [_ANY] if first == "*" else range(int(first), int(last or first) + 1)
    classes = (4, 5) if klass == "x" else (int(klass),)
    return [(one, int(subject), number) for one in classes for number in details]


def _codes_of(text: str) -> range:
    first = int(text.replace("yz", "00"))
    return range(first, first + (100 if text.endswith("yz") else 1))
