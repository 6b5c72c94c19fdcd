"""Back to the sender: who could not be delivered to, and why."""

from __future__ import annotations

import csv
import email
import email.policy
import io
import signal
import threading

import trio
from road_child import running
from road_rig import people

from bulkmail.campaign import report as reports


def message_to(ledger, address):
    (found,) = (message for message in ledger.messages if message.recipients == (address,))
    return found, email.message_from_bytes(found.content, policy=email.policy.default)


def reported(report):
    (found,) = (event for event in report.events if event["event"] == "reported")
    return found


def _then(accept, do):
    """The host accepts a message, and before its 250 is written something else happens."""

    def accepting(received):
        accept(received)
        do()

    return accepting


async def test_a_single_bounce_comes_back_as_a_delivery_status_notification(world, send):
    world.domain("a.test").refuse("bob", b"550 5.1.1 unknown")
    world.domain("ops.test")
    report = await send("ann@a.test", "bob@a.test", report_to="Ops <ops@ops.test>")
    received, message = message_to(report.ledger, "ops@ops.test")
    text, status, original = message.iter_parts()
    about = status.get_payload()[1]
    assert (received.reverse_path, message.get_content_type(), message.get_param("report-type")) == (
        "",
        "multipart/report",
        "delivery-status",
    )
    assert (about["Final-Recipient"], about["Action"], about["Status"], about["Remote-MTA"]) == (
        "rfc822; bob@a.test",
        "failed",
        "5.1.1",
        "dns; mx.a.test",
    )
    assert "550 5.1.1 unknown" in about["Diagnostic-Code"]
    assert "Subject: Hello" in original.as_string()
    assert "bob@a.test" in text.get_content()


async def test_many_bounces_come_back_as_a_summary_with_a_csv(world, send):
    world.domain("a.test").refuse("p00001").refuse("p00002").refuse("p00003")
    world.domain("ops.test")
    report = await send(*people(6), "dan@gone.test", report_to="ops@ops.test")
    _, message = message_to(report.ledger, "ops@ops.test")
    text, table = message.iter_parts()
    rows = list(csv.DictReader(io.StringIO(table.get_content())))
    assert (sorted(row["email"] for row in rows), {row["state"] for row in rows}) == (
        ["dan@gone.test", "p00001@a.test", "p00002@a.test", "p00003@a.test"],
        {"bounced"},
    )
    assert "4  bounced" in text.get_content()


async def test_nothing_is_reported_where_everybody_was_delivered_to(world, send):
    world.domain("a.test")
    world.domain("ops.test")
    report = await send("ann@a.test", report_to="ops@ops.test")
    assert report.ledger.copies["ops@ops.test"] == 0


async def test_a_report_is_sent_once_however_often_the_campaign_is_run(world, send):
    world.domain("a.test").refuse("bob")
    world.domain("ops.test")
    for _ in range(2):
        report = await send("bob@a.test", report_to="ops@ops.test")
    assert report.ledger.copies["ops@ops.test"] == 1


async def test_a_report_whose_reply_was_lost_is_not_sent_again(world, send):
    world.domain("a.test").refuse("bob")
    world.domain("ops.test").drop("END_OF_DATA", accepted=True)
    for _ in range(2):
        report = await send("bob@a.test", report_to="ops@ops.test")
    assert report.ledger.copies["ops@ops.test"] == 1


async def test_a_report_that_the_relay_refuses_is_told_and_is_not_the_failure_of_the_run(
    world, road, monkeypatch
):
    """The password was changed while the campaign ran: only the report has to wait for the right one."""
    monkeypatch.setenv("SSL_CERT_FILE", str(road.running.ca_pem_path))
    monkeypatch.setenv("RELAY_PASSWORD", "right")
    relay = world.host("relay.test").set(relay=True).users({"user": "right"})
    relay.reply("RCPT", b"550 5.1.1 unknown", times=1, after=1)
    settings = {
        "via": f"smtp://user@relay.test:{road.running.smtp_port}",
        "password": {"env": "RELAY_PASSWORD"},
        "messages_per_connection": 1,
        "report_to": "ops@ops.test",
    }

    def tell(event):
        if event["event"] == "started":
            world.ledger.accept = _then(world.ledger.accept, lambda: relay.users({"user": "another"}))

    first = await road.send("ann@a.test", "bob@a.test", tell=tell, **settings)
    relay.users({"user": "right"})
    second = await road.send("ann@a.test", "bob@a.test", **settings)
    told = [reported(report) for report in (first, second)]
    assert (first.kinds(), first.exit) == ({"ann@a.test": "delivered", "bob@a.test": "bounced"}, 0)
    assert [one["disposition"] for one in told] == ["deferred", "delivered"]
    assert ("535" in told[0]["reply"], second.ledger.copies["ops@ops.test"]) == (True, 1)


async def test_a_long_report_is_built_beside_the_loop_and_not_in_it(world, send, monkeypatch):
    built_by = []
    build = reports.report

    def noting(*args, **kwargs):
        built_by.append(threading.current_thread())
        return build(*args, **kwargs)

    monkeypatch.setattr(reports, "report", noting)
    world.domain("a.test").refuse("bob")
    world.domain("ops.test")
    await send("bob@a.test", report_to="ops@ops.test")
    assert [thread is threading.main_thread() for thread in built_by] == [False]


async def test_an_interrupt_lets_an_open_report_end(world, road, held):
    """P1."""
    world.domain("a.test").refuse("bob")
    world.domain("ops.test")
    async with running(road, "bob@a.test", report_to="ops@ops.test") as child:
        await held.arrived.wait()
        child.process.send_signal(signal.SIGTERM)
        await child.event("stopping")
        held.release.set()
        told = await child.event("reported")
        finished = await child.last()
    assert (told["disposition"], finished["exit"], child.process.returncode) == ("delivered", 0, 0)


async def test_a_second_interrupt_stops_a_report_at_once_and_it_is_not_sent_twice(world, road, held):
    """P2: only the report was open, so nobody of the list is in doubt."""
    world.domain("a.test").refuse("bob")
    world.domain("ops.test")
    async with running(road, "bob@a.test", report_to="ops@ops.test") as child:
        await held.arrived.wait()
        child.process.send_signal(signal.SIGINT)
        await child.event("stopping")
        child.process.send_signal(signal.SIGINT)
        finished = await child.last()
    held.release.set()
    again = await road.send("bob@a.test", report_to="ops@ops.test")
    assert (finished["event"], finished["exit"], child.process.returncode) == ("finished", 130, 130)
    assert (again.kinds(), again.ledger.copies["ops@ops.test"]) == ({"bob@a.test": "bounced"}, 1)


async def test_an_interrupt_leaves_a_report_that_was_not_begun_to_the_next_run(world, road):
    """P1: there is no open dot to wait for."""
    world.domain("a.test").refuse("bob")
    world.domain("ops.test").stall("RCPT", times=1)
    async with running(road, "bob@a.test", report_to="ops@ops.test") as child:
        while not any("ops@ops.test" in c for s in world.ledger.sessions for c in s.commands):
            await trio.lowlevel.checkpoint()
        child.process.send_signal(signal.SIGTERM)
        told = await child.event("reported")
        finished = await child.last()
    again = await road.send("bob@a.test", report_to="ops@ops.test")
    assert (told["disposition"], finished["exit"], child.process.returncode) == ("deferred", 0, 0)
    assert reported(again)["disposition"] == "delivered"
