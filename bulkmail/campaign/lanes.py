"""Large domains side by side: each is read, routed and handed out in its turn, as far as there is room.

The plan has who is large first. A domain of a hundred thousand intervals, one for each group of its people
who share a message, would be read to its end before anybody else; where it is slow, all others would wait for
it to fill what may be out. So a domain that has many intervals in a page of the plan leaves it for a lane of
its own: it is read by itself from there on, in small pages, and each round takes a few of each lane (round
robin; to read and to route an interval costs the same for all of them, so they are what is counted).

How many parcels of a provider are out is bounded three times: by what is left for others (`Dispatcher.room`),
by an equal part among those who have lanes, and, as long as it is new, by what it has finished: who is slow
is found out with a few, before anybody knows how many others there are. Nobody is waited for: who has no room
is left out of the round, and costs nothing until he has finished some.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from bulkmail.delivery.dispatch import OPEN_PARCELS, Dispatcher
from bulkmail.delivery.work import Parcel
from bulkmail.journal import Interval

LANES = 200  # that there ever are: their domains are passed over in each page of the plan
MANY = 50  # intervals in a page: the domain will have more
ROUND = 320  # parcels of all lanes in a round, as far as each has no fewer than
AT_ONCE = 16
PAGE = 64  # intervals of a lane, read at a time
FIRST = 128  # parcels that are out to a provider who has not finished any
SPARE = 4  # parts that are nobody's: for who is not large

Place = tuple[int, int]  # of an interval in the plan: its size, its number


@dataclass(slots=True)
class Lane:
    """A domain that was handed out up to `after` of the plan, and in its lane up to the interval `behind`."""

    domain: str
    after: Place
    behind: int = 0
    ready: deque[Parcel] = field(default_factory=deque)
    ended: bool = False  # nobody of it is to be read any more
    handed_out: int = 0
    _site: str = ""
    _latest: Parcel | None = None  # that was handed out; once it is routed it says where to

    @property
    def site(self) -> str:
        """Where it goes, as far as that is known."""
        if self._latest is not None and self._latest.site:
            self._site = self._latest.site
        return self._site

    def goes_to(self, site: str) -> None:
        self._site = site

    def take(self, most: int) -> list[Parcel]:
        taken = [self.ready.popleft() for _ in range(min(most, len(self.ready)))]
        self.handed_out += len(taken)
        if taken:
            self._latest = taken[-1]
        return taken


class Lanes:
    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._lanes: dict[str, Lane] = {}

    def __bool__(self) -> bool:
        """Somebody is to come."""
        return any(lane.ready or not lane.ended for lane in self._lanes.values())

    @property
    def domains(self) -> Collection[str]:
        """That are not to be read with the plan: to its end, for it would hand out again who is in a lane."""
        return tuple(self._lanes)

    def open(self, page: Sequence[Interval]) -> None:
        """Lanes for those who have many of these, which were read of the plan and are handed out."""
        last = page[-1]
        counts = Counter(one.domain for one in page if not one.seeds)
        for domain, count in counts.items():
            if count >= MANY and domain not in self._lanes and len(self._lanes) < LANES:
                self._lanes[domain] = Lane(domain, (last.size, last.id))

    def of(self, domain: str) -> Lane | None:
        return self._lanes.get(domain)

    def end(self) -> None:
        """Nobody more is to be read."""
        for lane in self._lanes.values():
            lane.ended = True

    def parked(self, domain: str, site: str) -> None:
        """There was no room for it at its site."""
        if (lane := self._lanes.get(domain)) is not None:
            lane.goes_to(site)

    def empty(self) -> list[Lane]:
        """Of those with room, who has to be read before he can hand out anything."""
        return [lane for lane, _ in self._with_room() if not lane.ready and not lane.ended]

    def round(self) -> list[Parcel]:
        """A few of each who has room; who had his turn comes last in the next one."""
        found: list[Parcel] = []
        for lane, count in self._with_room():
            found += lane.take(count)
            self._lanes[lane.domain] = self._lanes.pop(lane.domain)
        return found

    def _with_room(self) -> list[tuple[Lane, int]]:
        """And how many of them may be handed out in a round."""
        room = self._room()
        lanes = [lane for lane in self._lanes.values() if lane.ready or not lane.ended]
        most = max(AT_ONCE, ROUND // max(1, len(lanes)))
        found = []
        for lane in lanes:
            provider = self._provider(lane)
            count = min(most, room[provider])
            if count >= AT_ONCE:  # not one by one, as places fall free
                found.append((lane, count))
                room[provider] -= count
        return found

    def _room(self) -> dict[str, int]:
        """By provider, how many more of it may be out."""
        handed_out: Counter[str] = Counter()
        sites: dict[str, str] = {}
        for lane in self._lanes.values():
            provider = self._provider(lane)
            handed_out[provider] += lane.handed_out
            if lane.site and (lane.ready or not lane.ended):
                sites[provider] = lane.site
        part = OPEN_PARCELS // (len(sites) + SPARE)
        found = dict.fromkeys(handed_out, AT_ONCE)
        for provider, site in sites.items():
            out = self._dispatcher.out(provider)
            finished = max(0, handed_out[provider] - out)
            most = max(AT_ONCE, min(part, FIRST + finished))
            found[provider] = min(self._dispatcher.room(site), most - out)
        return found

    def _provider(self, lane: Lane) -> str:
        return self._dispatcher.provider(lane.site) if lane.site else lane.domain
