"""Reading the values of a sandbox file: each reader takes what YAML gave and returns what a behaviour wants.

A reader raises ValueError with the reason for people; file.py knows line and column.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection
from typing import Any, Final

from bulkmail.sandbox.behaviour import STAGES, Said, line, stage_of
from bulkmail.sandbox.names import GREYLISTED, MAILBOX_FULL, UNKNOWN_USER

Reader = Callable[[Any], Any]
MISSING: Final = object()

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)")
_RECIPIENTS = {
    "unknown": Said(raw=line(UNKNOWN_USER)),
    "full": Said(raw=line(MAILBOX_FULL)),
    "greylist": Said(raw=line(GREYLISTED), times=1),
    "blocked": Said(raw=line(b"550 5.7.1 Message rejected by policy")),
    "ok": Said(raw=line(b"250 2.1.5 OK")),
}


def did_you_mean(name: str, known: Collection[str]) -> str:
    """ ", did you mean x?", or what there is where few things are."""
    near = difflib.get_close_matches(name, known, 1, 0.6)
    if near:
        return f", did you mean {near[0]!r}?"
    return f"; known: {', '.join(sorted(known))}" if len(known) <= 20 else ""


def flag(value: Any) -> bool:
    if value is not True:
        raise ValueError("takes no value: write `true`, or leave it out")
    return True


def count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"a whole number is wanted, not {value!r}")
    return value


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"true or false is wanted, not {value!r}")
    return value


def text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"text is wanted, not {value!r}")
    return str(value)


def texts(value: Any) -> tuple[str, ...]:
    return tuple(text(item) for item in value) if isinstance(value, list) else (text(value),)


def words(value: Any) -> tuple[str, ...]:
    return tuple(word.upper() for word in texts(value))


def seconds(value: Any) -> float:
    """10, 0.5, 200ms, 10s, 1m, 4h, 2d."""
    match = _DURATION.fullmatch(text(value))
    if match is None:
        raise ValueError(f"a duration is wanted (10s, 200ms), not {value!r}")
    return float(match[1]) * _UNITS[match[2]]


def stage(value: Any) -> str:
    return stage_of(text(value))


def reply(value: Any) -> bytes:
    """A reply that begins with its code: "451 4.3.0 later"."""
    raw = text(value)
    if not re.match(r"[2-5][0-5][0-9](?:[ -]|$)", raw):
        raise ValueError(f"a reply begins with its code (451 4.3.0 later), not {raw!r}")
    return line(raw)


def choice(*known: str) -> Reader:
    def read(value: Any) -> str:
        name = text(value)
        if name not in known:
            raise ValueError(f"{name!r} is none of them" + did_you_mean(name, known))
        return name

    return read


def or_none(reads: Reader) -> Reader:
    """What the reader takes, or `none`."""
    return lambda value: None if value == "none" else reads(value)


def keyed(first: str, **readers: Reader) -> Reader:
    """A mapping with these keys; a lone value is that of `first`. With "" for it none of them is needed."""

    def read(value: Any) -> dict[str, Any]:
        given = value if isinstance(value, dict) else {first: value}
        if not first and not isinstance(value, dict):
            raise ValueError(f"a mapping is wanted; keys: {', '.join(readers)}".replace("_", "-"))
        unknown = [key for key in given if key not in readers]
        if unknown:
            raise ValueError(f"unknown key {unknown[0]!r}" + did_you_mean(str(unknown[0]), readers))
        if first and first not in given:
            raise ValueError(f"{first!r} is missing")
        found = {}
        for key, item in given.items():
            try:
                found[key] = readers[key](item)
            except ValueError as problem:
                raise ValueError(f"{key}: {problem}") from None
        return found

    return read


def users(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError("a mapping of names to passwords is wanted")
    return {text(name): text(password) for name, password in value.items()}


_one_reply = keyed("raw", raw=lambda value: line(text(value)), times=count, after=count, close=boolean)


def replies(value: Any) -> dict[str, dict[str, Any]]:
    """{MAIL: "451 later", RCPT: {reply: "421 bye", times: 1, after: 2, close: true}}; words are free."""
    if not isinstance(value, dict) or not value:
        raise ValueError(f"a mapping of stages to replies is wanted; stages: {', '.join(STAGES)}")
    found = {}
    for name, said in value.items():
        if isinstance(said, dict):
            said = {("raw" if key == "reply" else key): item for key, item in said.items()}
        found[stage(name)] = _one_reply(said)
    return found


_one_verdict = keyed("reply", reply=reply, times=count, after=count, close=boolean, delay=seconds)


def recipient(value: Any) -> Said:
    """unknown, full, greylist, blocked, ok; a reply; or {reply:, times:, after:, close:, delay:}."""
    if isinstance(value, str) and value in _RECIPIENTS:
        return _RECIPIENTS[value]
    if isinstance(value, str) and not value[:1].isdigit():
        raise ValueError(f"{value!r} is no behaviour of a recipient" + did_you_mean(value, _RECIPIENTS))
    given = _one_verdict(value)
    return Said(
        raw=given["reply"],
        times=given.get("times"),
        after=given.get("after", 0),
        close=given.get("close", False),
        delay_s=given.get("delay", 0.0),
    )
