"""What a worker is given: parcels, each with its route, which is asked for again when it is not fresh."""

from __future__ import annotations

from collections import OrderedDict, deque

import trio

from bulkmail.campaign.workers.channel import Channel
from bulkmail.campaign.workers.messages import Asks, Deliver, Routed
from bulkmail.delivery.work import Parcel
from bulkmail.dns.routes import NoRoute, Route

FRESH_S = 60.0  # a route is believed; the parent's answers are as old as their TTL allows
ROUTES = 5_000  # that are kept: more than there are parcels out


class Inbox:
    """The source of a worker's dispatcher, and its routing."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._parcels: deque[Parcel] = deque()
        self._numbers: dict[int, int] = {}  # of the parcels that are out, by their identity
        self._routes: OrderedDict[str, tuple[float, Route | NoRoute]] = OrderedDict()
        self._asked: dict[str, trio.Event] = {}
        self._news = trio.Event()
        self._closed = False
        self._alone = False

    def add(self, message: Deliver) -> None:
        parcel = Parcel(message.domain, message.spans, shared=message.shared, attempts=message.attempts)
        self._numbers[id(parcel)] = message.number
        self._keep(message.domain, message.route)
        self._parcels.append(parcel)
        self._news.set()

    def number(self, parcel: Parcel) -> int:
        """What the parent calls a parcel that is finished."""
        return self._numbers.pop(id(parcel))

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True
        self._news.set()

    async def next(self) -> Parcel | None:
        """The next parcel, once there is one; None when nothing more will come."""
        while not self._parcels:
            if self._closed:
                return None
            self._news = trio.Event()
            await self._news.wait()
        return self._parcels.popleft()

    # --- routing ---------------------------------------------------------------------------------------

    async def route(self, domain: str) -> Route | NoRoute:
        """As the parcel came with it, or as the parent says by now; none where there is nobody to ask."""
        while True:
            known = self._routes.get(domain)
            if known is not None and (self._alone or trio.current_time() - known[0] < FRESH_S):
                await trio.lowlevel.checkpoint()
                return known[1]
            if self._alone:
                await trio.lowlevel.checkpoint()
                return NoRoute(domain, False, "4.4.3", "the process that knows the routes has gone")
            if domain not in self._asked:
                self._asked[domain] = trio.Event()
                self._channel.tell(Asks(domain))
            await self._asked[domain].wait()

    def routed(self, message: Routed) -> None:
        """The parent's answer."""
        self._keep(message.domain, message.route)
        if (asked := self._asked.pop(message.domain, None)) is not None:
            asked.set()

    def orphaned(self) -> None:
        """Nobody answers any more: what is known is good enough for what is open."""
        self._alone = True
        for asked in self._asked.values():
            asked.set()
        self._asked.clear()

    def _keep(self, domain: str, route: Route | NoRoute) -> None:
        self._routes[domain] = (trio.current_time(), route)
        self._routes.move_to_end(domain)
        if len(self._routes) > ROUTES:
            self._routes.popitem(last=False)
