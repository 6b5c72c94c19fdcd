"""The types of the campaign file's keys: a parser for what the file holds, a JSON Schema for editors.

Everything in the file is text until a type here says otherwise, so no pydantic coercion is relied on: `no` is
not False, `1e3` is no whole number.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

from bulkmail.campaign import config_mail as mail
from bulkmail.campaign import config_values as values
from bulkmail.campaign import units
from bulkmail.campaign.config_values import Secret
from bulkmail.campaign.units import Rate
from bulkmail.message.header import refuse_name


def typed(parse: Callable[[str], Any], **schema: Any) -> Any:
    """The annotations for a type that `parse` makes of one scalar's text."""

    def validate(value: object) -> Any:
        if isinstance(value, bool | int | float):  # a default: what a file holds is text, lists and mappings
            value = str(value).lower()
        if not isinstance(value, str):
            kind = (
                "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list) else "nothing"
            )
            raise ValueError(f"a single value is wanted here, not {kind}")
        return parse(value)

    return PlainValidator(validate), WithJsonSchema({"type": "string"} | schema)


def one_of(*allowed: str) -> Callable[[str], str]:
    """A parser for one of a few words, which knows near misses."""

    def parse(text: str) -> str:
        if text not in allowed:
            close = get_close_matches(text.lower(), allowed, 1)
            listed = ", ".join(allowed)
            raise ValueError(
                f"{text!r} is none of {listed}" + (f": did you mean {close[0]}?" if close else "")
            )
        return str(text)

    return parse


def choice(*allowed: str) -> Any:
    """The annotations for one of a few words."""
    return typed(one_of(*allowed), enum=list(allowed))


def template(text: str) -> Path:
    suffix = Path(text).suffix.lower()
    if suffix not in (".mjml", ".html", ".htm", ".md", ".txt"):
        raise ValueError(f"{text!r} is no template: its name ends in .mjml, .html, .md or .txt")
    return values.absolute(text)


def text_part(text: str) -> Path | str:
    return str(text) if text in ("auto", "none") else values.absolute(text)


def header_name(text: str) -> str:
    refused = refuse_name(text)
    if refused:
        raise ValueError(f"{text!r}: {refused}")
    return str(text)


def field_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text, re.ASCII):
        raise ValueError(f"{text!r} cannot be used in a template: a field is letters, digits and _")
    return str(text)


def workers(text: str) -> int | Literal["auto"]:
    try:
        return "auto" if text == "auto" else int(values.bounded(1, int, WHOLE)(text))
    except ValueError as error:
        raise ValueError(f"{error}, or auto") from None


def share(text: str) -> float:
    """Above 1, and so above every part, for `never`."""
    try:
        return 2.0 if text == "never" else units.parse_percent(text)
    except ValueError as error:
        raise ValueError(f"{error}, or never") from None


def secret(value: object, info: ValidationInfo) -> Secret:
    return values.parse_secret(value, (info.context or {}).get("environ", {}))


REFERENCE = {
    "type": "object",
    "properties": {
        "env": {"type": "string", "description": "the environment variable that holds it"},
        "file": {"type": "string", "description": "the file that holds it"},
    },
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
}
DURATIONS: dict[str, Any] = {"pattern": units.DURATION_PATTERN, "examples": ["30s", "5m", "4h", "2d"]}
PERCENTS: dict[str, Any] = {"pattern": units.PERCENT_PATTERN, "examples": ["3%", "0.1%"]}
RATES: dict[str, Any] = {"pattern": units.RATE_PATTERN, "examples": ["100/s", "2000/day"]}
WHOLE = "a whole number"

Text = Annotated[str, *typed(str, type=["string", "number"])]
Line = Annotated[str, *typed(mail.one_line, type=["string", "number"])]
Subject = Annotated[str, *typed(mail.subject, type=["string", "number"])]
Name = Annotated[str, *typed(values.campaign_name, type=["string", "number"])]
PathField = Annotated[Path, *typed(values.absolute)]
Flag = Annotated[bool, *typed(values.boolean, type="boolean")]
Count = Annotated[int, *typed(values.bounded(1, int, WHOLE), type="integer", minimum=1)]
Whole = Annotated[int, *typed(values.bounded(0, int, WHOLE), type="integer", minimum=0)]
Port = Annotated[int, *typed(values.port, type="integer", minimum=1, maximum=65535)]
Factor = Annotated[float, *typed(values.bounded(1, float, "a number"), type="number", minimum=1)]
Duration = Annotated[float, *typed(values.positive_duration, **DURATIONS)]
Percent = Annotated[float, *typed(units.parse_percent, **PERCENTS)]
PercentOrNever = Annotated[
    float, *typed(share, pattern=f"{units.PERCENT_PATTERN}|^never$", examples=["50%", "never"])
]
RateField = Annotated[Rate, *typed(units.parse_rate, **RATES)]
SecretField = Annotated[Secret, PlainValidator(secret), WithJsonSchema(REFERENCE)]
AuthorText = Annotated[str, *typed(mail.author_text)]
AuthorTemplate = Annotated[str, *typed(mail.author_template)]
Kind = Annotated[
    Literal["marketing", "announcement", "transactional"],
    *choice("marketing", "announcement", "transactional"),
]
Workers = Annotated[
    int | Literal["auto"], *typed(workers, type=["integer", "string"], examples=["auto", 1, 2])
]
Tls = Literal["none", "opportunistic", "required", "verified"]
