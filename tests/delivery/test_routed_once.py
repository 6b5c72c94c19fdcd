"""Between the routing of a domain and its session there is no second question, unless there is much time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from post_office import Post, office

from bulkmail import sandbox
from bulkmail.delivery import destination
from bulkmail.delivery.dispatch import Dispatcher
from bulkmail.delivery.plant import Routing
from bulkmail.dns.routes import NoRoute, Route


class Counted:
    def __init__(self, routes: Routing) -> None:
        self.routes, self.asked = routes, 0

    async def route(self, domain: str) -> Route | NoRoute:
        self.asked += 1
        return await self.routes.route(domain)


@pytest.mark.parametrize(("holds_s", "asked"), [(30.0, 1), (0.0, 2)])
async def test_a_route_serves_its_session_for_a_while(
    holds_s: float, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destination, "ROUTED_S", holds_s)
    post = Post()
    async with office(sandbox.World.default(), post) as made:
        plant = made.dispatcher().plant
        counted = Counted(plant.routes)
        await made.deliver(1, Dispatcher(replace(plant, routes=counted)))
    assert (post.verdicts, counted.asked) == ({1: "delivered"}, asked)
