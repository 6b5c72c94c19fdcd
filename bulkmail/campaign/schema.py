"""JSON Schema (2020-12) of the campaign file, for editors, and of the events of `run --json`, for scripts.

The campaign's comes from the models, so it cannot drift from what is accepted. No key is required in it: any
may stand in `bulkmail.yaml` instead, and the same schema serves that file.
"""

from __future__ import annotations

import warnings
from typing import Any

from pydantic.json_schema import PydanticJsonSchemaWarning

from bulkmail.campaign.config_model import SHORT_FORM, Campaign

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# Left out, settled, open, in doubt (INTERFACE.md): `source` is always their sum.
STATES = (
    "invalid",
    "duplicate",
    "filtered",
    "excluded",
    "suppressed",
    "skipped",
    "delivered",
    "bounced",
    "expired",
    "deferred",
    "pending",
    "in_doubt",
    "cancelled",
)
EXIT_CODES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 130)
_NUMBER = {"type": "integer", "minimum": 0}


def campaign_schema() -> dict[str, Any]:
    """What `bulkmail schema` prints."""
    with warnings.catch_warnings():
        # a Mailbox has no JSON form; its default, "the address in from", is in the description
        warnings.simplefilter("ignore", PydanticJsonSchemaWarning)
        schema = Campaign.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    for model in (schema, *definitions.values()):
        if model is not definitions.get("SqlSource"):
            model.pop("required", None)
        model.pop("title", None)
        for field in model.get("properties", {}).values():
            field.pop("title", None)
            if field.get("default", ...) is None:
                del field["default"]
    for section in SHORT_FORM:
        field = schema["properties"][section]
        schema["properties"][section] = {
            "description": field["description"],
            "anyOf": [{"type": "string"}, {"$ref": field["$ref"]}],
        }
    return {"$schema": DIALECT, "title": "bulkmail campaign", **schema}


def events_schema() -> dict[str, Any]:
    """What `bulkmail schema --events` prints: one line of `run --json`. More fields may be added to any."""
    totals = {"$ref": "#/$defs/totals"}
    events = [
        _event("planned", {"totals": totals}, "the list was read and frozen"),
        _event("started", {"totals": totals}, "the first transaction is next"),
        _event("progress", {"totals": totals}, "every second"),
        _event(
            "site", {"site": {"type": "string"}}, "something was learned of the hosts behind some domains"
        ),
        _event("paused", {}, "no new transaction begins"),
        _event(
            "stopping", {"signal": {"type": "string"}}, "no new transaction begins; open ones are finished"
        ),
        _event("resumed", {}, "transactions begin again"),
        _event(
            "reported",
            {"to": {"type": "string"}, "disposition": {"type": "string"}, "reply": {"type": "string"}},
            "the report to report_to was sent, or not",
        ),
        _event(
            "finished",
            {
                "totals": totals,
                "transactions": _NUMBER,
                "connections": _NUMBER,
                "seconds": {"type": "number", "minimum": 0},
                "exit": {"enum": list(EXIT_CODES)},
            },
            "the last line",
        ),
    ]
    return {
        "$schema": DIALECT,
        "title": "one line of bulkmail run --json",
        "oneOf": events,
        "$defs": {
            "totals": {
                "type": "object",
                "description": "recipients by state; source (rows read plus seeds) is their sum",
                "properties": dict.fromkeys(("source", *STATES), _NUMBER),
                "required": ["source", *STATES],
            }
        },
    }


def _event(name: str, fields: dict[str, Any], description: str) -> dict[str, Any]:
    common = {
        "event": {"const": name},
        "at": {"type": "string", "format": "date-time"},
        "campaign": {"type": "string"},
    }
    return {
        "type": "object",
        "description": description,
        "properties": {**common, **fields},
        "required": ["event", *fields],
    }
