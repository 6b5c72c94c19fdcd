"""The user's own rows of the table of replies: a file in the format of `delivery/replies.toml`.

What is wrong with it is told by line, all of it at once. TOML as Python reads it forgets where things stood,
so a row's line is looked for: the n-th `[[reply]]` is the n-th row.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from bulkmail.campaign.config_model import Campaign
from bulkmail.campaign.yaml_marks import reason
from bulkmail.delivery.disposition import Scope
from bulkmail.delivery.meaning import Consequence, Meaning
from bulkmail.delivery.replies import KEYS, Row, Table
from bulkmail.errors import ConfigError, Problem
from bulkmail.transport.stage import Stage

SAYS_NOTHING = ("class", "scope", "then", "unless")  # keys that fit no reply by themselves
WORDS: dict[str, Collection[str]] = {
    "class": [one.value for one in Meaning],
    "scope": [one.value for one in Scope],
    "then": [one.value for one in Consequence],
}
MANY = {"stage": [one.value for one in Stage]}
SHAPES = {
    "enhanced": (re.compile(r"[45x]\.\d{1,3}\.(\*|\d{1,3}(-\d{1,3})?)"), "5.1.1, x.7.* or 5.7.1-30"),
    "code": (re.compile(r"[45](\d\d|yz)"), "550 or 4yz"),
}
_HEADER = re.compile(r"\s*\[\[\s*reply\s*\]\]")
_PLACE = re.compile(r" \(at line (\d+), column (\d+)\)$")
_QUOTES = re.compile(r'"""|' + "'''")


class OwnRow(NamedTuple):
    """As it was written, and where: `own.toml:12`."""

    given: Mapping[str, str]
    whence: str

    def told(self) -> str:
        """What it is for and what follows, in one line."""
        return "; ".join(f"{key}: {' '.join(text.split())}" for key, text in self.given.items())


def table_of(campaign: Campaign) -> Table | None:
    """The user's rows before ours; None where he has none, for then ours are read when one is wanted.

    Raises ConfigError with every problem of the file.
    """
    file = campaign.shaping.replies
    return None if file is None else Table.load([Row.of(*row) for row in own_rows(file)])


def problems_of(campaign: Campaign) -> tuple[Problem, ...]:
    """What is wrong with the file; where it cannot be read at all, told at the key that names it."""
    assert campaign.shaping.replies is not None
    try:
        own_rows(campaign.shaping.replies)
    except ConfigError as error:
        named = (campaign.problem("shaping.replies", one.text) for one in error.problems if not one.line)
        return (*named, *(one for one in error.problems if one.line))
    return ()


def own_rows(file: Path) -> list[OwnRow]:
    """The rows of a file, each with the line at which it stands. Raises ConfigError."""
    shown = os.path.relpath(file)
    shown = str(file) if shown.startswith("..") else shown
    try:
        text = file.read_text("utf-8-sig")
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        line, column = (int(place[1]), int(place[2])) if place else (1, 1)
        raise ConfigError(Problem(shown, line, column, "", _PLACE.sub("", str(error)))) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(Problem(shown, 0, 0, "", f"{shown}: {reason(error)}")) from None
    lines = _outside(text)
    problems = [
        Problem(shown, _line_of(lines, key), 1, key, "only [[reply]] rows can stand here")
        for key in found
        if key != "reply"
    ]
    given = found.get("reply", [])
    if not isinstance(given, list) or not all(isinstance(row, dict) for row in given):
        problems.append(
            Problem(shown, _line_of(lines, "reply"), 1, "reply", "write [[reply]] above each row")
        )
        raise ConfigError(problems)
    headers = [number for number, line in enumerate(lines, 1) if _HEADER.match(line)]
    subjects = Table.load().subjects
    rows = []
    for number, row in enumerate(given):
        at = headers[number] if len(headers) == len(given) else _line_of(lines, "reply")
        wrong = list(_wrong(row, subjects))
        problems += [Problem(shown, _line_of(lines, key, at), 1, key, said) for key, said in wrong]
        if not wrong:
            rows.append(OwnRow(row, f"{shown}:{at}"))
    if problems:
        raise ConfigError(problems)
    return rows


def _wrong(row: dict[str, object], subjects: Collection[str]) -> Iterator[tuple[str, str]]:
    """(key, what is wrong); the key is "" where it is the row as a whole."""
    for key, value in row.items():
        if key not in KEYS:
            close = get_close_matches(key, KEYS, 1)
            yield key, f"did you mean {close[0]}?" if close else f"a row may have {', '.join(KEYS)}"
        elif not isinstance(value, str):
            yield key, "a text in quotes is wanted here"
        elif not value.replace(",", " ").strip():
            yield key, "says nothing: leave it out, or write something"
        elif key in WORDS:
            if value not in WORDS[key]:
                yield key, _unknown(value, WORDS[key])
        elif key in SHAPES:
            pattern, example = SHAPES[key]
            for part in value.split():
                if not pattern.fullmatch(part):
                    yield key, f"{part} is none: write {example}"
        elif key in ("about", "unless", "stage"):
            known = MANY.get(key, subjects)
            for part in value.split():
                if part not in known:
                    yield key, _unknown(part, known)
    if row.keys() <= set(SAYS_NOTHING):
        conditions = [key for key in KEYS if key not in SAYS_NOTHING]
        yield "", f"it would fit every reply: say which it is for, by {', '.join(conditions)}"


def _unknown(word: str, known: Collection[str]) -> str:
    close = [one for one in known if one.startswith(word)] or get_close_matches(word.lower(), known, 1)
    return f"{word} is unknown: " + (
        f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
    )


# --- where things stand ---------------------------------------------------------------------------------


def _outside(text: str) -> list[str]:
    """Its lines; empty are those that begin within a text of several lines."""
    lines, within = [], ""
    for line in text.split("\n"):
        lines.append("" if within else line)
        for quote in _QUOTES.findall(line if within else line.partition("#")[0]):
            within = quote if not within else "" if quote == within else within
    return lines


def _line_of(lines: list[str], key: str, after: int = 1) -> int:
    """The line of `key`, from line `after` on, which is also the answer where it is not found."""
    wanted = re.compile(rf"\s*(\[+\s*)?[\"']?{re.escape(key)}[\"']?\s*([=.\]])") if key else None
    for number, line in enumerate(lines[after - 1 :], after):
        if wanted is not None and wanted.match(line):
            return number
        if number > after and _HEADER.match(line):
            break
    return after
