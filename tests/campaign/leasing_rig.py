"""Several campaigns at once and a clock that only the test moves, for tests of `Leasing`.

The grounds are counters here: what stands, stands until its campaign ends it, however small its part has
become. What real connections do is asserted from the server's side (road/test_road_at_once.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Set
from pathlib import Path

from bulkmail.campaign.leasing import Leasing
from bulkmail.delivery.shaping import Limits
from bulkmail.journal import Leases, SiteFile

WHOLE = 4
SCOPES = ("google", "example.com")


class Campaign:
    """One process that sends: as many connections at each scope as it may have, where it wants any."""

    def __init__(self, path: Path, name: str, clock: Callable[[], float], *, first: bool = False) -> None:
        self._file = SiteFile.open(path)
        self.name = name
        self._leases = Leases(self._file, name, first=first)
        self.leasing = Leasing(self._leases, self, clock=clock)
        self.wants: set[str] = set()
        self.standing = dict.fromkeys(SCOPES, 0)
        self.booked = 0.0
        self.whole = WHOLE
        self.together = False  # its limit is of all scopes
        self.alone = WHOLE  # what it has while no other campaign is there

    # the ground

    def scopes(self) -> set[str]:
        return self.wants | {scope for scope, count in self.standing.items() if count}

    def keeps(self, scope: str) -> bool:
        return self.standing[scope] <= self.may(scope)

    def booked_s(self, scope: str) -> float:
        return self.booked

    def starves(self, scope: str) -> bool:
        return scope in self.wants and not self.may(scope)

    def is_empty(self, scope: str) -> bool:
        return not self.standing[scope]

    def limit_again(self, scopes: Set[str] | None) -> None:
        pass

    def terms(self, scopes: Collection[str]) -> dict[str, str]:
        return dict.fromkeys(scopes, "")

    def edition(self) -> object:
        return None

    # and what happens there

    def may(self, scope: str) -> int:
        alone = Limits(min(self.whole, self.alone))
        scopes = SCOPES if self.together else (scope,)
        return min(self.leasing.limited(one, Limits(self.whole), alone).connections for one in scopes)

    def open(self, scope: str) -> None:
        if scope in self.wants and self.standing[scope] < self.may(scope):
            self.standing[scope] += 1

    def close(self, scope: str) -> None:
        self.standing[scope] = max(0, self.standing[scope] - 1)

    def end(self) -> None:
        self._leases.close()
        self._file.close()

    def die(self) -> None:
        """Nothing is given back, but for what the kernel closes."""
        os.close(self._leases._descriptor)
        self._leases._descriptor = None
        self._file.close()


class Machine:
    """Campaigns and a clock that only the test moves."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 0.0
        self.running: list[Campaign] = []
        self._names = 0

    def begins(self, name: str = "", *, first: bool = False, wants: tuple[str, ...] = ()) -> Campaign:
        self._names += 1
        made = Campaign(self.path, name or f"c{self._names}", lambda: self.now, first=first)
        made.wants.update(wants)
        self.running.append(made)
        made.leasing.look()
        return made

    def looks(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += 0.25
            for one in self.running:
                one.leasing.look()

    def may(self, scope: str = SCOPES[0]) -> list[int]:
        return [one.may(scope) for one in self.running]
