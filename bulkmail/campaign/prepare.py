"""From a campaign file to a plan on disk that may be delivered: the lock, the journal, what has changed.

The first MAIL freezes list, content and route. From then on a resume compares and refuses, naming what
changed, unless the operator accepts the change for those who remain; nobody settled is ever reopened. Before
that, a changed list is simply planned again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from bulkmail.campaign.compose import compose
from bulkmail.campaign.config import Campaign, missing_files
from bulkmail.campaign.egress import check_name, check_sources
from bulkmail.campaign.events import Tell, event
from bulkmail.campaign.fingerprint import Fingerprint, list_changes, list_fingerprint
from bulkmail.campaign.listing import ListSpec, Source, SqlSource
from bulkmail.campaign.place import is_real, journal_path
from bulkmail.campaign.plan import make_plan
from bulkmail.campaign.standing import allowed
from bulkmail.delivery.retry import JITTER
from bulkmail.errors import CampaignChanged, ConfigError, Problem
from bulkmail.journal import LEFT_OUT, SETTLED, CampaignLock, Exported, Store, Suppressions, told
from bulkmail.message import Composer

# What may change on a resume, by the word of --accept-changes, and how it is told.
PARTS = {"recipients": "the list", "content": "the content", "delivery": "the way out (delivery.via)"}
PROJECT_STORE = "project.db"
MOST_PROBLEMS = 50  # that are told at once
KEPT = ("*.journal", "*.journal.*.log", PROJECT_STORE)  # what shows that a state directory has been in use
SUPPRESSED_UNTIL = "suppressed until"  # in the journal's meta


@dataclass(frozen=True, slots=True)
class Prepared:
    """A campaign whose plan is on disk and whose lock is ours."""

    campaign: Campaign
    store: Store
    composer: Composer
    suppressions: Suppressions
    resumed: bool  # something may have been sent before
    suppressed_until: str | None = None  # Suppressions.newest when it was planned

    @property
    def shareable(self) -> bool:
        """Whether transactions may be shared where the plan says that the bytes are the same."""
        return self.campaign.delivery.transaction == "auto" and (
            not self.composer.personal or self.store.meta("content") == self.store.meta("planned content")
        )

    @property
    def must_confirm(self) -> bool:
        """A real send that nobody has agreed to yet."""
        remaining = sendable(self.store.totals())
        return (
            is_real(self.campaign)
            and self.store.meta("confirmed") is None
            and remaining > self.campaign.safety.confirm_above
        )

    def freeze(self) -> None:
        """From here on a changed list, content or route is refused."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.store.set_meta("confirmed", now)
        if self.store.meta("frozen") is None:
            self.store.set_meta("frozen", now)


def sendable(totals: Mapping[str, int]) -> int:
    return totals["pending"] + totals["deferred"]


def state_is_missing(campaign: Campaign) -> bool:
    """A first real send, or a lost volume: nobody can tell from here (FAULTS.md I13).

    A directory without anything of ours is no better than none: a mount point of what was not mounted.
    """
    return is_real(campaign) and not any(next(campaign.state.glob(name), None) for name in KEPT)


def parse_accept(text: str) -> frozenset[str]:
    """The words of `--accept-changes`. Raises ConfigError for one that means nothing."""
    words = frozenset(word.strip() for word in text.split(",") if word.strip())
    if unknown := words - PARTS.keys():
        told = ", ".join(sorted(unknown))
        raise ConfigError(f"--accept-changes {told}: what may change is {', '.join(PARTS)}")
    return words


@contextmanager
def prepared(
    campaign: Campaign, *, accept: frozenset[str] = frozenset(), anew: bool = False, tell: Tell
) -> Iterator[Prepared]:
    """Hold the campaign's lock and give its plan, made now if need be. For `anew` see Store.create.

    Raises ConfigError (bad list or template, no name for EHLO, no such address to leave from;
    CampaignChanged), CampaignLocked, CampaignPaused, CampaignCancelled, StoreError.
    """
    check_name(campaign)
    check_sources(campaign)
    with ExitStack() as stack:
        path = journal_path(campaign)
        stack.enter_context(CampaignLock(path))
        suppressions = stack.enter_context(Suppressions.open(campaign.project_state / PROJECT_STORE))
        store = _open(path, campaign.delivery.on_doubt)
        if store is not None and store.meta("frozen") is None:
            store.close()  # planned, and nothing sent: the list as it is now counts
            store = None
        composer: Composer | None = None
        if store is not None:
            composer = _resume(campaign, store, accept)
        resumed = composer is not None
        if store is None or composer is None:
            store, composer = _plan(campaign, path, suppressions, tell, anew=anew)
        stack.enter_context(store)
        totals = store.totals()
        check_size(campaign, totals)
        tell(event("planned", campaign, totals=totals, resumed=resumed))
        yield Prepared(campaign, store, composer, suppressions, resumed, store.meta(SUPPRESSED_UNTIL))


def _open(path: Path, on_doubt: str) -> Store | None:
    """The journal of an earlier run; None where there is none, or only a plan that was never finished."""
    if path.exists():
        store = Store.open(path)
        if store.planned:
            return allowed(store, on_doubt, time.time())
        store.close()
    return None


