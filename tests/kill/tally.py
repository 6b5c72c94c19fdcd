"""What came of many campaigns, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """What came of many campaigns; sums, but for the last two."""

    kills: int = 0  # also by a power cut
    failures: int = 0  # runs in which the disk failed
    signals: int = 0
    campaigns: int = 0
    runs: int = 0
    where: Counter[str] = field(default_factory=Counter)  # what the killed runner was about
    struck: Counter[str] = field(default_factory=Counter)  # the calls and steps at which
    exits: Counter[str] = field(default_factory=Counter)  # of runs in which the disk failed
    in_doubt: int = 0
    arrived: int = 0
    second_copies: int = 0
    unaccounted: int = 0  # attempts that the accounting log has lost
    mails: int = 0  # MAIL commands after the disk had failed
    most: tuple[int, int] = (0, 0)  # in doubt after one kill, and how many it could have been
    beyond_reach: int = 0  # blows that the run ended before
