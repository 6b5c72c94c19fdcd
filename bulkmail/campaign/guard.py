"""Looks after a run: what its safety rules say, and whether the seeds are to be looked at first.

Asked once a second, with the totals that are read for the progress anyway, and once more at the end. Who was
asked and who is blocked is counted where a verdict is noted, and kept in the journal, so that a restart
forgets nobody; who is refused for the campaign's own sake is counted in this run only.
"""

from __future__ import annotations

from collections.abc import Mapping

from bulkmail.campaign import safety, standing
from bulkmail.campaign.config import Campaign
from bulkmail.campaign.orders import Orders
from bulkmail.campaign.safety import REFUSED
from bulkmail.campaign.standing import ASKED, BLOCKED, Pause, now_told
from bulkmail.delivery.plant import Tally
from bulkmail.journal import History, Journal, Store

EVIDENCE = 5  # replies, or seeds, that are told of


class Guard:
    """Of one run. StoreError from all that waits."""

    def __init__(self, campaign: Campaign, journal: Journal, orders: Orders, tally: Tally) -> None:
        self._campaign = campaign
        self._journal = journal
        self._orders = orders
        self._tally = tally
        self._before: Mapping[str, int] = {BLOCKED: 0, ASKED: 0}  # in other runs
        self._written = self._before
        self._judged_from: Mapping[str, int] = {}
        self.seeds_first = False  # this run sends to the seeds, and no further
        self.judge_by(campaign)

    def judge_by(self, campaign: Campaign) -> None:
        """These are the rules from now on."""
        rules = campaign.safety.pause_if
        self._rules = safety.Rules(rules.bounced, rules.blocked, rules.refused, rules.after)

    async def begin(self) -> None:
        """Before anybody is sent to."""
        call = self._journal.call
        self._before = self._written = await call(standing.counted)
        self._judged_from = await call(standing.judged_from)
        if self._campaign.safety.wait_after_seeds:
            self.seeds_first = not await call(Store.meta, standing.SEEDS_SEEN)
        await self.look(await call(Store.totals))

    async def look(self, totals: Mapping[str, int]) -> None:
        """Pause where a rule says so."""
        counted = await self.keep()
        fired = safety.fired(self._rules, {**totals, **counted}, self._judged_from)
        fired = fired or safety.unwelcome(self._rules, self._tally, totals["pending"])
        if fired is not None and self._orders.may_send and standing.left(totals):
            told = await self._replies(fired.rule)
            await self._orders.by_itself(Pause("safety", now_told(), fired.reason, told))

    async def keep(self) -> Mapping[str, int]:
        """Who was asked, and who of them blocked, in all runs, is on disk."""
        now = {BLOCKED: self._tally.blocked.total(), ASKED: self._tally.asked}
        counted = {name: self._before[name] + now[name] for name in now}
        if counted != self._written:
            await self._journal.call(standing.count, counted)
            self._written = counted
        return counted

    async def look_again(self) -> None:
        """Nobody is being sent to any more, and the last look may have been before most were."""
        await self.look(await self._journal.call(Store.totals))

    async def _replies(self, rule: str) -> tuple[str, ...]:
        """The most frequent ones."""
        if replies := {BLOCKED: self._tally.blocked, REFUSED: self._tally.refused}.get(rule):
            return tuple(f"{count:,}: {text}" for text, count in replies.most_common(EVIDENCE))
        found = await self._journal.read(Store.failures, 4 * EVIDENCE)
        of_rule = [one for one in found if one.state == "bounced" or rule == BLOCKED][:EVIDENCE]
        return tuple(f"{one.recipients:,}: {one.reply} (as to {one.sample})" for one in of_rule)

    async def seeds_settled(self) -> None:
        """Nobody is left whom this run was to send to: where these were the seeds, a word is waited for."""
        if not (self.seeds_first and self._orders.may_send):
            return
        left = await self._journal.call(Store.open_intervals, None, 1)
        if left and not left[0][0].seeds:
            told = await self._journal.read(_states, self._campaign.recipients.seeds[:EVIDENCE])
            reason = "the seeds had their message: look at it in their mailboxes"
            await self._orders.by_itself(Pause("seeds", now_told(), reason, told))


def _states(store: Store, seeds: tuple[str, ...]) -> tuple[str, ...]:
    """What became of each of them."""
    return tuple(
        f"{seed}: {one.state}{f' ({one.attempts[-1].reply})' if one.attempts else ''}"
        if isinstance(one, History)
        else f"{seed}: {one.state} ({one.reason})"
        for seed in seeds
        for one in store.history(seed)[:1]
    )
