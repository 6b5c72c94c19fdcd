"""The JSON Schema says of a campaign file what the loader says."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bulkmail.campaign.config_errors import known_keys
from bulkmail.campaign.config_model import NOT_BUILT
from bulkmail.campaign.schema import STATES, WHOLE, campaign_schema, events_schema


def at(schema: dict[str, Any], *path: str) -> dict[str, Any]:
    """The schema of the key at `path`, or of its items; references followed."""
    node = schema
    for name in path:
        node = resolved(schema, node)["properties"][name]
    return resolved(schema, node)


def resolved(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    node = node.get("items", node)
    if isinstance(named := node.get("additionalProperties"), dict) and "$ref" in named:
        node = named  # what stands beneath a name that the user gives
    for form in [*node.get("anyOf", []), *node.get("oneOf", [])]:
        if "$ref" in form:
            node = form
    if "$ref" in node:
        return dict(schema["$defs"][node["$ref"].rpartition("/")[2]])
    return node


def test_every_key_that_is_accepted_is_in_the_schema_and_described() -> None:
    schema = campaign_schema()
    built = [tuple(map(str, path)) for path in known_keys() if path not in NOT_BUILT]
    described = [
        "description" in resolved(schema, at(schema, *path[:-1]))["properties"][path[-1]] for path in built
    ]
    assert (len(built) > 50, all(described)) == (True, True)


@pytest.mark.parametrize("path", sorted(NOT_BUILT))
def test_what_is_not_built_is_not_offered(path: tuple[str, ...]) -> None:
    section = at(campaign_schema(), *path[:-1])
    assert (path[-1] in section["properties"], section["additionalProperties"]) == (False, False)


def test_no_key_is_required_because_the_defaults_may_have_it() -> None:
    schema = campaign_schema()
    sections = [schema, *(model for name, model in schema["$defs"].items() if name not in WHOLE)]
    assert [section.get("required") for section in sections] == [None] * len(sections)


def test_the_items_of_a_list_are_whole_and_say_what_they_need() -> None:
    schema = campaign_schema()
    needed = [
        at(schema, *path)["required"]
        for path in [("delivery", "dkim"), ("content", "attachments"), ("recipients", "source")]
    ]
    assert needed == [["domain", "selector", "key"], ["file"], ["sql", "dsn"]]


@pytest.mark.parametrize(
    ("path", "example"),
    [
        ("preheader", "Three things worth your time"),
        ("list.id", "weekly.acme.example"),
        ("list.postal_address", "Acme, 1 Main St, Springfield"),
        ("unsubscribe.url", "https://u.acme.example/"),
        ("unsubscribe.mailto", "unsub@mail.acme.example"),
        ("content.template", "weekly.mjml"),
        ("content.attachments.name", "terms.pdf"),
        ("delivery.reverse_path", "bounces+{{ token }}@mail.acme.example"),
        ("delivery.dkim.selector", "s1"),
    ],
)
def test_an_editor_can_show_an_example(path: str, example: str) -> None:
    assert example in at(campaign_schema(), *path.split("."))["examples"]


def test_an_attachment_is_a_path_or_a_mapping() -> None:
    items = campaign_schema()["$defs"]["Content"]["properties"]["attachments"]["items"]
    assert [form.get("type", form.get("$ref")) for form in items["oneOf"]] == [
        "string",
        "#/$defs/AttachmentFile",
    ]


def test_defaults_are_shown_as_they_are_written() -> None:
    schema = campaign_schema()
    rate = at(schema, "shaping", "default", "message_rate")
    wait = at(schema, "delivery", "retry", "give_up")
    assert (rate["default"], wait["default"], at(schema, "delivery", "port")["default"]) == (
        "100/s",
        "48h",
        25,
    )
    assert re.search(rate["pattern"], "100/s")
    assert re.search(wait["pattern"], "48h")


def test_short_forms_are_allowed() -> None:
    properties = campaign_schema()["properties"]
    assert [properties[name]["anyOf"][0] for name in ("recipients", "content")] == [{"type": "string"}] * 2


def test_the_last_event_is_described_as_scripts_know_it() -> None:
    schema = events_schema()
    events = {event["properties"]["event"]["const"]: event for event in schema["oneOf"]}
    assert set(events) >= {"planned", "started", "progress", "site", "paused", "resumed", "finished"}
    assert events["finished"]["required"] == [
        "event",
        "totals",
        "transactions",
        "connections",
        "seconds",
        "latency_ms",
        "undelivered",
        "exit",
    ]
    assert schema["$defs"]["totals"]["required"] == ["source", *STATES]
