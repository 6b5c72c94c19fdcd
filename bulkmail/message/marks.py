"""A template rendered into a document in which an opaque word stands for each value.

The control flow is executed, so the document is what the author's editor would show: whole Markdown, MJML or
HTML, without any Jinja, which every converter can read. A value is put back behind its word after the
conversions, so it is never read as markup, and messages that differ in nothing but values share all of them.

Where a value belongs to the structure of HTML (a class, a width, a style sheet) it is put in at once. So is
HTML that the author declares as such (`| safe`): it is part of the document.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jinja2
from jinja2 import nodes
from markupsafe import Markup

from bulkmail.message.symbol import ESCAPING, NeedsRow, Symbol, symbolic
from bulkmail.message.template import Template, Unrenderable, finalize

MARK = "mark__"
# Attributes whose value no converter looks into.
_OPAQUE = frozenset({"href", "src", "alt", "title", "content", "value", "background", "background-url"})
_ATTRIBUTE = re.compile(r"""([\w:-]+)\s*=\s*(?:"[^"]*|'[^']*|[^\s"'>]*)$""")
_WHOLE_TEXT = (nodes.FilterBlock, nodes.AssignBlock, nodes.CallBlock)  # handle text that has words in it


class Document(NamedTuple):
    """What a template gave: its text with words for `values`, which are texts, or symbols."""

    text: str
    values: Sequence[str | Symbol]


class Words:
    """The words of one message. Their stem is like no text that the author or a recipient wrote."""

    def __init__(self, seed: str) -> None:
        """`seed`: hexadecimal digits that depend on the content."""
        self.stem = f"zq{seed[:10]}x"
        self.pattern = re.compile(rf"{self.stem}(\d+)qz")

    def word(self, index: int) -> str:
        return f"{self.stem}{index}qz"

    def split(self, text: str) -> list[str]:
        """Text, index, text, index, … text: the indices as decimal texts."""
        return self.pattern.split(text)


class MarkedTemplate:
    """One body source, compiled so that its values can be told from its text.

    `constant`: the document is the same for every row, its values symbols or texts; None where it depends
    on the row. `required` and `total`: what the row must have, and whether it can then still fail.
    """

    def __init__(
        self, environment: jinja2.Environment, source: str, template: Template, words: Words
    ) -> None:
        """`template` is the same source."""
        self._template, self._words = template, words
        self._html = bool(environment.autoescape)
        self._environment = environment.overlay()
        if self._html:  # escaping is left to whoever puts the value in
            filters = dict.fromkeys(ESCAPING, _unescaped)
            self._environment.filters = {**environment.filters, **filters}
        tree = self._environment.parse(source)
        self._markable = not any(tree.find(kind) for kind in _WHOLE_TEXT) and (
            _macros_are_only_printed(tree) if self._html else tree.find(nodes.Macro) is None
        )
        if self._markable:
            _mark(tree, _structural(self._environment, source) if self._html else frozenset())
        self._tree = tree
        self._compiled = self._environment.from_string(tree)
        self.constant: Document | None = None
        self.required: frozenset[str] = frozenset()
        self.total = False

    def settle(self, static: Mapping[str, object], first: int) -> None:
        """Find out what follows from the values that are the same for everybody; words count from `first`."""
        if not self._markable:
            return
        values: list[str | Symbol] = []
        symbols = {name: Symbol(name) for name in self._template.names - static.keys()}
        try:
            compiled = symbolic(self._environment).from_string(self._tree)
            text = compiled.render({**static, **symbols, MARK: self._marker(values, first)})
        except Exception:  # not only NeedsRow: what a filter makes of a symbol is its own business
            return
        self.constant = Document(text, values)
        used = [value for value in values if isinstance(value, Symbol)]
        self.required = frozenset(value.name for value in used if not value.defaulted)
        self.total = all(value.total for value in used)

    def render(self, values: Mapping[str, object], first: int) -> Document:
        """The document for one row, its words counted from `first`. Raise Unrenderable."""
        marked: list[str | Symbol] = []
        try:
            return Document(self._compiled.render({**values, MARK: self._marker(marked, first)}), marked)
        except Exception as error:
            raise Unrenderable(self._template.explain(error)) from error

    def _marker(self, values: list[str | Symbol], first: int) -> Callable[[Any], object]:
        word, html = self._words.word, self._html

        def mark(value: Any) -> object:
            if type(value) is not str and not isinstance(value, Symbol):
                value = finalize(value)
                if isinstance(value, Markup) and html:
                    return value
                value = str(value)
            values.append(value)
            name = word(first + len(values) - 1)
            return Markup(name) if html else name

        return mark


def _unescaped(value: object) -> object:
    return value


def _macros_are_only_printed(tree: nodes.Template) -> bool:
    """Whether what macros give, which has words in it, is printed as it is, and nothing else done with it."""
    macros = {macro.name for macro in tree.find_all(nodes.Macro)}
    used = sum(name.name in macros and name.ctx == "load" for name in tree.find_all(nodes.Name))
    printed = sum(
        isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name in macros
        for output in tree.find_all(nodes.Output)
        for node in output.nodes
    )
    return used == printed


def _mark(tree: nodes.Template, literal: frozenset[int]) -> None:
    """Hand every printed expression to MARK, but those whose numbers are in `literal`."""
    number = 0
    for output in tree.find_all(nodes.Output):
        for position, node in enumerate(output.nodes):
            if isinstance(node, nodes.TemplateData):
                continue
            if number not in literal:
                name = nodes.Name(MARK, "load", lineno=node.lineno)
                output.nodes[position] = nodes.Call(name, [node], [], None, None, lineno=node.lineno)
            number += 1


def _structural(environment: jinja2.Environment, source: str) -> frozenset[int]:
    """The numbers of the printed expressions that belong to the structure of HTML, in source order."""
    before, number, inside = "", 0, ""
    found: set[int] = set()
    for _, kind, value in environment.lexer.tokeniter(source, None):
        if kind == "variable_begin":
            if _is_structural(before):
                found.add(number)
            number, inside = number + 1, kind
            before += "x"
        elif kind.endswith("_begin"):
            inside = kind
        elif kind.endswith("_end"):
            inside = ""
        elif kind == "data" and (not inside or inside == "raw_begin"):
            before += value
    return frozenset(found)


def _is_structural(before: str) -> bool:
    tag = before.rfind("<")
    if tag > before.rfind(">"):
        attribute = _ATTRIBUTE.search(before, tag)
        return attribute is None or attribute[1].lower() not in _OPAQUE
    lower = before.lower()
    return lower.rfind("<style") > lower.rfind("</style")


__all__ = ["Document", "MarkedTemplate", "NeedsRow", "Words"]
