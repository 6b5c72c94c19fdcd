"""The body of a message: from its author's templates to a shape with the values of one row in it.

A message is a document or two (marks.py), converted and encoded into a shape (shape.py). Where no control
flow depends on the row there is one shape, made at once; else a row's documents are looked up among the
shapes made so far. What varies without end (HTML that a row brings along) is converted for each message:
slow, and right.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import cast

from markupsafe import escape

from bulkmail.errors import Problem
from bulkmail.message import document, mime
from bulkmail.message.attachments import Attachments
from bulkmail.message.content import Content, Source
from bulkmail.message.draft import Draft
from bulkmail.message.images import image_sources, load_image, with_cids
from bulkmail.message.marks import MarkedTemplate, Words
from bulkmail.message.mime import FilePart, TextPart
from bulkmail.message.shape import Body, Shape
from bulkmail.message.symbol import Symbol, text_of
from bulkmail.message.template import Environments, Reason, Template, TemplateProblem, Unrenderable

UNIQUE = frozenset({"email", "token", "unsubscribe_url"})  # nobody else has the same
SHAPES = 64  # kept at once, each as large as a message
_CONVERTERS: dict[str, Callable[[str], str]] = {
    "markdown": document.markdown_html,
    "mjml": document.mjml_html,
    "html": str,
}
Texts = tuple[str, ...]


class Parts:
    """`templates`: all that are compiled; `bodies`: those of the text and HTML a reader sees."""

    def __init__(
        self,
        draft: Draft,
        content: Content,
        environments: Environments,
        static: Mapping[str, object],
        *,
        seed: str,
        domain: str,
    ) -> None:
        """`seed`: 24 hexadecimal digits of the content. `domain`: of Content-IDs. Raise TemplateProblem."""
        self._draft, self._content = draft, content
        self._environments = environments
        self._words = Words(seed)
        self._boundary = b"=_" + seed.encode("ascii") + b"_"
        self._domain = domain
        self._problems: list[Problem] = []
        self._images: dict[str, FilePart] = {}
        self._shapes: OrderedDict[Texts, Shape] = OrderedDict()
        self.templates: list[Template] = []
        self.bodies: list[Template] = []
        self._sources: dict[str, MarkedTemplate] = {}
        for kind in ("html", "markdown", "mjml", "text"):
            source: Source | None = getattr(content, kind)
            if source is not None:
                self._compile(kind, source, html=kind in ("html", "mjml"))
        self._kind = next((kind for kind in _CONVERTERS if getattr(content, kind) is not None), "")
        if draft.preheader and self._kind:
            self._compile("preheader", Source(draft.preheader, draft.file), html=False, where="preheader")
        self.attachments = Attachments(draft, environments)
        self.templates += self.attachments.templates
        self._problems += self.attachments.problems
        if not (self._sources or self._problems):
            self._problems.append(Problem("", 0, 0, "content", "a message needs a text or an HTML part"))
        if self._problems:
            raise TemplateProblem(self._problems)
        self._shape, symbols = self._settle(static)
        always = {"email"} if environments.lenient else {"email", *self.required}
        self._readings = [
            (symbol.name, not symbol.calls and symbol.name in always, symbol) for symbol in symbols
        ]

    def _compile(self, kind: str, source: Source, *, html: bool, where: str = "") -> None:
        try:
            template = self._environments.compile(source.text, file=source.file, where=where, html=html)
        except TemplateProblem as problem:
            self._problems += problem.problems
            return
        environment = self._environments.html if html else self._environments.text
        self._sources[kind] = MarkedTemplate(environment, source.text, template, self._words)
        self.templates.append(template)
        if not where:
            self.bodies.append(template)

    @property
    def images(self) -> Sequence[FilePart]:
        """Those that are embedded in any shape so far."""
        return tuple(self._images.values())

    # --- what is known before there is a row -------------------------------------------------------

    def _settle(self, static: Mapping[str, object]) -> tuple[Shape | None, list[Symbol]]:
        """The only shape, and what its slots stand for; None where shapes depend on the row."""
        values: list[str | Symbol] = []
        texts: list[str] = []
        for marked in self._sources.values():
            marked.settle(static, len(values))
            if marked.constant is None:
                return None, []
            texts.append(marked.constant.text)
            values += marked.constant.values
        # each name once, however often it is printed
        symbols: list[Symbol] = []
        slots: list[int | str] = []
        for value in values:
            if isinstance(value, str):
                slots.append(value)
                continue
            known = (
                n for n, one in enumerate(symbols) if one.name == value.name and one.calls == value.calls
            )
            slots.append(next(known, len(symbols)))
            if slots[-1] == len(symbols):
                symbols.append(value)
        try:
            unique = [n for n, symbol in enumerate(symbols) if symbol.name in UNIQUE]
            return self._make(tuple(texts), slots, unique), symbols
        except document.MarkupProblem as problem:
            raise TemplateProblem(Problem(self._file, 0, 0, "", str(problem))) from problem

    @property
    def _file(self) -> str:
        source: Source | None = getattr(self._content, self._kind or "text")
        return source.file if source is not None else self._draft.file

    @property
    def required(self) -> frozenset[str]:
        """The names without which no row can be rendered, as far as that is known."""
        return frozenset[str]().union(*(marked.required for marked in self._sources.values()))

    @property
    def total(self) -> bool:
        """Whether a row with all that is `required` can be rendered for sure."""
        return self._shape is not None and all(marked.total for marked in self._sources.values())

    # --- one row -----------------------------------------------------------------------------------

    def render(self, values: Sequence[Mapping[str, object]]) -> list[Body]:
        """The bodies for some rows. Raise Unrenderable for the first that has none."""
        names: Sequence[Sequence[str]] = [()] * len(values)
        if self.attachments.templates:
            names = [self.attachments.render(row) for row in values]
        if self._shape is None:
            return [self._render_alone(row, files) for row, files in zip(values, names, strict=True)]
        return self._shape.bodies([self._read(row) for row in values], names)

    def _read(self, row: Mapping[str, object]) -> list[str]:
        """What stands in the slots of the only shape."""
        lenient = self._environments.lenient
        try:
            return [
                cast("str", row[name]) if is_text else text_of(symbol, row, lenient=lenient)
                for name, is_text, symbol in self._readings
            ]
        except Exception as error:
            raise self._unrenderable(row, error) from error

    def _render_alone(self, row: Mapping[str, object], names: Sequence[str]) -> Body:
        marked: list[str | Symbol] = []
        documents: list[str] = []
        for template in self._sources.values():
            rendered = template.render(row, len(marked))
            documents.append(rendered.text)
            marked += rendered.values
        self._refuse_words(row)
        key = tuple(documents)
        shape = self._shapes.get(key)
        if shape is None:
            shape = self._remember(key, len(marked))
        (body,) = shape.bodies([[str(value) for value in marked]], [names])
        return body

    def _unrenderable(self, values: Mapping[str, object], error: Exception) -> Unrenderable:
        """What jinja says of it, with the line."""
        for template in self._sources.values():
            try:
                template.render(values, 0)
            except Unrenderable as explained:
                return explained
        return Unrenderable(Reason(f"{type(error).__name__}: {error}", missing=True))

    def _refuse_words(self, values: Mapping[str, object]) -> None:
        """Nobody knows our words; a value that holds one nevertheless would be taken for another value."""
        if any(type(value) is str and self._words.stem in value for value in values.values()):
            raise Unrenderable(Reason("a value holds a word that bulkmail needs for itself", missing=False))

    def _remember(self, key: Texts, count: int) -> Shape:
        try:
            shape = self._make(key, list(range(count)))
        except document.MarkupProblem as problem:
            raise Unrenderable(Reason(f"{self._file}: {problem}", missing=True)) from problem
        self._shapes[key] = shape
        while len(self._shapes) > SHAPES:
            self._shapes.popitem(last=False)
        return shape

    # --- from documents to a shape -----------------------------------------------------------------

    def _make(self, documents: Texts, slots: Sequence[int | str], unique: Collection[int] = ()) -> Shape:
        """The shape of these documents; the word of value n stands for slot `slots[n]`, or for a text."""
        texts = dict(zip(self._sources, documents, strict=True))
        text = texts.get("text")
        html: str | None = None
        images: list[FilePart] = []
        if self._kind:
            html = _CONVERTERS[self._kind](texts[self._kind])
            if text is None and self._content.text_from_html:
                text = texts["markdown"] if self._kind == "markdown" else document.plain_text(html)
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
            self.attachments.parts,
        )
        return Shape(root, self._boundary, unique)

    def _text_part(self, subtype: str, text: str, *, slots: Sequence[int | str]) -> TextPart:
        segments: list[str | int] = [""]
        for number, each in enumerate(self._words.split(text)):
            slot = slots[int(each)] if number % 2 else each
            if isinstance(slot, int):
                segments += [slot, ""]
            else:
                literal = str(escape(slot)) if number % 2 and subtype == "html" else slot
                segments[-1] = f"{segments[-1]}{literal}"
        return TextPart(subtype, tuple(segments))

    def _embed(self, html: str) -> tuple[str, list[FilePart]]:
        cids: dict[str, str] = {}
        images: dict[str, FilePart] = {}
        for source in image_sources(html):
            if self._words.stem in source:
                continue
            if not self._draft.embed_images and not source.startswith("cid:"):
                raise document.MarkupProblem(
                    f"{source} is a file, which readers do not have: write its https:// address, "
                    "or content.images: embed"
                )
            image = self._image(source)
            cids[source] = image.cid
            images[image.cid] = image
        return (with_cids(html, cids) if cids else html), list(images.values())

    def _image(self, source: str) -> FilePart:
        known = self._images.get(source)
        if known is None:
            try:
                image = load_image(self._content.folder, source.removeprefix("cid:"))
            except ValueError as error:
                raise document.MarkupProblem(str(error)) from error
            known = mime.embedded(image.name, image.type, image.content, self._domain)
            self._images[source] = known
        return known
