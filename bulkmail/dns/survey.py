"""Everything that DNS says about where a domain's mail goes, for people who look at one domain.

`Routes` stops as soon as it has what one attempt can use; a survey looks at every exchanger (within bounds)
and says of each what would become of it. Both judge by the same code, so that what is shown is what a
campaign would do.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import cast

import trio

from bulkmail.dns.addresses import canonical_address, interleave
from bulkmail.dns.resolver import Answer, Resolver, Status
from bulkmail.dns.routes import Fate, NoRoute, Route, Routes
from bulkmail.errors import LocalResourceError

EXCHANGERS = 50  # looked at; the records of everybody who runs mail in earnest are fewer


@dataclass(frozen=True, slots=True)
class Exchanger:
    """One mail exchanger. `problem`: why it cannot be used, or what is wrong with it; "" for nothing."""

    preference: int
    name: str
    addresses: tuple[str, ...]  # all that were found, also those that would not be used
    usable: bool
    problem: str


@dataclass(frozen=True, slots=True)
class Survey:
    """`exchangers`: by preference, at most EXCHANGERS. `implicit`: the domain itself, for there is no MX."""

    domain: str
    records: int  # MX records that can be read
    exchangers: tuple[Exchanger, ...]
    implicit: bool
    null_mx: bool
    route: Route | NoRoute

    @property
    def findings(self) -> tuple[str, ...]:
        """What is wrong, in words; empty where nothing is."""
        found = []
        if isinstance(self.route, NoRoute):
            fate = "fails at once" if self.route.permanent else "is tried again later"
            found.append(f"no route: {self.route.reason}; mail {fate} ({self.route.enhanced})")
        if self.null_mx and self.records > 1:
            found.append('"." stands beside other exchangers and means nothing there (RFC 7505 section 3)')
        found += [f"{one.name}: {one.problem}" for one in self.exchangers if one.problem]
        return tuple(found)


class Surveyor(Routes):
    """Surveys of domains. `own_names`: this machine's, as an exchanger would be called."""

    def __init__(self, resolver: Resolver, *, allow_private: bool, own_names: Collection[str] = ()) -> None:
        super().__init__(resolver, allow_private=allow_private, own_names=own_names)

    async def survey(self, domain: str) -> Survey:
        """What DNS says of `domain` (A-labels, or an address literal in brackets).

        Raises LocalResourceError when this machine cannot even ask for its MX.
        """
        route = await self.route(domain)
        if domain.startswith("["):
            return Survey(domain, 0, (), False, False, route)
        answer = await self._resolver.mx(domain)
        records = cast("list[tuple[int, str]]", list(answer.records))
        implicit = answer.status is Status.NODATA
        listed = [(0, domain)] if implicit else [(preference, host) for preference, host in records if host]
        listed = listed[:EXCHANGERS]
        found: dict[int, Exchanger] = {}

        async def look(number: int, preference: int, name: str) -> None:
            try:
                found[number] = await self._exchanger(preference, name)
            except LocalResourceError as shortage:
                found[number] = Exchanger(preference, name, (), False, str(shortage))

        async with trio.open_nursery() as looking:
            for number, (preference, name) in enumerate(listed):
                looking.start_soon(look, number, preference, name)
        null_mx = any(not host for _, host in records)
        ordered = tuple(found[number] for number in sorted(found))
        return Survey(domain, len(records), ordered, implicit, null_mx, route)

    async def _exchanger(self, preference: int, name: str) -> Exchanger:
        found = Fate.OWN if name in self._own_names else None
        reason = ""
        if found is None:
            judged = await self._addresses(name)
            found, reason = judged.fate, judged.reason
        answers = await self._asked(name)
        addresses = {str(record) for answer in answers for record in answer.records}
        usable = found is Fate.USABLE
        problem = "" if usable else found.value + (f" ({reason})" if reason else "")
        if usable and (failed := [one.reason for one in answers if one.status is Status.FAILED]):
            problem = f"some addresses could not be looked up ({failed[0]})"
        return Exchanger(preference, name, tuple(interleave(sorted(addresses))), usable, problem)

    async def _asked(self, name: str) -> list[Answer]:
        try:
            return [Answer(Status.FOUND, (canonical_address(name),), 0)]
        except ValueError:
            return [await self._resolver.aaaa(name), await self._resolver.a(name)]
