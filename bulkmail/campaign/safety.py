"""The rules by which a campaign pauses itself (`safety.pause_if`): pure functions of counts.

`bounced` is judged over those who are settled, `blocked` over all who were asked: whoever was told first that
our mail is blocked counts once, however often he is tried again, and who waits behind him at a site that is
left alone does not. Neither is judged over fewer than `after`, and what was judged before the operator's last
word to go on is not judged again.

Nobody has to ask for `refused`, nor for `blocked` where it is for good and at many sites; both are judged
over those whom this run asked for the first time. Where nobody is left who was not asked or put off, those
few are all the evidence that there will be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bulkmail.campaign.standing import ASKED, BLOCKED
from bulkmail.delivery.plant import Tally

SETTLED = ("delivered", "bounced", "expired", "in_doubt")
ANSWERED = (*SETTLED, "deferred")
REFUSED = "refused"
FEW = 50  # recipients; where most of so many are refused for the campaign's own sake, the rest would be
REFUSALS = 3  # one reply to a message for many is one piece of evidence, and no campaign stops for that
BARRED = 0.05  # of those who were asked, told for good that our mail is blocked
BARS = 10  # … at so many sites: one address on one list is enough for that
_DID = {
    "bounced": "bounced",
    "blocked": "were refused as blocked",
    REFUSED: "were refused for the message itself, or for what the campaign is",
}


class Rules(NamedTuple):
    """Parts of one; None is no such rule."""

    bounced: float | None = None
    blocked: float | None = None
    refused: float | None = None
    after: int = 500


class Fired(NamedTuple):
    """Which rule, and by what."""

    rule: str
    people: int
    of: int
    limit: float

    @property
    def reason(self) -> str:
        """`45 of 1,204 recipients bounced (3.7%), more than safety.pause_if allows (bounced: 3%)`."""
        share = f"{100 * self.people / self.of:.3g}%"
        return (
            f"{self.people:,} of {self.of:,} recipients {_DID[self.rule]} ({share}), more than "
            f"safety.pause_if allows ({self.rule}: {100 * self.limit:g}%)"
        )


def fired(rules: Rules, counts: Mapping[str, int], before: Mapping[str, int]) -> Fired | None:
    """The first rule that `counts` break, of whom `before` were there at the operator's last word.

    Both by state; `blocked` and `asked` beside them.
    """

    def since(*names: str) -> int:
        return sum(counts.get(name, 0) - before.get(name, 0) for name in names)

    everybody = not counts.get("pending", 0)
    for rule, limit, over in (("bounced", rules.bounced, SETTLED), (BLOCKED, rules.blocked, (ASKED,))):
        count, of = since(rule), since(*over)
        judged = since(*ANSWERED) if rule == BLOCKED and everybody else of
        if limit is not None and of > 0 and judged >= max(1, rules.after) and count > limit * of:
            return Fired(rule, count, of, limit)
    return None


def unwelcome(rules: Rules, tally: Tally, pending: int) -> Fired | None:
    """Whether too many of whom this run has asked were refused for what we send, or are, or come from."""
    count, of = tally.refused.total(), tally.asked
    if pending and of < min(rules.after, FEW):
        return None
    if tally.refusals >= REFUSALS and rules.refused is not None and count > rules.refused * of:
        return Fired(REFUSED, count, of, rules.refused)
    if rules.blocked is None and len(tally.bars) >= BARS and tally.barred > BARRED * of:
        return Fired(BLOCKED, tally.barred, of, BARRED)
    return None
