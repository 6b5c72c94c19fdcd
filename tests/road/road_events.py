"""Holds the events of `run --json` to what `schema --events` says of them, by the few words it is written in.

Also in the other direction: what is printed is in the schema, though that allows more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from bulkmail.campaign.schema import events_schema

SCHEMA = events_schema()
FORMS = {form["properties"]["event"]["const"]: form for form in SCHEMA["oneOf"]}
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def complaints(event: Mapping[str, Any]) -> list[str]:
    """What is wrong with an event."""
    form = FORMS.get(event["event"])
    return [f"no event {event['event']}"] if form is None else list(_check(event, form, str(event["event"])))


def _check(value: Any, form: Mapping[str, Any], where: str) -> Iterator[str]:
    known = {"type", "const", "enum", "minimum", "format", "properties", "required", "description", "$ref"}
    known |= {"items"}
    assert form.keys() <= known, f"{where}: a word that is not understood here: {form.keys() - known}"
    if "$ref" in form:
        form = SCHEMA["$defs"][form["$ref"].rpartition("/")[2]]
    if "const" in form and value != form["const"]:
        yield f"{where} is {value!r}"
    if "enum" in form and value not in form["enum"]:
        yield f"{where} is {value!r}"
    if "type" in form:
        names = [form["type"]] if isinstance(form["type"], str) else form["type"]
        allowed = tuple(kind for name in names for kind in TYPES[name])
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            yield f"{where} is {value!r}"
            return
    if "minimum" in form and value < form["minimum"]:
        yield f"{where} is {value!r}"
    if form.get("format") == "date-time" and datetime.fromisoformat(value).tzinfo is None:
        yield f"{where} has no offset: {value}"
    if "items" in form:
        for part in value:
            yield from _check(part, form["items"], f"{where}[]")
    if "properties" in form:
        yield from (f"{where} lacks {name}" for name in form["required"] if name not in value)
        for name, part in value.items():
            if name in form["properties"]:
                yield from _check(part, form["properties"][name], f"{where}.{name}")
            else:
                yield f"{where}.{name} is in no schema"
