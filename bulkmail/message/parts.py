"""The body of a message: from its author's templates to a shape with the values of one row in it.

A message is a document or two (marks.py), converted and encoded into a shape (conversion.py, shape.py).
Where no control flow depends on the row there is one shape, made at once; else a row's documents are looked
up among the shapes made so far. What varies without end (HTML that a row brings along) is converted for each
message: slow, and right.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import islice, repeat
from threading import Lock

from bulkmail.errors import Problem
from bulkmail.message.attachments import Attachments
from bulkmail.message.batch import Batch, Row
from bulkmail.message.content import Content, Source
from bulkmail.message.conversion import Conversion
from bulkmail.message.document import MarkupProblem
from bulkmail.message.draft import Draft
from bulkmail.message.marks import MarkedTemplate, Words
from bulkmail.message.shape import Bodies, Shape
from bulkmail.message.symbol import Slot
from bulkmail.message.template import Environments, Reason, Template, TemplateProblem, Unrenderable

SHAPES_OCTETS = 64 * 1024 * 1024  # of shapes that are kept, those least in use given up first
Texts = tuple[str, ...]


class Parts:
    """`templates`: all that are compiled. `one_shape`: whether every message has the same."""

    def __init__(
        self,
        draft: Draft,
        content: Content,
        environments: Environments,
        static: Mapping[str, object],
        *,
        unique: Mapping[str, int],
        seed: str,
        domain: str,
        signed: bool,
    ) -> None:
        """`unique`: names of whose values nobody has the same, and how long these are, as a rule. `seed`: 24
        hexadecimal digits of the content. `domain`: of Content-IDs. Raise TemplateProblem."""
        self._environments = environments
        self._unique = unique
        self._words = Words(seed)
        self._problems: list[Problem] = []
        self._shapes: OrderedDict[Texts, Shape] = OrderedDict()
        self._octets = 0  # of `_shapes`
        self._lock = Lock()
        self.templates: list[Template] = []
        self._sources: dict[str, MarkedTemplate] = {}
        for kind in ("html", "markdown", "mjml", "text"):
            source: Source | None = getattr(content, kind)
            if source is not None:
                self._compile(kind, source, html=kind in ("html", "mjml"))
        if draft.preheader and (content.html or content.markdown or content.mjml):
            self._compile("preheader", Source(draft.preheader, draft.file), html=False, where="preheader")
        self.attachments = Attachments(draft, environments)
        self.templates += self.attachments.templates
        self._problems += self.attachments.problems
        if not (self._sources or self._problems):
            self._problems.append(Problem("", 0, 0, "content", "a message needs a text or an HTML part"))
        if self._problems:
            raise TemplateProblem(self._problems)
        files = self.attachments.parts
        self._conversion = Conversion(
            draft, content, self._words, files, seed=seed, domain=domain, signed=signed
        )
        self._shape, self._slots = self._settle(static)
        self.one_shape = self._shape is not None

    def _compile(self, kind: str, source: Source, *, html: bool, where: str = "") -> None:
        try:
            template = self._environments.compile(source.text, file=source.file, where=where, html=html)
        except TemplateProblem as refused:
            self._problems += refused.problems
            return
        environment = self._environments.html if html else self._environments.text
        marked = self._sources[kind] = MarkedTemplate(environment, source.text, template, self._words)
        self.templates.append(template)
        if kind == "markdown" and marked.unmarkable_line is not None:
            text = (
                "macros, {% filter %}, {% call %} and {% set %}…{% endset %} would let a value be Markdown: "
            )
            problem = Problem(
                source.file, marked.unmarkable_line, 0, "", f"{text}write it without, or in HTML"
            )
            self._problems.append(problem)

    @property
    def images(self) -> list[str]:
        """The Content-IDs of those that a message may show."""
        return self._conversion.images

    # --- what is known before there is a row -------------------------------------------------------

    def _settle(self, static: Mapping[str, object]) -> tuple[Shape | None, list[Slot]]:
        """The only shape, and what its slots stand for; None where shapes depend on the row."""
        values: list[str | Slot] = []
        texts: dict[str, str] = {}
        for kind, marked in self._sources.items():
            marked.settle(static, len(values))
            if marked.constant is None:
                return None, []
            texts[kind] = marked.constant.text
            values += marked.constant.values
        slots = list(dict.fromkeys(value for value in values if isinstance(value, Slot)))
        numbers = [slots.index(value) if isinstance(value, Slot) else value for value in values]
        unique = {n: self._unique[slot.name] for n, slot in enumerate(slots) if slot.name in self._unique}
        try:
            return self._conversion.shape(texts, numbers, unique), slots
        except MarkupProblem as problem:
            raise TemplateProblem(self._conversion.problem(problem, self._document(texts))) from problem

    def _document(self, texts: Mapping[str, str]) -> str:
        """The one that the author wrote as HTML, or as text."""
        return texts[self._conversion.kind or "text"]

    @property
    def required(self) -> frozenset[str]:
        """The names without which no row can be rendered, as far as that is known."""
        return frozenset[str]().union(*(marked.required for marked in self._sources.values()))

    @property
    def total(self) -> bool:
        """Whether a row with all that is `required` can be rendered for sure."""
        return self._shape is not None and all(marked.total for marked in self._sources.values())

    # --- one row -----------------------------------------------------------------------------------

    def render(self, batch: Batch) -> Bodies:
        """Raise Unrenderable for the first who has none."""
        names: Sequence[Sequence[str]] = ()
        if self.attachments.templates:
            names = [self.attachments.render(row) for row in batch.rows]
        if self._shape is not None:
            return self._shape.bodies(len(batch), [self._column(slot, batch) for slot in self._slots], names)
        alone = [self._render_alone(*one) for one in zip(batch.rows, names or repeat(()), strict=False)]
        return Bodies(
            [field for one in alone for field in islice(one.canonical_fields, 1)],
            [pieces for one in alone for pieces in islice(one.pieces, 1)],
            [digest for one in alone for digest in one.digests],
        )

    def _column(self, slot: Slot, batch: Batch) -> Sequence[str]:
        """What stands in this slot of the only shape."""
        column = None if slot.calls else batch.column(slot.name)
        return [self._text(slot, row) for row in batch.rows] if column is None else column

    def _text(self, slot: Slot, row: Row) -> str:
        try:
            return slot.text(row, lenient=self._environments.lenient)
        except Exception as error:
            raise self._unrenderable(row, error) from error

    def _render_alone(self, row: Row, names: Sequence[str]) -> Bodies:
        values: list[str | Slot] = []
        texts: dict[str, str] = {}
        literal = False
        for kind, template in self._sources.items():
            rendered = template.render(row, len(values))
            texts[kind] = rendered.text
            values += rendered.values
            literal |= rendered.literal
        self._refuse_words(row)
        shape = self._found(tuple(texts.values()))
        if shape is None:
            shape = self._made(texts, len(values), literal=literal)
        return shape.bodies(1, [[str(value)] for value in values], [names])

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

    def _found(self, key: Texts) -> Shape | None:
        with self._lock:
            shape = self._shapes.get(key)
            if shape is not None:
                self._shapes.move_to_end(key)
            return shape

    def _made(self, texts: Mapping[str, str], count: int, *, literal: bool) -> Shape:
        """A new shape. Where no value of the row is in its documents, what is wrong is the author's."""
        try:
            shape = self._conversion.shape(texts, list(range(count)))
        except MarkupProblem as found:
            problem = self._conversion.problem(found, self._document(texts))
            if literal:
                raise Unrenderable(Reason(str(problem), missing=True)) from found
            raise TemplateProblem(problem) from found
        key = tuple(texts.values())
        with self._lock:
            if key not in self._shapes:
                self._shapes[key] = shape
                self._octets += shape.size
            while self._octets > SHAPES_OCTETS and len(self._shapes) > 1:
                _, oldest = self._shapes.popitem(last=False)
                self._octets -= oldest.size
        return shape
