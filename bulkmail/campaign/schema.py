"""JSON Schema (2020-12) of the campaign file, for editors, and of the events of `run --json`, for scripts.

The campaign's comes from the models, so it cannot drift from what is accepted. No section's key is
required in it: any may stand in `bulkmail.yaml` instead, and the same schema serves that file.
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
# Sections that are one value, as the items of a list are: nothing of them can stand in bulkmail.yaml alone.
WHOLE = ("SqlSource", "AttachmentFile", "Dkim", "SourceSection")
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
        if model.get("title") not in WHOLE:
            model.pop("required", None)
        model.pop("title", None)
        for field in model.get("properties", {}).values():
            field.pop("title", None)
            if field.get("default", ...) in (None, ""):
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
    used = {"transactions": _NUMBER, "connections": _NUMBER}
    text = {"type": "string"}
    events = [
        _event(
            "planned",
            {"totals": totals, "resumed": {"type": "boolean"}},
            "the list was read; resumed: in an earlier run, and something may have been sent since",
        ),
        _event("started", {"totals": totals, "via": text}, "the first transaction is next"),
        _event(
            "progress",
            {
                "totals": totals,
                "sites": _NUMBER,
                **used,
                "next_due": {"type": ["number", "null"], "description": "UTC epoch seconds"},
            },
            "every second",
        ),
        _event(
            "site",
            {"site": text, "reason": text, "held_s": {"type": "number", "minimum": 0}},
            "the hosts behind some domains are left alone for so many seconds",
        ),
        _event(
            "paused",
            {
                "by": {"enum": ["operator", "safety", "seeds"]},
                "reason": {"type": "string", "description": "of a safety rule; empty for the operator"},
                "evidence": {"type": "array", "items": text},
            },
            "no new transaction begins; the run waits if the operator said so, else it ends",
        ),
        _event(
            "stopping",
            {"signal": {"type": ["string", "null"], "description": "null: the time of --until is over"}},
            "no new transaction begins; open ones are finished",
        ),
        _event("resumed", {}, "transactions begin again"),
        _event("cancelled", {}, "no new transaction begins; whoever is left is cancelled"),
        _event(
            "reloaded",
            {
                "taken": {"type": "array", "items": text, "description": "keys that hold from now on"},
                "next_run": {"type": "array", "items": text, "description": "keys that wait for another run"},
            },
            "SIGHUP: the campaign file was read again",
        ),
        _event("warning", {"text": text}, "what is likely to do harm, and does not stop the run"),
        _event(
            "reported",
            {
                "to": text,
                "disposition": {"enum": ["delivered", "bounced", "deferred", "in_doubt"]},
                "reply": text,
            },
            "the report to report_to was sent, or not: deferred is for the next run",
        ),
        _event(
            "finished",
            {
                "totals": totals,
                **used,
                "seconds": {"type": "number", "minimum": 0},
                "latency_ms": {
                    "type": "object",
                    "description": "from the end of data to its reply, of half, 95% and 99% of messages",
                    "properties": {name: {"type": ["number", "null"]} for name in ("p50", "p95", "p99")},
                    "required": ["p50", "p95", "p99"],
                },
                "undelivered": {
                    "type": "array",
                    "description": "of who is deferred, bounced or expired: the three most frequent classes",
                    "items": {
                        "type": "object",
                        "properties": {"class": text, "recipients": _NUMBER, "reply": text},
                        "required": ["class", "recipients", "reply"],
                    },
                },
                "exit": {"enum": list(EXIT_CODES)},
            },
            "the last line",
        ),
        _event(
            "stopped",
            {"reason": text, "exit": {"enum": list(EXIT_CODES)}},
            "the last line instead, where the run was broken off: the journal, the relay or a file refused",
        ),
        _event(
            "dry_run",
            {
                "totals": totals,
                "recipients": _NUMBER,
                "transactions": _NUMBER,
                "messages": {**_NUMBER, "description": "that differ, each rendered and signed"},
                "signed": {"type": "boolean"},
                "octets": {
                    "type": "object",
                    "description": "total: of all transactions; median and largest: of a recipient's message",
                    "properties": dict.fromkeys(("total", "median", "largest"), _NUMBER),
                    "required": ["total", "median", "largest"],
                },
                "largest_for": text,
                "seconds": {"type": "number", "minimum": 0},
                "rate": {"type": "number", "minimum": 0, "description": "messages rendered in a second"},
                "problems": {"type": "array", "items": text, "description": "the first fifty"},
                "problem_count": _NUMBER,
                "exit": {"enum": list(EXIT_CODES)},
            },
            "the only line of run --dry-run; all is 0 where nothing could be planned",
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
