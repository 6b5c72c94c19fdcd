"""How long a peer asks us to wait, in the forms in which real ones say it (X14)."""

from __future__ import annotations

import re

_UNIT = rb"(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)\b"
# "in 300 seconds", "after 5 minutes", "for 1 hour", "in 4 min 30 sec", "in 2 days"
_COUNTED = re.compile(
    rb"(?i)\b(?:in|after|for|within|wait|least|than|next|to|retry|again|=)[ :=(]*(?:about )?"
    rb"(\d{1,6}) ?" + _UNIT + rb"(?:,? ?(?:and )?(\d{1,2}) ?" + _UNIT + rb")?"
)
# "greylisted for 00:05:00", "retry in 4:59"; "after 14:30" is a time of the day, in a zone that nobody tells
_CLOCK = re.compile(
    rb"(?i)\b(?:(?:in|for|wait|retry)[ :=(]*(?:(\d{1,2}):)?|after[ :=(]*(00?):)(\d{1,2}):(\d\d)\b"
)
# "retry after 300", "retry=300", "Retry-After: 300"; but "retry in 3 attempts", "in 5 working days"
_BARE = re.compile(
    rb"(?i)\b(?:re-?try|try again|come back|resend)(?:[ -](?:in|after))?[ :=(]*"
    rb"(\d{1,6})\b(?![.:\d/-]| *[a-z])"
)
# "Try again later (119 seconds left)"
_LEFT = re.compile(rb"(?i)\b(\d{1,6}) ?" + _UNIT + rb" (?:left|remaining|to go)")
_WORDED = re.compile(
    rb"(?i)\b(?:in|after|for|within|wait)(?: (?:at least|about))? (?:an?|one) (hour|minute|day)\b"
)
_UNIT_S = {b"s": 1.0, b"m": 60.0, b"h": 3600.0, b"d": 86400.0}


def stated_wait(text: bytes) -> float | None:
    """Seconds that the peer asks us to wait, or None. Unbounded: the retry policy bounds it."""
    if match := _CLOCK.search(text):
        hours, _, minutes, seconds = (int(part or 0) for part in match.groups())
        return float(hours * 3600 + minutes * 60 + seconds)
    if match := _COUNTED.search(text):
        count, unit, more, smaller = match.groups()
        return int(count) * _unit_s(unit) + (int(more) * _unit_s(smaller) if more else 0.0)
    if match := _LEFT.search(text):
        return int(match[1]) * _unit_s(match[2])
    if match := _BARE.search(text):
        return float(match[1])
    if match := _WORDED.search(text):
        return _unit_s(match[1])
    return None


def _unit_s(unit: bytes) -> float:
    return _UNIT_S[unit[:1].lower()]
