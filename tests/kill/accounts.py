"""The accounting log against the journal: it never tells of anything that the journal does not know.

A kill may cost it lines, and nothing else: every line is one that a program can read, whatever was killed in
the midst of writing one.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from tests.kill.audit import Broken, Snapshot, demand

Account = tuple[str, str]  # whom, and where it led


def lines(log: Path, *, damaged: bool = False) -> Counter[Account]:
    """What the accounting log says. A last line that is cut short does not count; Broken for any other.

    Where it may be `damaged`, for it is never synced and the power was cut, others may be unreadable, too.
    """
    if not log.exists():
        return Counter()
    *whole, _ = log.read_bytes().split(b"\n")
    said: Counter[Account] = Counter()
    for number, line in enumerate(whole, 1):
        try:
            entry = json.loads(line)
            said[entry["recipient"], entry["disposition"]] += 1
        except (ValueError, KeyError) as error:
            if damaged:
                continue
            raise Broken(f"line {number} of the accounting log cannot be read: {line[:200]!r}") from error
    return said


def check(log: Path, now: Snapshot, *, complete: bool, damaged: bool = False) -> int:
    """Every line is an attempt of the journal; where it is `complete`, every attempt a line.

    How many attempts it does not tell of. Raises Broken.
    """
    said = lines(log, damaged=damaged)
    invented = said - now.attempts
    demand(not invented, f"the accounting log tells what the journal does not know: {list(invented)[:3]}")
    missing = (now.attempts - said).total()
    demand(not (complete and missing), f"{missing} attempts are not in the accounting log")
    return missing
