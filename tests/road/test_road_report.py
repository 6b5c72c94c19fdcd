"""Back to the sender: who could not be delivered to, and why."""

from __future__ import annotations

import csv
import email
import email.policy
import io

from road_rig import people


def message_to(ledger, address):
    (found,) = (message for message in ledger.messages if message.recipients == (address,))
    return found, email.message_from_bytes(found.content, policy=email.policy.default)


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
