"""The examples in campaigns/: they load without complaint, render for everybody, and keep their word."""

from __future__ import annotations

import csv
import re
import shutil
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bulkmail.campaign.compose import compose
from bulkmail.campaign.config import Campaign, load
from bulkmail.campaign.plan_summary import PlanSummary, plan_summary
from bulkmail.campaign.prepare import list_spec
from bulkmail.campaign.rehearsal import rehearse
from bulkmail.cli import exit_code
from bulkmail.journal import Suppressions
from bulkmail.message import Composer
from bulkmail.message.token import INERT, Tokens
from bulkmail.smtp.address import AddressError, Mailbox

CAMPAIGNS = sorted((Path(__file__).resolve().parent.parent / "campaigns").glob("*/campaign.yaml"))
DATE = datetime(2026, 11, 21, tzinfo=UTC)
LEFT_BEHIND = shutil.ignore_patterns(".bulkmail")  # of whoever tried an example in this folder
each_example = pytest.mark.parametrize("file", CAMPAIGNS, ids=lambda file: file.parent.name)


def named(name: str) -> Path:
    return next(file for file in CAMPAIGNS if file.parent.name == name)


def loaded(file: Path) -> Campaign:
    campaign = load(file, environ={"RELAY_PASSWORD": "x"})
    assert campaign.warnings == ()
    return campaign


def composer(file: Path) -> Composer:
    return compose(loaded(file), date=DATE)


def rows(file: Path) -> list[dict[str, str]]:
    recipients = loaded(file).recipients
    assert isinstance(recipients.source, str)
    ours = {column: field for field, column in recipients.columns.items()}
    with Path(file.parent, recipients.source).open(encoding="utf-8", newline="") as lines:
        return [{ours.get(name, name): cell for name, cell in row.items()} for row in csv.DictReader(lines)]


def parsed(data: bytes) -> EmailMessage:
    return message_from_bytes(data, policy=policy.default)


def planned(file: Path, state: Path) -> PlanSummary:
    campaign = loaded(file)
    with Suppressions.look(state / "project.db") as suppressions:
        return plan_summary(
            list_spec(campaign),
            compose(campaign, date=DATE),
            suppressions,
            recipients_per_transaction=campaign.shaping.default.recipients_per_transaction,
        )


@each_example
def test_an_example_has_a_whole_message_for_everybody_in_its_list(file: Path) -> None:
    c = composer(file)
    unaddressed = []
    for row in rows(file):
        assert c.check(row) is None
        try:
            data = c.render(row["email"], row)
        except AddressError:
            unaddressed.append(row["email"])
            continue
        message = parsed(data)
        assert b"{{" not in data
        if "first_name" in c.fields:
            assert [a.addr_spec for a in message["to"].addresses] == [
                Mailbox.parse(row["email"]).wire.decode()
            ]
    assert unaddressed == (["not-an-address"] if file.parent.name == "welcome" else [])


@each_example
def test_an_example_with_html_is_made_for_phones_and_for_the_dark(file: Path) -> None:
    row = rows(file)[0]
    html = parsed(composer(file).render(row["email"], row)).get_body(("html",))
    assert (html is None) == (file.parent.name == "relay")
    if html is not None:
        assert '<meta name="viewport" content="width=device-width' in html.get_content()
        assert '<meta name="color-scheme" content="light dark"' in html.get_content()
        assert "@media (prefers-color-scheme: dark)" in html.get_content()


@each_example
def test_a_dry_run_of_an_example_finds_no_problem(file: Path) -> None:
    campaign = loaded(file)
    found = rehearse(campaign, partial(compose, campaign, date=DATE))
    assert [str(problem) for problem in found.problems] == []
    assert found.messages > 0


@pytest.mark.parametrize("name", ["announcement", "hello", "newsletter"])
def test_an_example_is_delivered_to_everybody_in_the_sandbox(name: str, tmp_path: Path) -> None:
    folder = shutil.copytree(named(name).parent, tmp_path / name, ignore=LEFT_BEHIND)
    assert exit_code(["run", str(folder / "campaign.yaml")]) == 0
    arrived = list((folder / ".bulkmail").glob("*.sandbox.mail/maildir/new/*"))
    assert len(arrived) == planned(named(name), tmp_path).transactions


def test_a_seed_of_the_welcome_campaign_needs_no_name() -> None:
    c = composer(named("welcome"))
    assert c.check({"email": "qa@acme.example"}) is None
    assert b"Subject: Hello, welcome to Acme Gardens\r\n" in c.render("qa@acme.example", {})


