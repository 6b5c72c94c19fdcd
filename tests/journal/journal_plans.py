"""Small campaigns, planned."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bulkmail.journal import Planned, Store

Domains = Sequence[tuple[str, int]]  # (domain, how many recipients), in the order of the plan
NewStore = Callable[[Domains], Store]


def plan(store: Store, domains: Domains, *, shared: bool = True) -> None:
    """An interval a domain, of user1@…, user2@…; a domain marked "seeds:" is an interval of seeds."""
    with store.write_plan() as writer:
        for name, size in domains:
            domain = name.removeprefix("seeds:")
            rows = (Planned(f"user{n}@{domain}", f'{{"n": "{n}"}}') for n in range(1, size + 1))
            writer.interval(domain, shared, name != domain, rows)
