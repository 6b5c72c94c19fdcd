"""The sections of the campaign file that say what the message is and how people leave its list.

The models of `content`, `list`, `unsubscribe` and of one entry of `delivery.dkim`. What they demand of each
other and of the rest of the file is in config_checks.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Discriminator, Tag

from bulkmail.campaign import config_fields as fields
from bulkmail.campaign import config_mail as mail
from bulkmail.campaign import config_values as values
from bulkmail.campaign.config_fields import Flag, PathField, SecretField, choice, typed
from bulkmail.campaign.config_section import Section, default, needed

if TYPE_CHECKING:
    from bulkmail.message.signing_key import SigningKey


class AttachmentFile(Section):
    file: PathField = needed("the file that is attached")
    name: Annotated[str, *typed(mail.attachment_name, examples=["terms.pdf", "{{ email }}.pdf"])] = default(
        "", "the name that people see, a template; default: the file's own", validate=False
    )


def _attachment(text: str) -> AttachmentFile:
    return AttachmentFile.model_construct(file=values.absolute(text), name="")


def _attachment_form(value: object) -> str:
    return "<mapping>" if isinstance(value, dict) else "<path>"


Attached = Annotated[
    Annotated[AttachmentFile, *typed(_attachment), Tag("<path>")]
    | Annotated[AttachmentFile, Tag("<mapping>")],
    Discriminator(_attachment_form),
]


class Content(Section):
    template: Annotated[
        Path, *typed(fields.template, examples=["weekly.mjml", "hello.md", "spring.html", "note.txt"])
    ] = needed("the message: .mjml, .html, .md or .txt, jinja2 inside")
    text: Annotated[Path | Literal["auto", "none"], *typed(fields.text_part)] = default(
        "auto", "the plain text beside HTML: auto, none, or a file"
    )
    inline_css: Flag = default(True, "put the rules of <style> into the elements that they are for")
    images: Annotated[Literal["link", "embed"], *choice("link", "embed")] = default(
        "link",
        "link: the HTML has https addresses; embed: the files that it names go with the message (cid:)",
    )
    attachments: tuple[Attached, ...] = default(
        (), "files that go with the message, each a path or {file: PATH, name: NAME}"
    )
    data: PathField | None = default(None, "a YAML file of values that are the same for everybody")
    on_missing: Annotated[Literal["fail", "skip", "empty"], *choice("fail", "skip", "empty")] = default(
        "fail", "what to do about a recipient without a field that the template uses"
    )


class ListSection(Section):
    id: Annotated[str, *typed(mail.list_id, examples=["weekly.acme.example"])] = default(
        "", "the list's lasting name, within a domain of yours: List-Id (RFC 2919)", validate=False
    )
    postal_address: Annotated[str, *typed(str, examples=["Acme, 1 Main St, Springfield"])] = default(
        "", "where the sender can be found; {{ list.postal_address }} in the template"
    )


class UnsubscribeSection(Section):
    url: Annotated[
        str,
        *typed(
            mail.unsubscribe_url,
            examples=["https://u.acme.example/", "https://u.acme.example/leave?who={{ token }}"],
        ),
    ] = default(
        "",
        "https; the token is appended, or stands where {{ token }} does: one click (RFC 8058)",
        validate=False,
    )
    mailto: Annotated[str, *typed(mail.mailto, examples=["unsub@mail.acme.example"])] = default(
        "", "an address that people may write to instead", validate=False
    )
    secret: SecretField | None = default(
        None, "what tokens are signed with, 16 characters or more: {env: NAME} or {file: PATH}"
    )


class Dkim(Section):
    domain: Annotated[str, *typed(mail.domain, examples=["mail.acme.example"])] = needed(
        "who signs: the domain in from, or one above or beneath it"
    )
    selector: Annotated[str, *typed(mail.selector, examples=["s1"])] = needed(
        "which key of the domain: its record is at SELECTOR._domainkey.DOMAIN"
    )
    key: SecretField = needed("the private key, RSA or Ed25519, PEM: {file: PATH} or {env: NAME}")

    def signing_key(self) -> SigningKey:
        """The key itself. Raises ValueError for what is none, ConfigError where the secret is not there."""
        from bulkmail.message.signing_key import SigningKey  # only who signs pays for the import

        return SigningKey.load(self.key.reveal(), domain=self.domain, selector=self.selector)

    def unusable(self) -> str:
        """Why the key cannot sign, or ""."""
        if self.key.missing:
            return self.key.missing
        try:
            self.signing_key()
        except ValueError as error:
            return str(error)
        return ""
