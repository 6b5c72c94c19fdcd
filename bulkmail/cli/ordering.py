"""What `pause`, `resume` and `cancel` have in common: to say the word, and to tell what was done about it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from bulkmail.cli.common import print_json, printable
from bulkmail.errors import BulkmailError

if TYPE_CHECKING:
    from bulkmail.campaign.config import Campaign
    from bulkmail.campaign.control import Answer
    from bulkmail.campaign.operator import Word


def json_option(function: Any) -> Any:
    """`--json`, of the three verbs."""
    return click.option("--json", "as_json", is_flag=True, help="The answers as JSON, a line each.")(function)


def named(file: Path, via: str | None) -> str:
    """The campaign as it is to be typed next."""
    return f"{file} --via {via}" if via else str(file)


def carry_out(campaign: Campaign, word: Word, file: str, *, as_json: bool) -> None:
    """Say it, and tell what comes of it. Raises what `operator.order` raises."""
    from bulkmail.campaign.operator import order

    for answer in order(campaign, word):
        if as_json:
            print_json(answer)
        if "error" in answer:
            raise BulkmailError(str(answer["error"]))
        if as_json:
            continue
        for line in told(answer, file):
            click.echo(printable(line))


def told(answer: Answer, file: str) -> list[str]:
    """For people. `file` is the campaign as it is named on the command line."""
    if "waits_for" in answer:
        what = "cancelled" if answer["cancelled"] else "paused"
        return [
            f"It is held by {answer['waits_for']}, which plans or asks its user: nobody is sent to.",
            f"It is {what} before its first message.",
        ]
    totals = cast("Mapping[str, int]", answer["totals"])
    left = totals.get("pending", 0) + totals.get("deferred", 0)
    return _TOLD[str(answer["did"])](answer, totals, left, file)


def _pause(answer: Answer, totals: Mapping[str, int], left: int, file: str) -> list[str]:
    if answer["cancelled"]:
        return ["The campaign is cancelled: there is nothing to pause."]
    if not left:
        return ["Everybody is settled: there is nothing to pause."]
    told = "is paused already" if answer["already"] else "is paused"
    stands = cast("Mapping[str, object] | None", answer["paused"])
    why = f" ({stands['reason']})" if stands is not None and stands["reason"] else ""
    if not answer["running"]:
        return [
            f"The campaign {told}{why}, {left:,} are left: no run begins until bulkmail resume {file}",
        ]
    quiet = "no new message begins, open ones are finished"
    if not answer.get("quiet", True):
        quiet = "not every worker has answered yet, so a few messages may still begin"
    return [
        f"The campaign {told}{why}: {quiet}; {left:,} are left.",
        f"  go on      bulkmail resume {file}",
        f"  give up    bulkmail cancel {file}",
    ]


def _resume(answer: Answer, totals: Mapping[str, int], left: int, file: str) -> list[str]:
    if answer.get("cancelled"):
        return ["The campaign is cancelled: nobody is sent to any more."]
    if answer["running"]:
        return ["The run is not paused." if answer["already"] else "The run goes on."]
    if left and answer.get("ending"):
        return [
            f"The campaign is not paused any more. The run that was ends; {left:,} are left.",
            f"  then       bulkmail run {file}",
        ]
    if totals and not left:
        return ["Everybody is settled: there is nothing to go on with."]
    was = "was not paused" if answer["already"] else "is not paused any more"
    return [f"The campaign {was}; {left:,} are left: bulkmail run {file}"]


def _cancel(answer: Answer, totals: Mapping[str, int], left: int, file: str) -> list[str]:
    if not answer["done"]:
        return ["The campaign is cancelled: no new message begins; open ones are finished, up to a minute."]
    if not answer["cancelled"]:
        return ["Everybody is settled: there is nothing to cancel."]
    counts = f"{totals['delivered']:,} delivered, {totals['cancelled']:,} cancelled"
    doubtful = f", {totals['in_doubt']:,} in doubt" if totals["in_doubt"] else ""
    was = "was cancelled before" if answer["already"] and not answer["running"] else "is cancelled"
    told = [f"The campaign {was}: {counts}{doubtful}."]
    if doubtful:
        told.append(f"  in doubt   bulkmail export {file} --state in_doubt")
    return told


_TOLD = {"pause": _pause, "resume": _resume, "cancel": _cancel}
