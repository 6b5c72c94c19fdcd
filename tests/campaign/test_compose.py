"""What the campaign file says of its message is what the message shows: every key, sealed and unsealed."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from campaign_file import load

from bulkmail.campaign import config
from bulkmail.campaign.compose import compose
from bulkmail.campaign.config import Campaign
from bulkmail.errors import ConfigError
from bulkmail.message.token import Tokens

DATE = datetime(2026, 11, 21, 23, 40, tzinfo=UTC)
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
WEEKLY = """\
campaign: weekly
kind: marketing
from: "Acme News <news@mail.acme.example>"
subject: "Your week"
preheader: "Three things worth your time"
list: { id: weekly.acme.example, postal_address: "Acme, 1 Main St, Springfield" }
recipients: people.csv
content:
  template: weekly.html
  images: embed
  attachments: [{ file: terms.pdf, name: "For {{ name }}.pdf" }]
unsubscribe: { url: https://u.acme.example/, mailto: unsub@acme.example, secret: { env: UNSUB } }
delivery:
  via: sandbox
  reverse_path: "bounces+{{ token }}@mail.acme.example"
  dkim: [{ domain: mail.acme.example, selector: s1, key: { env: DKIM } }]
"""
HTML = """\
<html><head><style>p { color: #111 }</style></head><body><p>Hello {{ name }}</p>
<img src="logo.png" alt="Acme">
<p>{{ list.postal_address }} <a href="{{ unsubscribe_url }}">Leave</a></p></body></html>
"""
SECRETS = {"UNSUB": "0123456789abcdef", "DKIM": base64.b64encode(bytes(range(32))).decode()}


@pytest.fixture
def weekly(tmp_path: Path) -> Campaign:
    (tmp_path / "weekly.html").write_text(HTML)
    (tmp_path / "terms.pdf").write_bytes(b"%PDF-1.4\n")
    (tmp_path / "logo.png").write_bytes(PIXEL)
    return load(tmp_path, WEEKLY, SECRETS)


def looked_at(folder: Path, environ: dict[str, str]) -> Campaign:
    """The campaign for those who need no secrets."""
    return config.load(folder / "campaign.yaml", environ=environ, secrets=False)


def test_every_key_is_in_the_message(weekly: Campaign) -> None:
    letter = compose(weekly, date=DATE).letter("ann@b.example", {"name": "Ann"}, id=7)
    message = message_from_bytes(letter.content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    token = Tokens(SECRETS["UNSUB"], "weekly").token(7)
    html = message.get_body(("html",))
    assert html is not None
    parts = [part.get_content_type() for part in message.walk()]
    shown = html.get_content()
    assert (
        str(letter.reverse_path),
        message["list-id"],
        f"<https://u.acme.example/{token}>" in message["list-unsubscribe"],
        "<mailto:unsub@acme.example" in message["list-unsubscribe"],
        message["list-unsubscribe-post"],
        [part.get_filename() for part in message.iter_attachments()],
        parts.count("image/png"),
        'src="cid:' in shown,
        "Three things worth your time" in shown,
        'style="color: #111' in shown,
        "1 Main St" in shown,
        [" ".join(one.split())[:15] for one in message.get_all("dkim-signature")],
    ) == (
        f"bounces+{token}@mail.acme.example",
        "<weekly.acme.example>",
        True,
        True,
        "List-Unsubscribe=One-Click",
        ["For Ann.pdf"],
        1,
        True,
        True,
        True,
        True,
        ["v=1; a=ed25519-"],
    )


def test_css_and_images_stay_where_they_are_if_the_file_says_so(tmp_path: Path, weekly: Campaign) -> None:
    (tmp_path / "weekly.html").write_text(HTML.replace("logo.png", "https://acme.example/logo.png"))
    campaign = load(tmp_path, WEEKLY.replace("images: embed", "inline_css: false"), SECRETS)
    letter = compose(campaign, date=DATE).letter("ann@b.example", {"name": "Ann"})
    message = message_from_bytes(letter.content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    html = message.get_body(("html",))
    assert html is not None
    shown = html.get_content()
    assert ('style="color' in shown, 'src="https://acme.example/logo.png"' in shown) == (False, True)


@pytest.mark.parametrize("environ", [{}, {"UNSUB": "short", "DKIM": "no key"}])
def test_who_looks_sees_the_same_message_unsigned(
    tmp_path: Path, weekly: Campaign, environ: dict[str, str]
) -> None:
    sealed = compose(weekly, date=DATE)
    unsealed = compose(looked_at(tmp_path, environ), date=DATE, sealed=False)
    letter = unsealed.letter("ann@b.example", {"name": "Ann"})
    assert (bool(unsealed.keys), bool(sealed.keys), b"DKIM-Signature" in letter.content) == (
        False,
        True,
        False,
    )
    assert (unsealed.digest, unsealed.fields, unsealed.unique) == (
        sealed.digest,
        sealed.fields,
        sealed.unique,
    )


def test_an_inert_token_is_the_campaigns_own_where_the_secret_is_known(weekly: Campaign) -> None:
    letter = compose(weekly, date=DATE, sealed=False).letter("ann@b.example", {"name": "Ann"})
    token = str(letter.reverse_path).removeprefix("bounces+").partition("@")[0]
    assert Tokens(SECRETS["UNSUB"], "weekly").verify(token) == 0


@pytest.mark.parametrize(
    ("environ", "where"),
    [
        ({"DKIM": SECRETS["DKIM"]}, "unsubscribe.secret"),
        ({"DKIM": SECRETS["DKIM"], "UNSUB": "short"}, "unsubscribe.secret"),
        ({"UNSUB": SECRETS["UNSUB"]}, "delivery.dkim[0].key"),
        ({"UNSUB": SECRETS["UNSUB"], "DKIM": "no key"}, "delivery.dkim[0].key"),
    ],
)
def test_who_sends_needs_every_secret(
    tmp_path: Path, weekly: Campaign, environ: dict[str, str], where: str
) -> None:
    """P4."""
    with pytest.raises(ConfigError) as refused:
        compose(looked_at(tmp_path, environ), date=DATE)
    assert [problem.where for problem in refused.value.problems] == [where]
    assert ("short" in str(refused.value), "no key" in str(refused.value)) == (False, False)


def test_an_attachment_that_went_away_is_named(weekly: Campaign) -> None:
    weekly.content.attachments[0].file.unlink()
    with pytest.raises(ConfigError) as refused:
        compose(weekly, date=DATE)
    assert [(one.line, one.where) for one in refused.value.problems] == [(11, "content.attachments[0]")]


def test_a_changed_attachment_is_changed_content(weekly: Campaign) -> None:
    before = compose(weekly, date=DATE).digest
    weekly.content.attachments[0].file.write_bytes(b"%PDF-1.5\n")
    assert compose(weekly, date=DATE).digest != before
