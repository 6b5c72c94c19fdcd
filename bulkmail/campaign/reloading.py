"""SIGHUP: the campaign file is read again, and what may change while a run goes is taken up.

That are limits (`shaping`, but for the warm-up, which counts by the day) and rules (`safety.pause_if`). What
else has changed is told, and waits for another run; a file that cannot be used is told, and changes nothing.

The same signal says that the terminal has gone, to which nobody can answer any more: then the run drains, as
after SIGTERM. Who was started with nohup has said that he means to go on without one.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress

import trio

from bulkmail.campaign import config
from bulkmail.campaign.config import Campaign
from bulkmail.campaign.config_section import Section
from bulkmail.campaign.rules import rules_of
from bulkmail.delivery.rules import Rules
from bulkmail.errors import ConfigError

AT_ONCE = ("shaping.", "safety.pause_if.")
LATER = ("shaping.warmup", "shaping.replies")


def changes(before: Section, now: Section, where: str = "") -> list[str]:
    """The keys whose values differ, as they stand in the file."""
    found: list[str] = []
    for name, field in type(before).model_fields.items():
        one, other = getattr(before, name), getattr(now, name)
        key = f"{where}{field.alias or name}"
        if one != other:
            sections = isinstance(one, Section) and type(one) is type(other)
            found += changes(one, other, f"{key}.") if sections else [key]
    return found


def at_once(key: str) -> bool:
    """A change of it needs no new run."""
    return key.startswith(AT_ONCE) and not key.startswith(LATER)


def in_line(before: Campaign, now: Campaign) -> list[str]:
    """The domains that had no limits of their own until now: who is in line with others there stays in it."""
    return [f"shaping.domains.{name}" for name in now.shaping.domains if name not in before.shaping.domains]


def with_new(before: Campaign, now: Campaign) -> Campaign:
    """`before` with what may change at once as it is now."""
    later = {name: getattr(before.shaping, name) for name in ("warmup", "replies")}
    shaping = now.shaping.model_copy(update=later)
    safety = before.safety.model_copy(update={"pause_if": now.safety.pause_if})
    return before.model_copy(update={"shaping": shaping, "safety": safety})


class Terminal:
    """The one that we were started from, if there was one."""

    def __init__(self) -> None:
        self._given_up = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # by nohup
        self._had = _there()
        self._shown = [number for number in (1, 2) if os.isatty(number)]

    @property
    def has_gone(self) -> bool:
        return self._had and not self._given_up and not _there()

    def let_go(self) -> None:
        """What is shown from now on, nobody sees."""
        let_go(self._shown)


def let_go(descriptors: Iterable[int]) -> None:
    """Nobody reads these any more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in descriptors:
        with suppress(OSError):
            os.dup2(nowhere, number)
    os.close(nowhere)


def _there() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


async def on_hangups(
    signals: AsyncIterator[int],
    terminal: Terminal,
    campaign: Campaign,
    *,
    take_up: Callable[[Campaign, Rules], None],  # the campaign with what is new, and its limits
    drain: Callable[[str], None],
    tell: Callable[..., None],
) -> None:
    """Heed the signals, until cancelled."""
    async for _ in signals:
        if terminal.has_gone:
            terminal.let_go()
            drain("SIGHUP")
            return
        try:
            now, rules = await trio.to_thread.run_sync(_read, campaign)
        except ConfigError as error:
            told = "; ".join(str(problem) for problem in error.problems) or str(error)
            tell("warning", text=f"what has changed is not taken up, the limits stay as they were: {told}")
            continue
        changed = changes(campaign, now)
        taken = [key for key in changed if at_once(key)]
        named = in_line(campaign, now)
        if taken:
            campaign = with_new(campaign, now)
            take_up(campaign, rules)
        waiting = [key for key in changed if not at_once(key)]
        tell("reloaded", taken=taken, next_run=[*waiting, *named])


def _read(campaign: Campaign) -> tuple[Campaign, Rules]:
    """As it is now, by the way out of this run, which the command line may have said. ConfigError."""
    via = str(campaign.delivery.via)
    now = config.load(campaign.file, environ=os.environ, via=via, secrets=False)
    return now, rules_of(now)
