"""Reading what a provider allows: rates, greylists, reputations, blocks. ValueError has the reason."""

from __future__ import annotations

from typing import Any

from bulkmail.sandbox.policy import (
    BLOCKED_BY_NAME,
    GREYLISTED,
    TOO_MANY_CONNECTIONS,
    Greylist,
    Rate,
    Reputation,
)
from bulkmail.sandbox.values import count, keyed, or_none, reply, seconds, text

_ADDRESS = "an address that connects, such as 127.0.0.2"


def share(value: Any) -> float:
    """5%, 0.05."""
    raw = text(value)
    try:
        found = float(raw.removesuffix("%")) / (100 if raw.endswith("%") else 1)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise ValueError(f"a share is wanted (5%), not {value!r}")
    return found


def _rate(value: Any) -> Rate:
    return Rate.of(text(value))


def _rated(given: dict[str, Any]) -> Rate:
    rate: Rate = given["rate"]
    return Rate(rate.count, rate.per_s, given.get("burst"), given.get("reply"))


_one_rate = keyed("rate", rate=_rate, burst=count, reply=reply)
rate = or_none(lambda value: _rated(_one_rate(value)))  # 20/s, {rate: 20/s, burst: 40, reply: ...}, none


def throttling(value: Any) -> tuple[Rate, int]:
    """A rate of messages, and a number of connections."""
    given = keyed("rate", rate=_rate, burst=count, reply=reply, connections=count)(value)
    return _rated(given), given.get("connections", 5)


def connections(value: Any) -> tuple[int | None, bytes]:
    """5, {most: 5, reply: ...}, none."""
    if value == "none":
        return None, TOO_MANY_CONNECTIONS
    given = keyed("most", most=count, reply=reply)(value)
    return given["most"], given.get("reply", TOO_MANY_CONNECTIONS)


def _greylist(value: Any) -> Greylist:
    given = keyed("wait", wait=seconds, reply=reply, network=count, expires=seconds)(value)
    if given.get("network", 24) > 32:
        raise ValueError("network: bits of an IPv4 address, at most 32")
    usual = Greylist()
    return Greylist(
        given["wait"],
        given.get("reply", GREYLISTED),
        given.get("network", usual.network),
        given.get("expires", usual.expires_s),
    )


greylist = or_none(_greylist)


def _reputation(value: Any) -> Reputation:
    given = keyed(
        "",
        throttle=share,
        block=share,
        rate=_rate,
        half_life=seconds,
        after=count,
        throttle_reply=reply,
        block_reply=reply,
    )({str(key).replace("-", "_"): item for key, item in value.items()} if isinstance(value, dict) else value)
    if "half_life" in given:
        given["half_life_s"] = given.pop("half_life")
        if not given["half_life_s"]:
            raise ValueError("half-life: more than 0 seconds")
    return Reputation(**given)


reputation = or_none(_reputation)


def blocks(value: Any) -> dict[str, bytes]:
    """127.0.0.2, [127.0.0.2, 127.0.0.3], {127.0.0.2: "554 5.7.1 not you"}."""
    if isinstance(value, dict):
        return {text(address): reply(words) for address, words in value.items()}
    if value is True:
        raise ValueError(f"{_ADDRESS} is wanted")
    listed = value if isinstance(value, list) else [value]
    return {text(address): BLOCKED_BY_NAME for address in listed}