def test_readers_of_one_branch_and_domain_share_the_announcement(tmp_path: Path) -> None:
    summary = planned(named("announcement"), tmp_path)
    assert composer(named("announcement")).fields == {"branch"}
    assert summary.transactions * 5 < summary.recipients


def test_the_newsletter_is_what_large_providers_want_of_one(tmp_path: Path) -> None:
    c = composer(named("newsletter"))
    row = next(row for row in rows(named("newsletter")) if row["plan"] == "member" and row["city"])
    letter = c.letter(row["email"], row, id=7)
    message = parsed(letter.content)
    token = str(letter.reverse_path).removeprefix("bounces+").partition("@")[0]
    html, text = (message.get_body((kind,)) for kind in ("html", "plain"))
    assert html is not None
    assert text is not None
    assert f"<https://u.acme.example/{token}>" in message["List-Unsubscribe"]
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["List-Id"] == "<weekly.acme.example>"
    for body in (html.get_content(), text.get_content()):
        assert f"https://u.acme.example/{token}" in body
        assert f"runs until {row['renews']}" in body
        assert "1 Main St" in body
    assert planned(named("newsletter"), tmp_path).sharing == 0


def test_the_newsletter_brings_its_images_and_its_file_along() -> None:
    row = {**rows(named("newsletter"))[0], "zone": "9"}
    message = parsed(composer(named("newsletter")).render(row["email"], row))
    html = message.get_body(("html",))
    assert html is not None
    there = {str(part["Content-ID"]).strip("<>") for part in message.walk() if part["Content-ID"]}
    assert set(re.findall(r"cid:([^\"]+)", html.get_content())) == there
    assert len(there) == 2
    assert [part.get_filename() for part in message.iter_attachments()] == ["Sowing calendar, zone 9.pdf"]


def test_the_newsletter_keeps_rows_in_their_table_whatever_its_loops_do() -> None:
    row = rows(named("newsletter"))[0]
    html = parsed(composer(named("newsletter")).render(row["email"], row)).get_body(("html",))
    assert html is not None
    cells = re.findall(r"<table[^>]*>\s*(?:<tbody>)?\s*<tr><th.*?</table>", html.get_content(), re.DOTALL)
    assert [cell.count("</tr>") for cell in cells] == [4]


def test_a_reader_of_the_newsletter_can_leave_as_the_documents_say(tmp_path: Path) -> None:
    document = Path(__file__).resolve().parent.parent / "docs" / "message.md"
    (code,) = re.findall(r"^```python\n(.*?)^```", document.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    documented: dict[str, Any] = {}
    exec(compile(code, str(document), "exec"), documented)
    folder = shutil.copytree(named("newsletter").parent, tmp_path / "n", ignore=LEFT_BEHIND)
    assert exit_code(["run", str(folder / "campaign.yaml")]) == 0
    state = folder / ".bulkmail"
    (state / "weekly-2026-w48.sandbox.journal").rename(state / "weekly-2026-w48.journal")
    listed = {row["email"] for row in rows(named("newsletter"))}
    mails = (parsed(file.read_bytes()) for file in state.glob("*.sandbox.mail/maildir/new/*"))
    mail = next(one for one in mails if one["To"].addresses[0].addr_spec in listed)  # the others are seeds
    token = mail["List-Unsubscribe"].partition(">")[0].rpartition("/")[2]
    secret = loaded(folder / "campaign.yaml").unsubscribe.secret
    assert secret is not None
    leave = partial(
        documented["unsubscribe"], secret=secret.reveal(), campaign="weekly-2026-w48", state=state
    )
    inert = Tokens(secret.reveal(), "weekly-2026-w48").token(INERT)
    assert [leave(one) for one in (token[:-1], inert, token)] == [False, False, True]
    (to,) = mail["To"].addresses
    with Suppressions.look(state / "project.db") as suppressions:
        assert suppressions.contains_many(sorted(listed)) == {to.addr_spec}


def test_the_secret_of_an_example_says_that_it_is_none() -> None:
    for file in CAMPAIGNS:
        campaign = loaded(file)
        secrets = [campaign.unsubscribe.secret, *(key.key for key in campaign.delivery.dkim)]
        for secret in filter(None, secrets):
            assert campaign.delivery.via.kind == "sandbox"
            assert "no secret" in secret.reveal()


def test_there_are_the_examples_that_the_readme_names() -> None:
    readme = Path(__file__).resolve().parent.parent.joinpath("README.md").read_text("utf-8")
    assert [file.parent.name for file in CAMPAIGNS] == [
        "announcement",
        "hello",
        "newsletter",
        "relay",
        "welcome",
    ]
    assert all(f"](campaigns/{file.parent.name}/campaign.yaml)" in readme for file in CAMPAIGNS)
