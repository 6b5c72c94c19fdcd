"""From the documents of a message to its shape: converted, with images and CSS in it, nested, encoded.

The images that a template names are loaded when it is, wherever in it they stand: so they are part of what
the content is, and a file that is gone later is noticed before anything is sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from markupsafe import escape

from bulkmail.errors import Problem
from bulkmail.message import document, mime
from bulkmail.message.content import Content, Source
from bulkmail.message.draft import Draft
from bulkmail.message.images import image_sources, load_image, with_cids
from bulkmail.message.marks import Words
from bulkmail.message.mime import FilePart, TextPart
from bulkmail.message.shape import NONE, Shape
from bulkmail.message.template import TemplateProblem

CONVERTERS: dict[str, Callable[[str], str]] = {
    "markdown": document.markdown_html,
    "mjml": document.mjml_html,
    "html": str,
}
# What may be the name of an image in a template; what has Jinja in it is not known before there is a row.
_NAMED = re.compile(
    r"""(?:src|background|background-url)\s*=\s*["']([^"'{}]+)["']|url\(\s*["']?([^"'(){}]+)|!\[[^]]*\]\(<?([^)\s{}>]+)"""
)


class Conversion:
    """`kind`: of the source that becomes the HTML, "" where there is none."""

    def __init__(
        self,
        draft: Draft,
        content: Content,
        words: Words,
        files: Sequence[FilePart],
        *,
        seed: str,
        domain: str,
        signed: bool,
    ) -> None:
        """`files` are attached. Raise TemplateProblem for an image that is there and cannot be used."""
        self._draft, self._content, self._words, self._files = draft, content, words, files
        self._boundary = b"=_" + seed.encode("ascii") + b"_"
        self._domain, self._signed = domain, signed
        self.kind = next((kind for kind in CONVERTERS if getattr(content, kind) is not None), "")
        self._loaded: dict[str, FilePart] = {}
        for source in self._named():
            if (content.folder / source.removeprefix("cid:")).is_file():
                self._image(source)

    @property
    def images(self) -> list[str]:
        """The Content-IDs of all that may be embedded: they say what is in the files."""
        return [image.cid for image in self._loaded.values()]

    @property
    def file(self) -> str:
        """The author's template."""
        source: Source | None = getattr(self._content, self.kind or "text")
        return source.file if source is not None else self._draft.file

    def _named(self) -> list[str]:
        source: Source | None = getattr(self._content, self.kind) if self.kind else None
        found = ["".join(groups).strip() for groups in _NAMED.findall(source.text)] if source else []
        cid = [name for name in found if name.startswith("cid:")]
        return [name for name in found if ":" not in name] + cid if self._draft.embed_images else cid

    def problem(self, found: document.MarkupProblem, text: str) -> Problem:
        """At its line where that is the author's own: `text` is the document that could not be converted."""
        source: Source | None = getattr(self._content, self.kind or "text")
        if source is not None and source.text.count("\n") == text.count("\n"):
            return Problem(self.file, found.line, 0, "", found.text)
        where = f"line {found.line} of what the template gives: " if found.line else ""
        return Problem(self.file, 0, 0, "", where + found.text)

    def shape(
        self, texts: Mapping[str, str], slots: Sequence[int | str], unique: Mapping[int, int] = NONE
    ) -> Shape:
        """The shape of documents by their kind; the word of value n is slot `slots[n]`, or a text.

        Raise MarkupProblem, TemplateProblem for an image that is not there.
        """
        text = texts.get("text")
        html: str | None = None
        images: list[FilePart] = []
        if self.kind:
            html = CONVERTERS[self.kind](texts[self.kind])
            if text is None and self._content.text_from_html:
                text = texts["markdown"] if self.kind == "markdown" else document.plain_text(html)
            if self._draft.inline_css:
                html = document.inlined(html)
            if "preheader" in texts:
                html = document.with_preheader(html, str(escape(texts["preheader"].strip())))
            html, images = self._embed(html)
        part = partial(self._text_part, slots=slots)
        root = mime.tree(
            None if text is None else part("plain", text),
            None if html is None else part("html", html),
            images,
            self._files,
        )
        return Shape(root, self._boundary, unique, hashed=self._signed)

    def _text_part(self, subtype: str, text: str, *, slots: Sequence[int | str]) -> TextPart:
        segments: list[str | int] = [""]
        for number, each in enumerate(self._words.split(text)):
            slot = slots[int(each)] if number % 2 else each
            if isinstance(slot, int):
                segments += [slot, ""]
                continue
            if not number % 2:
                self._refuse_words(slot)
            literal = str(escape(slot)) if number % 2 and subtype == "html" else slot
            segments[-1] = f"{segments[-1]}{literal}"
        return TextPart(subtype, tuple(segments))

    def _refuse_words(self, text: str) -> None:
        try:
            self._words.refuse(text)
        except ValueError as error:
            raise document.MarkupProblem(str(error)) from error

    def _embed(self, html: str) -> tuple[str, list[FilePart]]:
        cids: dict[str, str] = {}
        images: dict[str, FilePart] = {}
        for source in image_sources(html):
            if self._words.stem in source:
                continue
            if not self._draft.embed_images and not source.startswith("cid:"):
                text = f"{source} is a file, which readers do not have: "
                raise self._fatal(f"{text}write its https:// address, or content.images: embed")
            image = self._image(source)
            cids[source] = image.cid
            images[image.cid] = image
        return (with_cids(html, cids) if cids else html), list(images.values())

    def _image(self, source: str) -> FilePart:
        known = self._loaded.get(source)
        if known is None:
            try:
                image = load_image(self._content.folder, source.removeprefix("cid:"))
            except ValueError as error:
                raise self._fatal(str(error)) from error
            known = mime.embedded(image.name, image.type, image.content, self._domain)
            self._loaded[source] = known
        return known

    def _fatal(self, text: str) -> TemplateProblem:
        """Whatever the row: it is not the recipient's fault."""
        return TemplateProblem(Problem(self.file, 0, 0, "", text))
