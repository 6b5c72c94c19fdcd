"""G6: what a host says is kept as it was said, and shown so that no terminal obeys it."""

from __future__ import annotations

import pytest
import trio

from bulkmail.cli import exit_code

NASTY = b"550 5.1.1 \x1b[2J\x1b]0;owned\x07\x08\x9b31m \xff\xe2\x80\xae no"


@pytest.mark.parametrize(
    "verb",
    [
        ["explain", "ann@a.test"],
        ["explain", "ann@a.test", "--json"],
        ["status"],
        ["export", "--state", "bounced"],
    ],
    ids=lambda verb: " ".join(verb),
)
async def test_whoever_asks_what_became_of_somebody_gets_no_control_characters(
    world, road, send, verb, capfdbinary
):
    """G6."""
    world.domain("a.test").refuse("ann", NASTY)
    report = await send("ann@a.test")
    capfdbinary.readouterr()
    await trio.to_thread.run_sync(exit_code, [verb[0], str(road.folder / "campaign.yaml"), *verb[1:]])
    out, err = capfdbinary.readouterr()
    shown = (out + err).decode()
    assert report.kinds() == {"ann@a.test": "bounced"}
    assert [line for line in shown.splitlines() if not line.isprintable()] == []
    assert "550" in shown
    assert "\u202e" not in shown  # which would turn the line round
