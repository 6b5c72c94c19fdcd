"""The text and the HTML of a message, compiled from whatever its author wrote.

Where an author gives one form, the other is made from it (markup.py): once, on the template, where that is
sound, and otherwise from each rendered message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jinja2

from bulkmail.errors import Problem
from bulkmail.message.content import Content, Source
from bulkmail.message.markup import Markdown, Pieces, PlainText, tidy
from bulkmail.message.template import Environments, Template, TemplateProblem

Render = Callable[[Mapping[str, object]], str]


class Parts:
    """`templates` are the compiled sources, the author's own first: what they read, the message reads."""

    def __init__(self, content: Content, environments: Environments) -> None:
        """Raise TemplateProblem."""
        self._environments = environments
        self.templates: list[Template] = []
        self._text: Render | None = None
        self._html: Render | None = None
        self._text_of_html: Callable[[str], str] | None = None
        problems: list[Problem] = []
        for source, read in (
            (content.text, self._read_text),
            (content.markdown, self._read_markdown),
            (content.html, self._read_html),
        ):
            if source is not None:
                try:
                    read(source, content)
                except TemplateProblem as problem:
                    problems += problem.problems
        if problems:
            raise TemplateProblem(problems)
        if self._text is None and self._html is None:
            raise TemplateProblem(Problem("", 0, 0, "content", "a message needs a text or an HTML part"))

    def render(self, values: Mapping[str, object]) -> tuple[str | None, str | None]:
        """The text and the HTML, None for a part that the message does not have. Raise Unrenderable."""
        text = self._text(values) if self._text else None
        html = self._html(values) if self._html else None
        if self._text_of_html is not None and html is not None:
            text = self._text_of_html(html)
        return text, html

    def _compile(self, source: Source, *, html: bool) -> Template:
        template = self._environments.compile(source.text, file=source.file, html=html)
        self.templates.append(template)
        return template

    def _pieces(self, source: Source) -> Pieces:
        try:
            return Pieces(self._environments.text, source.text)
        except jinja2.TemplateSyntaxError as error:
            raise TemplateProblem(
                Problem(source.file, error.lineno, 0, "", error.message or "not a template")
            ) from error

    def _read_text(self, source: Source, _: Content) -> None:
        self._text = self._compile(source, html=False).render

    def _read_markdown(self, source: Source, content: Content) -> None:
        template = self._compile(source, html=False)
        if content.text is None and content.text_from_html:
            self._text = template.render
        markdown, pieces = Markdown(), self._pieces(source)
        converted = markdown.template(pieces)
        if converted is not None:
            self._html = self._compile(Source(converted, source.file), html=True).render
            return
        # Compiled on the side: `mark__` is no field of anybody's.
        marked = self._environments.compile(pieces.marked(), file=source.file)
        self._html = markdown.per_message(pieces, marked.render)

    def _read_html(self, source: Source, content: Content) -> None:
        self._html = self._compile(source, html=True).render
        if content.text is not None or not content.text_from_html:
            return
        plain = PlainText()
        converted = plain.template(self._pieces(source))
        if converted is None:
            self._text_of_html = plain.text
            return
        text = self._compile(Source(converted, source.file), html=False)
        self._text = lambda values: tidy(text.render(values))
