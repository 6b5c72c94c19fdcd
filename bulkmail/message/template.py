"""One Jinja source, compiled once: which row fields it reads, and what it gives for one row.

Templates are the sender's own, but their values are strangers': the sandbox keeps expressions from reaching
into Python, HTML escapes what it is given, and a name that nobody defined is an error instead of a hole in
a sentence. Rendering is a pure function (no clock, no chance), because a resumed campaign must send the
same bytes. Where a template is nothing but fields and total filters, whether a row can be rendered is known
without rendering it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from types import TracebackType
from typing import NoReturn

import jinja2
from jinja2 import meta, nodes, sandbox

from bulkmail.errors import BulkmailError, ConfigError, Problem
from bulkmail.message.batch import Batch

# Filters that give text for every text: a template of these alone cannot fail for a row that has its fields.
DEFAULTING = frozenset({"default", "d"})
TOTAL_FILTERS = DEFAULTING | {"upper", "lower", "title", "capitalize", "trim", "urlencode", "e", "escape"}
# What is printed as people expect it. Jinja would print anything, an object by its address in memory.
PRINTED = (str, int, float, date, list, tuple, dict, jinja2.Undefined)
# Tags that change what escaping means, or print in a way of their own.
_REFUSED = (nodes.EvalContextModifier, nodes.ScopedEvalContextModifier)


# A %-pattern, and for each %s of it a field and what stands in for it where it is empty.
Segments = tuple[str, tuple[tuple[str, str], ...]]


class TemplateProblem(ConfigError):
    """A template cannot be compiled, or not be rendered for anybody. Carries file and line."""


class Reason(str):
    """Why a row cannot be rendered, as text for people.

    `missing` is True for FAULTS.md's I8 (a field is missing, or an expression fails: `on_missing` decides),
    False for I1 (a value that no header may hold: the row is invalid whatever the policy).
    """

    __slots__ = ("missing",)
    missing: bool

    def __new__(cls, text: str, *, missing: bool) -> Reason:
        self = super().__new__(cls, text)
        self.missing = missing
        return self


class Unrenderable(BulkmailError):
    """This row has no message; `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


def finalize(value: object) -> object:
    """What is printed for a value. Raises TemplateRuntimeError for what is none."""
    if value is None:
        return ""
    if not isinstance(value, PRINTED):
        kind = "a function" if callable(value) else f"a {type(value).__name__}"
        raise jinja2.TemplateRuntimeError(f"{kind} cannot be printed: it needs (…), or a filter such as list")
    return value


def _default(value: object, default_value: object = "", boolean: bool = False) -> object:
    """Jinja's `default`, but an empty cell of a list counts as missing: nobody wants to read "Dear ,"."""
    if isinstance(value, jinja2.Undefined) or value == "" or (boolean and not value):
        return default_value
    return value


class Environments:
    """The two environments of one campaign: plain text, and HTML with escaping."""

    def __init__(self, on_missing: str) -> None:
        self.lenient = on_missing == "empty"
        self.text = self._environment(html=False)
        self.html = self._environment(html=True)

    def _environment(self, *, html: bool) -> jinja2.Environment:
        environment = sandbox.ImmutableSandboxedEnvironment(
            autoescape=html,
            undefined=jinja2.Undefined if self.lenient else jinja2.StrictUndefined,
            keep_trailing_newline=True,
            finalize=finalize,
        )
        del environment.filters["random"], environment.filters["pprint"], environment.globals["lipsum"]
        environment.filters["default"] = environment.filters["d"] = _default
        return environment

    def compile(self, source: str, *, file: str, where: str = "", html: bool = False) -> Template:
        """Raise TemplateProblem, with the line, where `source` is not a template."""
        environment = self.html if html else self.text
        return Template(environment, source, file=file, where=where, lenient=self.lenient)


class Template:
    """A compiled source. `names`: what it reads from outside; `required`: what it cannot do without."""

    __slots__ = ("_compiled", "_segments", "file", "names", "plain", "required", "where")

    def __init__(
        self, environment: jinja2.Environment, source: str, *, file: str, where: str, lenient: bool
    ) -> None:
        self.file, self.where = file, where
        try:
            tree = environment.parse(source)
            undeclared = frozenset(meta.find_undeclared_variables(tree))
            self.names: frozenset[str] = undeclared - environment.globals.keys() - _set_first(tree)
            if any(True for _ in meta.find_referenced_templates(tree)):
                self._refuse(0, "include, import and extends are not built: put the text into this file")
            if any(tree.find(kind) is not None for kind in _REFUSED):
                self._refuse(0, "{% autoescape %} is not built: HTML is escaped, text is not")
            self.plain = _is_plain(tree)
            self.required = _required(tree) if self.plain else frozenset()
            # HTML would have to be escaped, and is put together in `shape` anyway.
            self._segments = (
                _segments(tree, self.names) if self.plain and not environment.autoescape else None
            )
            self._compiled = environment.from_string(tree)
        except jinja2.TemplateSyntaxError as error:
            self._refuse(error.lineno, error.message or "not a template")

    def _refuse(self, line: int, text: str) -> NoReturn:
        raise TemplateProblem(Problem(self.file, line, 0, self.where, text))

    def render(self, values: Mapping[str, object]) -> str:
        """Raise Unrenderable where an expression fails for these values, whatever it does with them."""
        if self._segments is not None and (text := self._join(values)) is not None:
            return text
        try:
            return self._compiled.render(values)
        except Exception as error:
            raise Unrenderable(self.explain(error)) from error

    def column(self, batch: Batch) -> Sequence[str]:
        """`render` for each. Raise Unrenderable for the first for whom it fails."""
        if self._segments is not None:
            pattern, fields = self._segments
            columns = [batch.column(name) for name, _ in fields]
            found = [column for column in columns if column is not None]
            if found and len(found) == len(columns):
                cells = [
                    [text or default for text in column] if default else column
                    for column, (_, default) in zip(found, fields, strict=True)
                ]
                return list(map(pattern.__mod__, zip(*cells, strict=True)))
        return [self.render(row) for row in batch.rows]

    def _join(self, values: Mapping[str, object]) -> str | None:
        """What jinja would give, for a tenth of the time; None where a value is not there or is no text."""
        pattern, fields = self._segments or ("", ())
        texts = []
        for name, default in fields:
            value = values.get(name)
            if type(value) is not str:
                return None
            texts.append(value or default)
        return pattern % tuple(texts)

    def explain(self, error: Exception) -> Reason:
        """Why a row cannot be rendered, from what rendering it raised."""
        place = self.where or self.file
        line = _template_line(error.__traceback__)
        if line and not self.where:
            place += f":{line}"
        text = str(error).replace(" is undefined", " is missing") or type(error).__name__
        return Reason(f"{place}: {text}", missing=True)


def _template_line(traceback: TracebackType | None) -> int:
    """The template's own line in a traceback that jinja has rewritten; 0 where none is."""
    line = 0
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename in ("<template>", "<unknown>"):
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def _set_first(tree: nodes.Template) -> set[str]:
    """Names that a `{% set %}` at the top gives before anything reads them; jinja lists them all the same."""
    given: set[str] = set()
    read: set[str] = set()
    for node in tree.body:
        names = [node] if isinstance(node, nodes.Name) else [*node.find_all(nodes.Name)]
        read |= {name.name for name in names if name.ctx == "load"} - given
        if isinstance(node, (nodes.Assign, nodes.AssignBlock)):
            target = node.target
            targets = [target] if isinstance(target, nodes.Name) else [*target.find_all(nodes.Name)]
            given |= {name.name for name in targets} - read
    return given


def _is_plain(tree: nodes.Template) -> bool:
    return all(
        isinstance(node, nodes.Output) and all(_is_total(child) for child in node.nodes) for node in tree.body
    )


def _is_total(node: nodes.Node | None) -> bool:
    """Whether an expression gives text for every text that its names may hold."""
    if isinstance(node, (nodes.TemplateData, nodes.Const, nodes.Name)):
        return True
    return (
        isinstance(node, nodes.Filter)
        and node.name in TOTAL_FILTERS
        and not node.kwargs
        and node.dyn_args is node.dyn_kwargs is None
        and len(node.args) <= (node.name in DEFAULTING)
        and all(isinstance(argument, nodes.Const) for argument in node.args)
        and _is_total(node.node)
    )


def _segments(tree: nodes.Template, names: frozenset[str]) -> Segments | None:
    """A plain template as text and fields, where it has nothing but those and their defaults."""
    pattern: list[str] = []
    fields: list[tuple[str, str]] = []
    for output in tree.body:
        for node in output.iter_child_nodes():
            default = ""
            name: nodes.Node | None = node
            if isinstance(node, nodes.Filter) and node.name in DEFAULTING:
                name, value = node.node, (node.args[0].as_const() if node.args else "")
                if not isinstance(value, str):
                    return None
                default = value
            if isinstance(name, nodes.TemplateData):
                pattern.append(name.data.replace("%", "%%"))
            elif isinstance(name, nodes.Name) and name.name in names:
                pattern.append("%s")
                fields.append((name.name, default))
            else:
                return None
    return "".join(pattern), tuple(fields)


def _required(tree: nodes.Template) -> frozenset[str]:
    """The names without which a plain template fails: all but those with a `default` directly behind."""
    names: set[str] = set()
    for output in tree.body:
        for expression in output.iter_child_nodes():
            node: nodes.Node | None = expression
            defaulted = False
            while isinstance(node, nodes.Filter):
                defaulted = node.name in DEFAULTING
                node = node.node
            if isinstance(node, nodes.Name) and not defaulted:
                names.add(node.name)
    return frozenset(names)
