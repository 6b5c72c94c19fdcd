"""What every section of the campaign file is made of: a frozen model, keys with and without defaults."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        hide_input_in_errors=True,  # an input may be a secret in the wrong place
        defer_build=True,  # a section is built once, as a part of the campaign
    )


def default(value: object, description: str, *, alias: str | None = None, validate: bool = True) -> Any:
    """A key that may be left out; `value` is parsed like what a file holds."""
    options: dict[str, Any] = {"validate_default": validate}
    return Field(default=value, description=description, alias=alias, **options)


def needed(description: str, *, alias: str | None = None) -> Any:
    """A key that has no default."""
    return Field(description=description, alias=alias)
