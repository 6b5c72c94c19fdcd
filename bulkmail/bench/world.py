"""The sandbox as a process that serves a bench: `python -m bulkmail.bench.world`.

It prints where it listens. Each line that it reads is answered with what it has counted and the processor
time it has taken; it ends with its standard input, so that it never outlives who started it.
"""

from __future__ import annotations

import json
import signal
import sys
import time

import trio

from bulkmail.sandbox import World, serve


async def main() -> None:
    world = World(keep="counts", unknown="accept")
    async with serve(world) as running, trio.lowlevel.FdStream(0) as asked:
        _say({"smtp": running.smtp_port, "dns": list(running.dns)})
        async for lines in asked:
            for _ in range(lines.count(b"\n")):
                ledger = world.ledger
                counted = {"recipients": ledger.recipients, "messages": ledger.transactions}
                _say({**counted, "cpu_s": time.process_time(), "copies": len(ledger.copies)})


def _say(value: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started it
    trio.run(main)
