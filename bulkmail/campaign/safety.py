"""The rules by which a campaign pauses itself (`safety.pause_if`): pure functions of counts.

`bounced` is judged over those who are settled, `blocked` over all who had any answer: whoever was told first
that our mail is blocked counts once, however often he is tried again. Neither is judged over fewer than
`after`, and what was judged before the operator's last word to go on is not judged again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

SETTLED = ("delivered", "bounced", "expired", "in_doubt")
ANSWERED = (*SETTLED, "deferred")


class Rules(NamedTuple):
    """Parts of one; None is no such rule."""

    bounced: float | None = None
    blocked: float | None = None
    after: int = 500

    def __bool__(self) -> bool:
        return self.bounced is not None or self.blocked is not None


class Fired(NamedTuple):
    """Which rule, and by what."""

    rule: str
    people: int
    of: int
    limit: float

    @property
    def reason(self) -> str:
        """`45 of 1,204 recipients bounced (3.7%), more than safety.pause_if allows (bounced: 3%)`."""
        did = "bounced" if self.rule == "bounced" else "were refused as blocked"
        share = f"{100 * self.people / self.of:.3g}%"
        return (
            f"{self.people:,} of {self.of:,} recipients {did} ({share}), more than safety.pause_if allows "
            f"({self.rule}: {100 * self.limit:g}%)"
        )


def fired(rules: Rules, counts: Mapping[str, int], before: Mapping[str, int]) -> Fired | None:
    """The first rule that `counts` break, of whom `before` were there at the operator's last word.

    Both by state; `blocked` beside them.
    """

    def since(*names: str) -> int:
        return sum(counts.get(name, 0) - before.get(name, 0) for name in names)

    for rule, limit, over in (("bounced", rules.bounced, SETTLED), ("blocked", rules.blocked, ANSWERED)):
        count, of = since(rule), since(*over)
        if limit is not None and of >= max(1, rules.after) and count > limit * of:
            return Fired(rule, count, of, limit)
    return None
