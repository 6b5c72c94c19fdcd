"""Back to the sender: one message at the end that says who could not be delivered to, and why.

Where one recipient is concerned it is a delivery status notification (RFC 3464), as a mail server would send
it; where many are, a summary by reason with everybody in a CSV.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.generator import BytesGenerator
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from itertools import islice

from bulkmail.campaign.classes import classes
from bulkmail.campaign.config import Campaign
from bulkmail.campaign.own_replies import table_of
from bulkmail.delivery.replies import Reading, Table
from bulkmail.delivery.retold import in_words, retold
from bulkmail.journal import History, Store, Undelivered
from bulkmail.message import Composer

CSV_ROWS = 50_000  # about 10 MB: more would be refused by the sender's own mailbox; `export` has them all
REASONS = 30


def report(
    campaign: Campaign, store: Store, composer: Composer, *, own_name: str, now: datetime
) -> bytes | None:
    """The message for `report_to`, or None where everybody was delivered to."""
    totals = store.totals()
    lost = totals["bounced"] + totals["expired"]
    if campaign.report_to is None or not lost:
        return None
    table = table_of(campaign)
    message = EmailMessage(policy=SMTP)
    message["From"] = f"Mail Delivery System <{campaign.author.mailbox}>"
    message["To"] = campaign.report_to
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{campaign.campaign}.report@{campaign.author.mailbox.domain.decode()}>"
    message["Auto-Submitted"] = "auto-replied"
    if lost == 1:
        _notify(message, campaign, next(store.bounced()), _headers_sent(store, composer), own_name, table)
    else:
        _summarise(message, campaign, totals, store, table)
    out = io.BytesIO()
    BytesGenerator(out, policy=SMTP.clone(cte_type="7bit")).flatten(message)
    return out.getvalue()


def _notify(
    message: EmailMessage,
    campaign: Campaign,
    lost: Undelivered,
    headers: str,
    own_name: str,
    table: Table | None,
) -> None:
    """Words for people, fields for programs, the headers of what was sent (RFC 3464, RFC 6522)."""
    message["Subject"] = f"Undelivered: {campaign.campaign} to {lost.address}"
    message.set_content(
        f"The message of the campaign {campaign.campaign} could not be delivered to\n\n    {lost.address}\n\n"
        f"It has {lost.state}. {_said(lost)}\n\n{in_words(lost.state, _reading(lost, table))}\n"
    )
    at = format_datetime(datetime.fromtimestamp(lost.at, UTC))
    about_message = [("Reporting-MTA", f"dns; {own_name.strip('[]')}")]
    about_recipient = [
        ("Final-Recipient", f"{'rfc822' if lost.address.isascii() else 'utf-8'}; {lost.address}"),
        ("Action", "failed"),
        ("Status", lost.enhanced or ("5.0.0" if lost.state == "bounced" else "4.4.7")),
        ("Last-Attempt-Date", at),
    ]
    if lost.host:
        about_recipient.append(("Remote-MTA", f"dns; {lost.host}"))
    if lost.code is not None:
        about_recipient.append(("Diagnostic-Code", f"smtp; {lost.reply}"))
    message.make_mixed()
    message.replace_header("Content-Type", 'multipart/report; report-type="delivery-status"')
    status = EmailMessage(policy=SMTP)
    status["Content-Type"] = "message/delivery-status"
    status.set_payload([_block(about_message), _block(about_recipient)])
    message.attach(status)
    original = EmailMessage(policy=SMTP)
    original["Content-Type"] = "text/rfc822-headers"
    original.set_payload(headers)
    message.attach(original)


def _block(fields: Iterable[tuple[str, str]]) -> EmailMessage:
    """One group of fields; each is one line, whatever was said."""
    block = EmailMessage(policy=SMTP)
    for name, value in fields:
        block[name] = " ".join(value.split())[:900]
    return block


def _headers_sent(store: Store, composer: Composer) -> str:
    """The header section of the one message that was not delivered, in ASCII."""
    for lost in store.bounced():
        for one in store.history(lost.address):
            if isinstance(one, History) and one.state == lost.state:
                recipient = store.fetch([(one.id, one.id)])[0]
                sent = composer.letter(recipient.address, recipient.fields, id=recipient.id).content
                return sent.partition(b"\r\n\r\n")[0].decode("ascii", "replace").replace("\r\n", "\n") + "\n"
    return ""


def _summarise(
    message: EmailMessage,
    campaign: Campaign,
    totals: Mapping[str, int],
    store: Store,
    table: Table | None,
) -> None:
    lost = totals["bounced"] + totals["expired"]
    message["Subject"] = f"{lost:,} undelivered: {campaign.campaign}"
    lines = [
        f"The campaign {campaign.campaign} has ended.",
        "",
        *(f"{count:>12,}  {state.replace('_', ' ')}" for state, count in totals.items() if count),
        "",
        "What the hosts meant:",
        "",
        *(
            f"{count:>12,}  {state}: {meaning}"
            for state, found in classes(store, table).items()
            for meaning, count in found.items()
        ),
        "",
        "Why the others were not delivered to, the most frequent reasons first:",
        "",
        *(
            f"{one.recipients:>12,}  {one.state}: {one.reply[:300]} (for one: {one.sample})"
            for one in store.failures(REASONS)
        ),
    ]
    if lost > CSV_ROWS:
        lines += ["", f"The CSV has the first {CSV_ROWS:,} of them; `bulkmail export` prints all."]
    message.set_content("\n".join(lines) + "\n")
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["email", "state", "class", "code", "enhanced", "reply", "mx", "at"])
    for one in islice(store.bounced(), CSV_ROWS):
        at = datetime.fromtimestamp(one.at, UTC).isoformat(timespec="seconds")
        meaning = _reading(one, table).meaning.value
        writer.writerow([one.address, one.state, meaning, one.code, one.enhanced, one.reply, one.host, at])
    message.add_attachment(
        out.getvalue().encode(),
        maintype="text",
        subtype="csv",
        filename=f"{campaign.campaign}.csv",
        params={"charset": "utf-8"},
    )


def _reading(lost: Undelivered, table: Table | None) -> Reading:
    return retold(lost.stage, lost.code, lost.enhanced, lost.reply, lost.host, table)


def _said(lost: Undelivered) -> str:
    return f"{lost.host or 'It was'} said: {lost.reply}" if lost.host else lost.reply
