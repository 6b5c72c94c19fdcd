"""The way off a list: header fields that mail readers make a button of, and a foot that people see.

List-Unsubscribe holds bare URIs, the recipient's own where there is a token in them (RFC 2369); with an
https one goes List-Unsubscribe-Post, so that one click is enough (RFC 8058). Neither is ever folded into
encoded words: URIs are ASCII, and a line is broken only between two of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from bulkmail.errors import Problem
from bulkmail.message.content import Content, Source
from bulkmail.message.dkim import relaxed_field
from bulkmail.message.draft import Draft, Unsubscribe
from bulkmail.message.template import Environments, TemplateProblem

TOKEN = re.compile(r"\{\{-?\s*token\s*-?\}\}")
ONE_CLICK = b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"


class Unsubscription:
    """The URIs of a campaign. `personal`: each recipient has his own."""

    def __init__(self, unsubscribe: Unsubscribe, campaign: str) -> None:
        self._mailto, self._subject = unsubscribe.mailto, f"unsubscribe%20{campaign}"
        before, after = unsubscribe.url, ""
        if place := TOKEN.search(before):
            before, after = before[: place.start()], before[place.end() :]
        elif before and not before.endswith(("/", "=", "?", "&")):
            before += "/"
        self._before, self._after = before, after
        self.personal = bool(before)

    def url(self, token: str) -> str:
        """For a link in the body: the https one if there is one. RFC 6068 for the other."""
        if self._before:
            return f"{self._before}{token}{self._after}"
        return f"mailto:{self._mailto}?subject={self._subject}"

    def urls(self, tokens: Sequence[str]) -> list[str]:
        """`url` of each."""
        around = self.url("\0").split("\0")
        return [token.join(around) for token in tokens]

    def field(self, token: str) -> bytes:
        """List-Unsubscribe."""
        uris = [f"<{self.url(token)}>"]
        if self.personal and self._mailto:
            uris.append(f"<mailto:{self._mailto}?subject={token}>")
        return ("List-Unsubscribe: " + ",\r\n ".join(uris) + "\r\n").encode("ascii")

    def fields(self, tokens: Sequence[str], *, relaxed: bool = False) -> list[bytes]:
        """`field` of each; `relaxed`: as it is signed."""
        field = self.field("\0")
        around = (relaxed_field(field) if relaxed else field).split(b"\0")
        return [token.encode("ascii").join(around) for token in tokens]


def with_foot(content: Content, draft: Draft, environments: Environments) -> Content:
    """The content with what mail to a list owes its readers: who sends it, and the way off.

    Text and Markdown that say nothing of it get a foot of two lines. HTML is the author's design: there a
    marketing message without it is refused. Raise TemplateProblem.
    """
    wanted = _wanted(draft)
    if not wanted:
        return content
    if content.text is not None:
        content = replace(content, text=_footed(content.text, "\n-- \n{}", wanted, environments))
    if content.markdown is not None:
        return replace(content, markdown=_footed(content.markdown, "\n---\n\n{}", wanted, environments))
    source = content.html or content.mjml
    if source is not None and draft.kind == "marketing":
        names = environments.compile(source.text, file=source.file, html=True).names
        problems = [Problem(source.file, 0, 0, "", text) for text in _lacking(names, source, draft)]
        if problems:
            raise TemplateProblem(problems)
    return content


def _wanted(draft: Draft) -> dict[str, str]:
    """The lines of a foot, by the name that an author would use instead."""
    wanted = {}
    if draft.list_ is not None and draft.list_.postal_address:
        wanted["list"] = "{{ list.postal_address }}"
    if draft.unsubscribe is not None and (draft.unsubscribe.url or draft.unsubscribe.mailto):
        wanted["unsubscribe_url"] = "Unsubscribe: {{ unsubscribe_url }}"
    return wanted


def _footed(source: Source, foot: str, wanted: dict[str, str], environments: Environments) -> Source:
    names = environments.compile(source.text, file=source.file).names
    lines = [line for name, line in wanted.items() if name not in names]
    if not lines:
        return source
    if "---" in foot:  # Markdown: a link, and a line break between the two
        lines = [line.replace("Unsubscribe: {{ unsubscribe_url }}", _LINK) for line in lines]
    text = source.text.rstrip("\n") + "\n" + foot.format("  \n".join(lines)) + "\n"
    return replace(source, text=text)


_LINK = "[Unsubscribe]({{ unsubscribe_url }})"


def _lacking(names: frozenset[str], source: Source, draft: Draft) -> list[str]:
    lacking = []
    if "unsubscribe_url" not in names:
        lacking.append(
            "a marketing message shows how to unsubscribe: "
            'add <a href="{{ unsubscribe_url }}">Unsubscribe</a>'
        )
    address = draft.list_.postal_address if draft.list_ is not None else ""
    if "list" not in names and not (address and address in source.text):
        lacking.append("a marketing message shows who sends it: add {{ list.postal_address }}")
    return lacking
