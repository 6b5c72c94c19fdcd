"""What a rehearsal says of the whole campaign: what was seen of a sample, scaled up.

A provider's pace is that of the second half of its sample, when it has been found; what is beyond the sample
goes on at it. Pure: from times and counts to the numbers that are shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from bulkmail.campaign.planting import SESSIONS
from bulkmail.campaign.rehearse_places import Located
from bulkmail.campaign.rehearse_post import Fared, Place
from bulkmail.campaign.rehearse_run import ANSWER_S, ROUND_TRIP_S, Rehearsed
from bulkmail.sandbox.account import Account

OTHERS = "others"
ROWS, WORTH = 10, 0.005  # providers of no profile that have a row of their own, and of all recipients so many
HELLO = 6  # round trips before the end of data: connecting, greeting, EHLO, envelope, DATA, QUIT


@dataclass(frozen=True, slots=True)
class Row:
    """One provider, or all the small ones together. Shares are of what was rehearsed."""

    provider: str
    domains: int  # that were looked at
    recipients: int
    rehearsed: int
    seconds: float  # until the last of its recipients has come to an end
    connections: int  # the most at once
    throttled: float  # replies that said "too much", of all
    deferred: float  # recipients, once or more often
    replies: tuple[tuple[str, int], ...] = ()  # the most frequent ones that did not take a message
    profiled: bool = False  # its limits are in the profile


@dataclass(frozen=True, slots=True)
class Prediction:
    """`nowhere`: recipients whose domain takes no mail. `whole`: the sample came to its end in time."""

    rows: tuple[Row, ...]
    seconds: float
    recipients: int
    rehearsed: int
    whole: bool
    cpu_s: float
    nowhere: int
    asked: int
    unasked: int
    assumed: Mapping[str, float] = field(
        default_factory=lambda: {"round_trip_s": ROUND_TRIP_S, "end_of_data_s": ANSWER_S}
    )

    def as_json(self) -> dict[str, object]:
        """Plain values; a time that could not be told is null."""
        found = asdict(self)
        for one in (found, *found["rows"]):
            one["seconds"] = None if one["seconds"] == math.inf else round(one["seconds"], 1)
        return found


def prediction(
    located: Located, rehearsed: Rehearsed, profiled: Iterable[str], *, recipients: int, domains: int
) -> Prediction:
    """`recipients` and `domains`: of the whole plan."""
    profiles = set(profiled)
    groups: dict[str, list[Place]] = {}
    for place in located.places:
        groups.setdefault(place.provider, []).append(place)
    others = sorted(groups.keys() - profiles, key=lambda name: (-_recipients(groups[name]), name))
    least = WORTH * sum(map(_recipients, groups.values()))
    small = {*others[ROWS:], *(name for name in others if _recipients(groups[name]) < least)}
    rows = [
        _row(name, places, rehearsed, profiled=name in profiles)
        for name, places in groups.items()
        if name not in small
    ]
    if small:
        rows.append(_others([(name, groups[name]) for name in small], rehearsed, domains))
    rows.sort(key=lambda row: (row.provider == OTHERS, -row.recipients, row.provider))
    return Prediction(
        rows=tuple(rows),
        seconds=max((row.seconds for row in rows), default=0.0),
        recipients=recipients,
        rehearsed=sum(row.rehearsed for row in rows),
        whole=rehearsed.whole,
        cpu_s=rehearsed.cpu_s,
        nowhere=located.nowhere,
        asked=located.asked,
        unasked=located.unasked,
    )


def _recipients(places: Iterable[Place]) -> int:
    """That the places stand for."""
    return round(sum(place.recipients * place.weight for place in places))


def _row(name: str, places: Sequence[Place], rehearsed: Rehearsed, *, profiled: bool) -> Row:
    fared = rehearsed.post.fared.get(name, Fared())
    account = rehearsed.world.providers[name].account
    recipients = _recipients(places)
    seen = len(fared.tried)
    return Row(
        provider=name,
        domains=len(places),
        recipients=recipients,
        rehearsed=seen,
        seconds=extrapolated(sorted(fared.tried), recipients),
        connections=account.peak_together,
        throttled=account.share("throttled"),
        deferred=fared.deferred / seen if seen else 0.0,
        replies=tuple(fared.replies.most_common(3)),
        profiled=profiled,
    )


def _others(groups: Sequence[tuple[str, list[Place]]], rehearsed: Rehearsed, domains: int) -> Row:
    """Small ones, each with a site of its own, which do not wait for one another but for a free session.

    So those that one of them stands for are done when it is.
    """
    rows = [_row(name, places, rehearsed, profiled=False) for name, places in groups]
    places = [place for _, several in groups for place in several]
    accounts = [rehearsed.world.providers[name].account for name, _ in groups]
    recipients = sum(row.recipients for row in rows)
    stood_for = sum(place.weight for place in places)
    sessions = stood_for * HELLO * ROUND_TRIP_S + recipients * ANSWER_S
    slowest = 0.0
    for name, several in groups:
        times = sorted(rehearsed.post.fared.get(name, Fared()).tried)
        if times:  # the sample may have passed it over
            slowest = max(slowest, extrapolated(times, sum(place.recipients for place in several)))
    seen = sum(row.rehearsed for row in rows)
    return Row(
        provider=OTHERS,
        domains=min(domains, round(stood_for)),
        recipients=recipients,
        rehearsed=seen,
        seconds=max(slowest, sessions / SESSIONS),
        connections=max(row.connections for row in rows),
        throttled=_share_of(accounts),
        deferred=sum(row.deferred * row.rehearsed for row in rows) / seen if seen else 0.0,
    )


def _share_of(accounts: Sequence[Account]) -> float:
    commands = sum(account.count("commands") for account in accounts)
    return sum(account.count("throttled") for account in accounts) / commands if commands else 0.0


def extrapolated(times: Sequence[float], whole: int) -> float:
    """When the last of `whole` would be done, where those of a sample were done at `times`, which ascend.

    inf where the sample says nothing of a pace.
    """
    seen = len(times)
    if not seen:
        return math.inf if whole else 0.0
    last = times[-1]
    if seen >= whole:
        return last
    half, most = seen // 2, int(seen * 0.9)
    passed = times[most] - times[half]
    if most == half or not passed:  # all at once: nothing held them up but the way there and back
        return last * whole / seen
    pace = (most - half) / passed
    straggling = max(0.0, last - times[most] - (seen - most) / pace)  # who was told to come back later
    return times[most] + (whole - most) / pace + straggling
