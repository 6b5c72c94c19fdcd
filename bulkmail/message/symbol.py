"""A value that is not known yet: which field of the row it will be, and what is done to it.

A template rendered with symbols in place of a row's fields shows whether its control flow depends on the
row. A symbol may be printed and passed through simple filters. Whatever else is asked of it (is it empty?
longer than ten letters? equal to another?) has no answer yet: it raises NeedsRow, and the template is
rendered for each row instead. So nothing is guessed from the look of an expression.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, NoReturn, cast

import jinja2

from bulkmail.message.template import DEFAULTING, TOTAL_FILTERS, finalize

Call = Callable[[Any], Any]

ESCAPING = frozenset({"e", "escape"})
# Filters that may be put off until the value is there. They need no environment and give no markup.
PATIENT = TOTAL_FILTERS | {"int", "float", "round", "abs", "string", "center", "wordcount", "length", "count"}


class NeedsRow(Exception):
    """The template asks for more than the name of a value."""


@dataclass(frozen=True, slots=True)
class Slot:
    """What will stand for a symbol: the row's field `name`, passed through `calls`.

    `defaulted`: the first of them stands in for a missing field. `total`: no text makes any of them fail.
    """

    name: str
    calls: tuple[Call, ...] = ()
    defaulted: bool = False
    total: bool = True

    def text(self, values: Mapping[str, object], *, lenient: bool) -> str:
        """What is printed. Raises KeyError where the field is missing, and whatever a filter raises."""
        value = values.get(self.name)
        if type(value) is str and not self.calls:
            return value
        if self.name not in values:
            if not lenient and not self.defaulted:
                raise KeyError(self.name)
            value = jinja2.Undefined(name=self.name)
        for call in self.calls:
            value = call(value)
        return str(finalize(value))


class Symbol:
    """A slot as a template sees it. What it holds has no name that a template may use."""

    __slots__ = ("_slot",)

    def __init__(self, slot: Slot) -> None:
        self._slot = slot

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise NeedsRow

    def __getattr__(self, name: str) -> NoReturn:
        raise NeedsRow


def slot_of(symbol: Symbol) -> Slot:
    return symbol._slot


_OPERATORS = """
    str repr bytes format html hash bool len iter next reversed contains getitem call int float index complex
    eq ne lt le gt ge add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod pow rpow and
    rand or ror xor rxor lshift rlshift rshift rrshift matmul rmatmul neg pos abs invert round trunc floor
    ceil fspath await enter exit
"""
for _operator in _OPERATORS.split():
    setattr(Symbol, f"__{_operator}__", Symbol._refuse)


def _holds_symbol(value: object, depth: int = 0) -> bool:
    if isinstance(value, Symbol):
        return True
    if depth > 3 or not isinstance(value, (list, tuple, dict, set)):
        return False
    return any(
        _holds_symbol(each, depth + 1) for each in (value.values() if isinstance(value, dict) else value)
    )


def _patient(name: str, function: Callable[..., Any], *, html: bool) -> Callable[..., Any]:
    """The filter, put off for a symbol; refused where another argument is one, or it cannot be put off."""
    passes = hasattr(function, "jinja_pass_arg")

    @wraps(function)
    def filter_(*args: Any, **kwargs: Any) -> Any:
        value, rest = (args[1], args[2:]) if passes else (args[0], args[1:])
        if not isinstance(value, Symbol):
            if _holds_symbol(args) or _holds_symbol(kwargs):
                raise NeedsRow
            return function(*args, **kwargs)
        if name not in PATIENT or passes or _holds_symbol(rest) or _holds_symbol(kwargs):
            raise NeedsRow
        if name in ESCAPING and html:
            raise NeedsRow  # what it gives is markup; where it is the last filter, `marks` has taken it off

        def call(text: Any) -> Any:
            done = function(text, *rest, **kwargs)
            return str(done) if name in ESCAPING else done

        slot = slot_of(value)
        defaulted = slot.defaulted or (not slot.calls and name in DEFAULTING)
        return Symbol(Slot(slot.name, (*slot.calls, call), defaulted, slot.total and name in TOTAL_FILTERS))

    return filter_


def _refusing(function: Callable[..., Any]) -> Callable[..., Any]:
    """A test, which may not be asked about a symbol: `is none` would answer by its Python type."""

    @wraps(function)
    def test(*args: Any, **kwargs: Any) -> Any:
        if any(_holds_symbol(each) for each in args):
            raise NeedsRow
        return function(*args, **kwargs)

    return test


def symbolic(environment: jinja2.Environment) -> jinja2.Environment:
    """The environment, for values that are not known yet."""
    overlay = environment.overlay()
    overlay.filters = {
        name: _patient(name, function, html=bool(environment.autoescape))
        for name, function in environment.filters.items()
    }
    overlay.tests = {
        name: _refusing(cast("Callable[..., Any]", function)) for name, function in environment.tests.items()
    }
    return overlay
