"""The law of the cache: bounded, never stale, and what was used last stays."""

from __future__ import annotations

from dataclasses import dataclass

from dns_responder import Clock
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.dns.cache import Cache


@dataclass(frozen=True)
class Entry:
    expires: float


steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 6), st.integers(-1, 5)),
        st.tuples(st.just("get"), st.integers(0, 6), st.just(0)),
        st.tuples(st.just("wait"), st.just(0), st.integers(1, 3)),
    ),
    max_size=60,
)


@given(steps, st.integers(1, 4))
def test_it_holds_the_most_recently_used_entries_that_have_not_expired(
    script: list[tuple[str, int, int]], size: int
) -> None:
    clock = Clock()
    cache: Cache[int, Entry] = Cache(size, clock)
    recent: list[tuple[int, Entry]] = []  # the model: a list, least recently used first
    for verb, key, number in script:
        if verb == "wait":
            clock.time += number
        elif verb == "put":
            entry = Entry(clock.time + number)
            if number > 0:
                recent = [one for one in recent if one[0] != key][-(size - 1) or len(recent) :]
                recent.append((key, entry))
            cache.put(key, entry)
        else:
            known = next((entry for other, entry in recent if other == key), None)
            recent = [one for one in recent if one[0] != key]
            alive = known if known is not None and known.expires > clock.time else None
            if alive is not None:
                recent.append((key, alive))
            assert cache.get(key) == alive
        assert len(cache) == len(recent) <= size
