"""Sandbox providers that limit a campaign, and their account: `python benchmarks/providers.py < WORLD`.

WORLD is one line of JSON: by the name of a provider its `domains`, what it allows (`message_rate`,
`connections`) and `changes`, pairs of seconds since its first connection and what it allows from then on.
Printed: where it is reached; then, once standard input is closed, of each provider how many messages it let
in, refused connections and MAILs, and commands there were in each second, and the most connections at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import trio

from bulkmail import sandbox
from bulkmail.sandbox.provider import Provider


def world_of(described: Mapping[str, Any]) -> sandbox.World:
    world = sandbox.World(keep="counts")
    for name, one in described.items():
        provider = world.provider(name, domains=one["domains"])
        allow(provider, one)
        for seconds, changed in one.get("changes", ()):
            provider.after(seconds, change(changed))
    return world


def allow(provider: Provider, what: Mapping[str, Any]) -> None:
    if "message_rate" in what:
        provider.message_rate(what["message_rate"])
    if "connections" in what:
        provider.connections(what["connections"])


def change(what: Mapping[str, Any]) -> Callable[[Provider], None]:
    return partial(allow, what=what)


async def main() -> None:
    described = json.loads(sys.stdin.readline())
    async with sandbox.serve(world_of(described)) as running:
        print(json.dumps({"dns": "{}:{}".format(*running.dns), "port": running.smtp_port}), flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        accounts = {name: one.account for name, one in running.world.providers.items()}
        told = {
            name: {
                **{
                    kind: account.by_second(kind)  # type: ignore[arg-type]
                    for kind in ("accepted", "throttled", "commands")
                },
                "peak_connections": max(account.peak.values(), default=0),
            }
            for name, account in accounts.items()
        }
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    trio.run(main)
