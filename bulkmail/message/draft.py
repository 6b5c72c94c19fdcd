"""A message as its author wrote it, before anything is compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bulkmail.message.content import Content, Source


@dataclass(frozen=True, slots=True)
class MailingList:
    """`id` as in List-Id, without brackets (RFC 2919); `postal_address` for the foot of the message."""

    id: str
    postal_address: str = ""


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Where a recipient can leave. The token is appended to `url`, or stands where `{{ token }}` does."""

    url: str = ""
    mailto: str = ""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with the message. `name` is a template; `type` is guessed from it where empty."""

    name: str
    content: bytes = field(repr=False)
    type: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """A message as its author wrote it. What a reader will see of it is Jinja, but for `from_`.

    `text` and `html` are template sources as given; `content` is the same with more to say (Markdown, file
    names, whether a text part is to be made) and wins where it is set.
    """

    from_: str
    to: str
    reply_to: str | None
    subject: str
    headers: Mapping[str, str]
    text: str | None
    html: str | None
    campaign: str
    data: Mapping[str, object] = field(default_factory=dict)
    on_missing: str = "fail"  # fail | skip | empty
    content: Content | None = None
    kind: str = "announcement"  # marketing | announcement | transactional
    preheader: str = ""
    list_: MailingList | None = None
    unsubscribe: Unsubscribe | None = None
    reverse_path: str = ""  # null where empty; `{{ token }}` in its local part is VERP
    attachments: tuple[Attachment, ...] = ()
    embed_images: bool = False
    inline_css: bool = True
    file: str = "campaign.yaml"  # the campaign file's name, for messages about it
    text_file: str = "text"
    html_file: str = "html"

    def sources(self) -> Content:
        if self.content is not None:
            return self.content
        return Content(
            text=None if self.text is None else Source(self.text, self.text_file),
            html=None if self.html is None else Source(self.html, self.html_file),
        )
