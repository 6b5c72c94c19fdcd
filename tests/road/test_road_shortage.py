"""T6: what this machine lacks is nobody's fault outside."""

from __future__ import annotations

import errno
import os

import pytest
from road_rig import people

from bulkmail.delivery import session
from bulkmail.delivery.slots import Slots
from bulkmail.transport import dial
from bulkmail.transport.race import connect_tcp


@pytest.mark.parametrize("code", ["EMFILE", "ENFILE", "EADDRNOTAVAIL", "ENOBUFS", "ENOMEM"])
async def test_what_this_machine_lacks_sheds_sessions_and_charges_nobody(world, send, monkeypatch, code):
    """T6."""
    number = getattr(errno, code)
    left = [5]
    totals = []

    async def connect(address, port, until):
        if left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number))
        return await connect_tcp(address, port, until)

    class Watched(Slots):
        def shed(self, now: float) -> None:
            before = self.total
            super().shed(now)
            totals.append((before, self.total))

    monkeypatch.setattr(dial, "connect_tcp", connect)
    monkeypatch.setattr(session, "SHORTAGE_PAUSE_S", 0.01)
    monkeypatch.setattr("bulkmail.campaign.planting.Slots", Watched)
    world.domain("a.test")
    report = await send(*people(30), connections=3, transaction="individual")
    assert {tuple(report.dispositions(one)) for one in report.states} == {("delivered",)}
    assert (len(totals), totals[0][1] < totals[0][0]) == (5, True)
    assert [event for event in report.events if event["event"] == "site"] == []  # nobody is blamed
