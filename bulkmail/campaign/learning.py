"""What this run learns of sites, and what earlier ones did: between delivery and the project's store.

A site is looked up when it is first heard of, for no more than a read of one page. What is learned is
gathered and written every few seconds, for it is learned again where that is lost; a worker tells its parent
instead, who is the only one of a run to write. Nothing of a rehearsal is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields

import trio

from bulkmail.campaign.config import Campaign
from bulkmail.campaign.place import is_real
from bulkmail.delivery.paced import UNKNOWN, Allowed
from bulkmail.delivery.plant import Plant
from bulkmail.delivery.site import NOTHING, Learned
from bulkmail.delivery.sources import Sources
from bulkmail.journal import Fact, LearnedSites, SiteFile, at_last, dispensable, site_store
from bulkmail.journal.learned import BLOCKED
from bulkmail.transport.approach import Source

WRITE_S = 5.0  # what was learned since is lost in a crash
NEWS = 2_000  # facts that wait to be written; nobody meets so many in so little time without something wrong
MOST = 1e18  # of anything; what is beyond, or below 1, is no limit that anybody was taught
KINDS = tuple(field.name for field in fields(Learned))
SHARED = Allowed._fields  # by all who send to a provider: of one of several only its part is met


class Learning:
    """Of one process. `sharers` says how many processes of this campaign share the limits of a site, this one
    included; `campaigns`, such parts as ours in them, where other campaigns share them, too; else 0.
    """

    def __init__(self, file: SiteFile | None, *, now: Callable[[], float] = time.time) -> None:
        self.file = file
        self._learned = learned = None if file is None else LearnedSites(file)
        self._knows = learned is not None and learned.any()
        self._now = now
        self._news: dict[tuple[str, str], float] = {}
        self.sharers: Callable[[str], int] = lambda site: 1
        self.campaigns: Callable[[str], int] = lambda site: 0
        self.on_clear_text: Callable[[str], None] = lambda site: None  # of a site that is first heard of
        self.on_ipv4: Callable[[str], None] = lambda site: None  # the same
        self.run_by: Callable[[str], str] = lambda site: site

    @property
    def checks(self) -> Iterable[Callable[[], None]]:
        """What tells that the disk refused what was to be kept."""
        return () if self.file is None else (self.file.check,)

    def attend(self, plant: Plant) -> None:
        """Tell what is known to those who send, and listen to them."""
        sites, self.run_by = plant.sites, plant.provider_of
        sites.recall, sites.on_learned = self.recall, self.learned
        sites.recall_pace, sites.on_allowed, sites.parts_of = self.recall_pace, self.allowed, self.among
        dialer = plant.pool.dialer
        self.on_clear_text, dialer.on_clear_text = dialer.forgo_tls, self.clear_text
        dialer.ipv4_only.on_site = self.ipv4
        self.on_ipv4 = lambda site: dialer.ipv4_only.add(site, trio.current_time())
        if plant.sources is not None:
            plant.sources.on_block = self.blocked
            self._leave_out(plant.sources)

    # --- what is known ---------------------------------------------------------------------------------

    def recall(self, site: str) -> Learned:
        """What is believed of it from the beginning. Where it cannot be read, it is learned anew."""
        known = self._known(site)
        if "clear_text" in known:
            self.on_clear_text(site)
        if "ipv4" in known:
            self.on_ipv4(site)
        if not known:
            return NOTHING

        def count(kind: str) -> int | None:
            return int(known[kind]) if 1 <= known.get(kind, 0) < MOST else None

        return Learned(
            recipients=count("recipients"),
            messages=count("messages"),
            lockstep="lockstep" in known,
            no_chunking="no_chunking" in known,
            size=count("size"),
        )

    def _leave_out(self, sources: Sources) -> None:
        """The sources that sites have blocked in earlier runs, there."""
        found: dict[str, dict[str, float]] = {}
        if self._knows and self._learned is not None:
            with dispensable():
                for one in self._learned.blocked(now := self._now()):
                    found.setdefault(one.site, {})[one.kind.partition(" ")[2]] = one.until - now
        for site, left_s in found.items():
            sources.leave_out(site, left_s, trio.current_time())

    def recall_pace(self, site: str) -> Allowed:
        """What is believed of its provider from the beginning: our part of that."""
        known, parts = self._known(self.run_by(site)), self.among(site)
        rate, connections = known.get("message_rate", 0.0), known.get("connections", 0.0)
        found = Allowed(
            rate / parts if 0 < rate < MOST else None,
            max(1, int(connections) // parts) if 1 <= connections < MOST else None,
        )
        return UNKNOWN if found == UNKNOWN else found

    def _known(self, name: str) -> dict[str, float]:
        found: dict[str, float] = {}
        if self._knows and self._learned is not None:
            with dispensable():
                found = {one.kind: one.value for one in self._learned.of(name, self._now())}
        return found

    # --- what is learned -------------------------------------------------------------------------------

    def learned(self, site: str, new: Learned) -> None:
        """A site has just taught us this; what is None or false in it says nothing."""
        for kind in KINDS:
            if value := getattr(new, kind):
                self._note(site, kind, float(value))

    def allowed(self, site: str, found: Allowed) -> None:
        """So much its provider was found to take of this process."""
        for kind, value in zip(SHARED, found, strict=True):
            if value is not None:
                self._note(self.run_by(site), kind, value * self.among(site))

    def among(self, site: str) -> int:
        """By how many what is met here is less than what there is."""
        return self.campaigns(site) or self.sharers(site)

    def blocked(self, site: str, source: Source, seconds: float) -> None:
        """It refuses what leaves from there."""
        self._note(site, f"{BLOCKED} {source.address}", seconds)

    def clear_text(self, site: str) -> None:
        """Its TLS does not work."""
        self._note(site, "clear_text", 1.0)

    def ipv4(self, site: str) -> None:
        """It wants nothing over IPv6."""
        self._note(site, "ipv4", 1.0)

    def _note(self, site: str, kind: str, value: float) -> None:
        if len(self._news) < NEWS:
            self._news[site, kind] = value

    def take(self) -> list[Fact]:
        """All that was learned since the last call, for whoever writes it."""
        news, self._news = self._news, {}
        return [Fact(*met, value) for met, value in news.items()]

    def add(self, facts: Iterable[Fact]) -> None:
        """What another process of ours has learned."""
        for site, kind, value in facts:
            self._note(site, kind, value)

    async def keep(self) -> None:
        """Write it every few seconds, until cancelled."""
        while True:
            await trio.sleep(WRITE_S)
            self.write()

    def write(self) -> None:
        """Where others keep us from it, it is learned another time. DiskRefused: see SiteFile.check."""
        if self._learned is not None and self._news:
            with dispensable():
                self._learned.note(self.take(), self._now())


@contextmanager
def learning(campaign: Campaign, *, writing: bool = True) -> Iterator[Learning]:
    """What a run of `campaign` knows and learns; nothing is read or kept where it is a rehearsal. StoreError.

    `writing`: by us. A worker says to its parent what it has learned.
    """
    if not is_real(campaign):
        yield Learning(None)
        return
    path = site_store(campaign.project_state)
    with SiteFile.open(path) as file:
        made = Learning(file)
        with at_last(made.write if writing else made.take):
            yield made
