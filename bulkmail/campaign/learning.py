"""What this run learns of sites, and what earlier ones did: between delivery and the project's store.

A site is looked up when it is first heard of, for no more than a read of one page. What is learned is
gathered and written every few seconds, for it is learned again where that is lost; a worker tells its parent
instead, who is the only one of a run to write. Nothing of a rehearsal is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields

import trio

from bulkmail.campaign.config import Campaign
from bulkmail.campaign.prepare import is_real
from bulkmail.delivery.plant import Plant
from bulkmail.delivery.site import NOTHING, Learned
from bulkmail.errors import StoreError
from bulkmail.journal import Fact, LearnedSites, SiteFile, site_store

WRITE_S = 5.0  # what was learned since is lost in a crash
NEWS = 2_000  # facts that wait to be written; nobody meets so many in so little time without something wrong
KINDS = tuple(field.name for field in fields(Learned))
SHARED = ("connections",)  # by all who send there: of one of several only its part is met


class Learning:
    """Of one process. `sharers` says how many processes of this campaign share the limits of a site, this one
    included; `campaigns` says among how many these share them.
    """

    def __init__(self, file: SiteFile | None, *, now: Callable[[], float] = time.time) -> None:
        self.file = file
        self._learned = learned = None if file is None else LearnedSites(file)
        self._knows = learned is not None and learned.any()
        self._now = now
        self._news: dict[tuple[str, str], float] = {}
        self.sharers: Callable[[str], int] = lambda site: 1
        self.campaigns: Callable[[str], int] = lambda site: 1
        self.on_clear_text: Callable[[str], None] = lambda site: None  # of a site that is first heard of

    def attend(self, plant: Plant) -> None:
        """Tell what is known to those who send, and listen to them."""
        plant.sites.recall, plant.sites.on_learned = self.recall, self.learned
        dialer = plant.pool.dialer
        self.on_clear_text, dialer.on_clear_text = dialer.forgo_tls, self.clear_text

    # --- what is known ---------------------------------------------------------------------------------

    def recall(self, site: str) -> Learned:
        """What is believed of it from the beginning. Where it cannot be read, it is learned anew."""
        if not self._knows or self._learned is None:
            return NOTHING
        try:
            known = {one.kind: one.value for one in self._learned.of(site, self._now())}
        except StoreError:
            return NOTHING
        if "clear_text" in known:
            self.on_clear_text(site)

        def count(kind: str) -> int | None:
            if kind not in known:
                return None
            return max(1, int(known[kind]) // self._among(kind, site))

        return Learned(
            recipients=count("recipients"),
            messages=count("messages"),
            connections=count("connections"),
            lockstep="lockstep" in known,
            no_chunking="no_chunking" in known,
            size=count("size"),
        )

    # --- what is learned -------------------------------------------------------------------------------

    def learned(self, site: str, new: Learned) -> None:
        """A site has just taught us this; what is None or false in it says nothing."""
        for kind in KINDS:
            if value := getattr(new, kind):
                self._note(site, kind, float(value) * self._among(kind, site))

    def _among(self, kind: str, site: str) -> int:
        """By how many what is met here is less than what there is."""
        return self.sharers(site) * self.campaigns(site) if kind in SHARED else 1

    def clear_text(self, site: str) -> None:
        """Its TLS does not work."""
        self._note(site, "clear_text", 1.0)

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
        """Where it cannot be, it is learned another time: no campaign stops for that."""
        if self._learned is not None and self._news:
            with suppress(StoreError):
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
        try:
            yield made
        finally:
            if writing:
                made.write()
