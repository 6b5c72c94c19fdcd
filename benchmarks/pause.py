"""From `bulkmail pause` to the last MAIL that any server sees: `python benchmarks/pause.py`.

A campaign is delivered to a sandbox in this process, with one worker and with two. Ten times the real verb is
started beside it, and `resume` once it is quiet. Told are: how long the verb took, what of that a start of
`bulkmail --version` takes, and when the last MAIL came, counted from the verb's start (promised: within two
seconds). Bounded by --seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import trio

from bulkmail.sandbox import World, serve
from bulkmail.sandbox.answers import Event
from bulkmail.sandbox.behaviour import Said
from bulkmail.sandbox.smtp import Conversation
from bulkmail.smtp import Mail

CAMPAIGN = """\
campaign: pause
from: "Acme <news@acme.example>"
to: "{{{{ email }}}}"
subject: "News"
recipients: people.csv
content: news.txt
delivery:
  via: mx
  port: {port}
  resolvers: ["{dns}"]
  allow_private: true
  workers: {workers}
shaping: {{ default: {{ message_rate: {rate}/s, connection_rate: 1000/s }} }}
"""
SITES = 10
AT_MOST_S = 2.0
QUIET_S = 2.0  # without a MAIL: the last one was the last


class Clock:
    """When MAIL was said last, to whichever host."""

    def __init__(self) -> None:
        self.last = 0.0
        plain = Conversation._departure

        def departure(conversation: Conversation, stage: str, event: Event) -> Said | None:
            if isinstance(event, Mail):
                self.last = time.monotonic()
            return plain(conversation, stage, event)

        Conversation._departure = departure  # type: ignore[method-assign]


async def verb(*words: str) -> float:
    """It succeeded in so many seconds."""
    began = time.monotonic()
    command = [sys.executable, "-m", "bulkmail", *words]
    await trio.run_process(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - began


async def measured(folder: Path, clock: Clock, workers: int, tries: int, rate: int) -> dict[str, object]:
    world = World(keep="counts")
    for number in range(SITES):
        world.domain(f"d{number}.test").reply("VRFY", b"252 whatever")
    answered: list[float] = []
    last: list[float] = []
    start: list[float] = []
    async with serve(world) as running, trio.open_nursery() as nursery:
        text = CAMPAIGN.format(
            port=running.smtp_port, dns="{}:{}".format(*running.dns), workers=workers, rate=rate
        )
        file = folder / "campaign.yaml"
        file.write_text(text)
        (folder / "news.txt").write_text("Hello\n")
        people = (f"p{n}@d{n % SITES}.test\n" for n in range(rate * SITES * 300))
        (folder / "people.csv").write_text("email\n" + "".join(people))
        command = [sys.executable, "-m", "bulkmail", "run", str(file), "--yes", "--new", "--json"]
        run = partial(
            trio.run_process, command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )
        process = await nursery.start(run)
        while not clock.last:  # noqa: ASYNC110  the time of each MAIL is what is looked at
            await trio.sleep(0.05)
        for _ in range(tries):
            begun = clock.last
            while clock.last == begun:  # noqa: ASYNC110  it goes on
                await trio.sleep(0.05)
            start.append(await verb("--version"))
            began = time.monotonic()
            answered.append(await verb("pause", str(file)))
            while time.monotonic() - clock.last < QUIET_S:  # noqa: ASYNC110  until no more come
                await trio.sleep(0.1)
            last.append(clock.last - began)
            await verb("resume", str(file))
        process.kill()
        nursery.cancel_scope.cancel()
    return {
        "workers": workers,
        "last_mail_s": spread(last),
        "verb_s": spread(answered),
        "start_s": spread(start),
    }


def spread(values: list[float]) -> dict[str, float]:
    """A pause may have come before a MAIL: then the last one was before the verb, and is 0."""
    values = [max(0.0, one) for one in values]
    found = {"median": statistics.median(values), "least": min(values), "most": max(values)}
    return {name: round(value, 3) for name, value in found.items()}


async def bounded(args: argparse.Namespace) -> list[dict[str, object]]:
    clock, found = Clock(), []
    with trio.move_on_after(args.seconds):
        for workers in args.workers:
            clock.last = 0.0
            with tempfile.TemporaryDirectory(prefix="bulkmail-pause-") as name:
                found.append(await measured(Path(name), clock, workers, args.tries, args.rate))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--tries", type=int, default=10)
    parser.add_argument("--rate", type=int, default=20, help="messages a second to each of ten sites")
    parser.add_argument("--seconds", type=float, default=300.0, help="and no longer, all together")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = trio.run(bounded, args)
    if args.json:
        print(json.dumps(found))
        return
    print(f"{'workers':>7}  {'last MAIL after':>22}  {'the verb took':>22}  {'a mere start':>22}")
    for one in found:
        cells = [
            "{median:.2f} s ({least:.2f}–{most:.2f})".format(**one[key])  # type: ignore[arg-type]
            for key in ("last_mail_s", "verb_s", "start_s")
        ]
        print(f"{one['workers']:>7}  " + "  ".join(f"{cell:>22}" for cell in cells))
    if len(found) < len(args.workers):
        sys.exit("it was not done in time")
    if any(one["last_mail_s"]["most"] > AT_MOST_S for one in found):  # type: ignore[index]
        sys.exit(f"not within {AT_MOST_S:g} s")


if __name__ == "__main__":
    main()
