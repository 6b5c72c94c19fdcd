"""A template rendered into a document in which an opaque word stands for each value.

The control flow is executed, so the document is what the author's editor would show: whole Markdown, MJML or
HTML, without any Jinja, which every converter can read. A value is put back behind its word after the
conversions, so it is never read as markup, and messages that differ in nothing but values share all of them.

Where a value belongs to the structure of HTML (a class, a width, a style sheet) it is put in at once. So is
HTML that the author declares as such (`| safe`): it is part of the document.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import jinja2
from jinja2 import nodes
from markupsafe import Markup

from bulkmail.message.symbol import ESCAPING, Slot, Symbol, slot_of, symbolic
from bulkmail.message.template import Template, Unrenderable, finalize

MARK = "mark__"
# Attributes whose value no converter looks into.
_OPAQUE = frozenset({"href", "src", "alt", "title", "content", "value", "background", "background-url"})
_ATTRIBUTE = re.compile(r"""([\w:-]+)\s*=\s*(?:"[^"]*|'[^']*|[^\s"'>]*)$""")


class Document(NamedTuple):
    """What a template gave: its text with words for `values`, which are texts, or slots.

    `literal`: some value of the row may stand in the text itself.
    """

    text: str
    values: Sequence[str | Slot]
    literal: bool


class Words:
    """The words of one campaign's messages. No reader sees one, and nobody who wrote a value knows them."""

    def __init__(self, seed: str) -> None:
        """`seed` depends on the content."""
        self.stem = f"zq{blake2b(seed.encode(), digest_size=5, person=b'words').hexdigest()}x"
        self.pattern = re.compile(rf"{self.stem}(\d+)qz")

    def word(self, index: int) -> str:
        return f"{self.stem}{index}qz"

    def split(self, text: str) -> list[str]:
        """Text, index, text, index, … text: the indices as decimal texts."""
        return self.pattern.split(text)

    def refuse(self, text: str) -> None:
        """Raise ValueError for a text that holds one, in capitals or whatever a filter made of it."""
        if self.stem in text.lower():
            raise ValueError("a value has passed through the page twice: print it without macros and blocks")


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
        tree = self._environment.parse(source)
        structural = _structural(self._environment, source) if self._html else frozenset()
        again = _handled_again(tree, html=self._html)
        self._markable = again is None and structural is not None
        self.unmarkable_line = again
        self._literal = not self._markable or bool(structural)
        if self._markable:
            _mark(tree, structural or frozenset(), html=self._html)
        self._tree = tree
        self._compiled = self._environment.from_string(tree)
        self.constant: Document | None = None
        self.required: frozenset[str] = frozenset()
        self.total = False

    def settle(self, static: Mapping[str, object], first: int) -> None:
        """Find out what follows from the values that are the same for everybody; words count from `first`."""
        if not self._markable:
            return
        symbols = {name: Symbol(Slot(name)) for name in self._template.names - static.keys()}
        try:
            compiled = symbolic(self._environment).from_string(self._tree)
            marker = Marker(self._words, first, html=self._html)
            text = compiled.render({**static, **symbols, MARK: marker.mark})
        except Exception:  # not only NeedsRow: what a filter makes of a symbol is its own business
            return
        self.constant = Document(text, marker.values, literal=False)
        used = [value for value in marker.values if isinstance(value, Slot)]
        self.required = frozenset(value.name for value in used if not value.defaulted)
        self.total = all(value.total for value in used)

    def render(self, values: Mapping[str, object], first: int) -> Document:
        """The document for one row, its words counted from `first`. Raise Unrenderable."""
        marker = Marker(self._words, first, html=self._html)
        try:
            text = self._compiled.render({**values, MARK: marker.mark})
        except Exception as error:
            raise Unrenderable(self._template.explain(error)) from error
        return Document(text, marker.values, self._literal or marker.markup)


class Marker:
    """Takes the values of one rendering and gives words for them. `markup`: some were part of the text."""

    __slots__ = ("_first", "_html", "_known", "_words", "markup", "values")

    def __init__(self, words: Words, first: int, *, html: bool) -> None:
        self._words, self._first, self._html = words, first, html
        self._known: dict[Slot, str] = {}
        self.values: list[str | Slot] = []
        self.markup = False

    def mark(self, value: Any) -> object:
        """What is printed for `value`. Raises what `finalize` raises, ValueError for one of our words."""
        known: str | Slot
        if isinstance(value, Symbol):
            known = slot_of(value)
            name = self._known.get(known)  # the same word for the same value: a link that shows its address
            if name is not None:
                return Markup(name) if self._html else name
        else:
            value = finalize(value)
            if self._html and isinstance(value, Markup):
                self.markup = True
                return value
            known = str(value)
            self._words.refuse(known)
        name = self._words.word(self._first + len(self.values))
        self.values.append(known)
        if isinstance(known, Slot):
            self._known[known] = name
        return Markup(name) if self._html else name


def _handled_again(tree: nodes.Template, *, html: bool) -> int | None:
    """The line of what may handle text that has words in it already; None where nothing does."""
    whole = (nodes.FilterBlock, nodes.AssignBlock, nodes.CallBlock)
    found = [node.lineno for kind in whole for node in tree.find_all(kind)]
    found += [loop.lineno for loop in tree.find_all(nodes.For) if loop.recursive]
    found += [name.lineno for name in tree.find_all(nodes.Name) if name.name in ("self", "super")]
    if not (html and _macros_are_only_printed(tree)):
        found += [macro.lineno for macro in tree.find_all(nodes.Macro)]
    return min(found, default=None)


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


def _mark(tree: nodes.Template, literal: frozenset[int], *, html: bool) -> None:
    """Hand every printed expression to MARK, but those whose numbers are in `literal`.

    Escaping is left to whoever puts the value in, so a last `| e` is taken off.
    """
    number = 0
    for output in tree.find_all(nodes.Output):
        for position, node in enumerate(output.nodes):
            if isinstance(node, nodes.TemplateData):
                continue
            if number not in literal:
                while html and isinstance(node, nodes.Filter) and node.name in ESCAPING and node.node:
                    node = node.node
                name = nodes.Name(MARK, "load", lineno=node.lineno)
                output.nodes[position] = nodes.Call(name, [node], [], None, None, lineno=node.lineno)
            number += 1


def _structural(environment: jinja2.Environment, source: str) -> frozenset[int] | None:
    """The numbers of the printed expressions that belong to the structure of HTML, in source order.

    None where they cannot be counted: `{% print %}` prints, too.
    """
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
    outputs = environment.parse(source).find_all(nodes.Output)
    printed = sum(not isinstance(node, nodes.TemplateData) for output in outputs for node in output.nodes)
    return frozenset(found) if printed == number else None


def _is_structural(before: str) -> bool:
    tag = before.rfind("<")
    if tag > before.rfind(">"):
        attribute = _ATTRIBUTE.search(before, tag)
        return attribute is None or attribute[1].lower() not in _OPAQUE
    lower = before.lower()
    return lower.rfind("<style") > lower.rfind("</style")