def list_spec(campaign: Campaign, *, to_read: bool = True) -> ListSpec:
    """What the campaign says of its recipients; `to_read` needs the secret of an SQL source. ConfigError."""
    recipients = campaign.recipients
    asked = recipients.source
    source: Source = (
        asked if isinstance(asked, str) else SqlSource(asked.sql, asked.dsn.reveal() if to_read else "")
    )
    return ListSpec(
        source=[source],
        base=Path(os.path.abspath(campaign.file)).parent,
        columns=recipients.columns,
        where=recipients.where,
        dedupe=recipients.dedupe,
        exclude=recipients.exclude,
        seeds=recipients.seeds,
        limit=recipients.limit,
        first=None if campaign.shaping.warmup is None else campaign.shaping.warmup.first,
        locate=campaign.problem,
    )


def _plan(
    campaign: Campaign,
    path: Path,
    suppressions: Suppressions,
    tell: Tell,
    *,
    anew: bool,
) -> tuple[Store, Composer]:
    if problems := missing_files(campaign):
        raise ConfigError(problems)
    date = datetime.now(UTC).replace(microsecond=0)
    composer = compose(campaign, date=date)
    spec = list_spec(campaign)
    with told(path, "removed"):
        path.unlink(missing_ok=True)
    identity = {
        "campaign": campaign.campaign,
        "via": str(campaign.delivery.via),
        "content": composer.digest,
        "planned content": composer.digest,
        "date": date.isoformat(),
        "list": list_fingerprint(spec).to_text(),
        SUPPRESSED_UNTIL: suppressions.newest(),
    }
    store = Store.create(path, identity, anew=anew or not is_real(campaign))
    try:
        make_plan(
            spec,
            composer,
            store,
            suppressions,
            folder=path.with_name(path.name + ".spill"),
            on_missing=campaign.content.on_missing,
            progress=lambda step, rows: tell(event("planning", campaign, step=step, rows=rows)),
        )
    except BaseException:
        store.close()
        raise
    return store, composer


def _resume(campaign: Campaign, store: Store, accept: frozenset[str]) -> Composer | None:
    """Compare with what was frozen; refuse, or take over what the operator accepts.

    None, and the store is closed, where something has changed and nothing ever came of the earlier run (a
    relay that could not be reached, a wrong password): then it is planned anew. An open intent is something.
    """
    try:
        now, longest = time.time(), campaign.longest_wait_s
        store.recover(campaign.delivery.on_doubt, now)
        store.bring_forward(now + longest * (1 + JITTER), now + longest)
        return _compared(campaign, store, accept)
    except CampaignChanged:
        if any(store.totals()[state] for state in (*SETTLED, "deferred", "in_doubt")):
            store.close()
            raise
        store.close()
        return None
    except BaseException:
        store.close()
        raise


def _compared(campaign: Campaign, store: Store, accept: frozenset[str]) -> Composer:
    composer = compose(campaign, date=datetime.fromisoformat(store.meta("date") or ""))
    now = {"content": composer.digest, "delivery": str(campaign.delivery.via)}
    was = {"content": store.meta("content"), "delivery": store.meta("via")}
    changed: dict[str, list[str]] = {part: [] for part in now if now[part] != was[part]}
    if "delivery" in changed:
        changed["delivery"] = [f"it was {was['delivery']}, now it is {now['delivery']}"]
    spec = list_spec(campaign, to_read=False)
    if about_list := list_changes(spec, Fingerprint.from_text(store.meta("list") or "")):
        changed["recipients"] = about_list
    if refused := sorted(changed.keys() - accept):
        raise CampaignChanged([_changed(campaign, part, changed[part]) for part in refused])
    if "content" in changed:
        _check_remaining(campaign, store, composer)
        store.set_meta("content", composer.digest)
    if "delivery" in changed:
        store.set_meta("via", now["delivery"])
    if "recipients" in changed:
        # the plan stays what it was: it is only said that the operator knows
        store.set_meta("list", list_fingerprint(spec).to_text())
    return composer


def _check_remaining(campaign: Campaign, store: Store, composer: Composer) -> None:
    """That changed content can be rendered for everybody who remains. Raises ConfigError with a few."""
    problems = (
        campaign.problem("content", f"{one.address}: {reason}")
        for state in ("pending", "deferred", "in_doubt")
        for one in store.export(state)
        if isinstance(one, Exported) and (reason := composer.check(one.fields)) is not None
    )
    if found := list(islice(problems, MOST_PROBLEMS)):
        raise ConfigError(found)


def _changed(campaign: Campaign, part: str, how: list[str]) -> Problem:
    told = "".join(f"; {line}" for line in how[:5])
    return campaign.problem(
        "delivery.via" if part == "delivery" else part,
        f"{PARTS[part]} changed since this campaign began to send{told}. Put it back, or go on with those "
        f"who remain: --accept-changes {part}; a new send needs a new campaign name",
    )


def check_size(campaign: Campaign, totals: Mapping[str, int]) -> None:
    """That the plan is not larger than `safety.max_recipients` allows. Raises ConfigError."""
    most = campaign.safety.max_recipients
    planned = totals["source"] - sum(totals[state] for state in LEFT_OUT)
    if most is not None and planned > most:
        raise ConfigError(
            campaign.problem(
                "safety.max_recipients", f"the plan has {planned:,} recipients, more than {most:,}"
            )
        )
