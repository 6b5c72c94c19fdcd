"""I12: what is wrong with a campaign file is said at once, in place, with what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkmail.campaign import config
from bulkmail.errors import ConfigError

SMALL = """\
campaign: hello
from: news@acme.example
subject: Hello
recipients: people.csv
content: hello.md
delivery:
  via: sandbox
"""


def complaints(folder: Path, text: str) -> list[str]:
    """`line:column: key: text` of every problem."""
    file = folder / "campaign.yaml"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as refused:
        config.load(file, environ={})
    return [str(problem).removeprefix(f"{file}:").lstrip() for problem in refused.value.problems]


def test_every_error_comes_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    """I12."""
    text = """\
from: Acme News
subject: #1 in news
colour: red
recipients: { source: a.csv, limit: ten, seeds: [a@b.example, nobody] }
content: { template: a.doc, on_mising: fail }
via: sandbox
delivery:
  tls: optimistic
  retry: { first: 5, max: soon }
  allow_private: no
  resolvers: 127.0.0.1
shaping: { default: { message_rate: 100 } }
"""
    assert complaints(tmp_path, text) == [
        "1:1: campaign: is missing: write a name, which is the identity of this mailing",
        "1:7: from: no @ in the address",
        "2:9: subject: a single value is wanted here, not nothing; "
        "what follows a # is a comment: put it in quotes if it is meant as text",
        "3:1: colour: unknown key; known here: campaign, content, delivery, from, headers, kind, list, "
        "log, preheader, recipients, reply_to, report_to, safety, schedule, shaping, state, subject, to, "
        "unsubscribe",
        "4:37: recipients.limit: 'ten' is not a whole number",
        "4:63: recipients.seeds[1]: no @ in the address",
        "5:22: content.template: 'a.doc' is no template: its name ends in .mjml, .html, .md or .txt",
        "5:29: content.on_mising: unknown key; did you mean on_missing?",
        "6:1: via: unknown key here; did you mean delivery.via?",
        "7:1: delivery.via: is missing, and has no default: write sandbox (a rehearsal, nothing leaves this "
        "machine), mx (straight to the recipients' mail exchangers), smtp://USER@HOST:587 or "
        "smtps://USER@HOST:465 (a relay)",
        "8:8: delivery.tls: 'optimistic' is none of none, opportunistic, required, verified: "
        "did you mean opportunistic?",
        "9:19: delivery.retry.first: 5 has no unit: write 5s, 5m, 5h or 5d",
        "9:27: delivery.retry.max: 'soon' is not a duration: write it as 30s, 5m, 4h or 2d",
        "10:18: delivery.allow_private: 'no' is neither true nor false",
        "11:14: delivery.resolvers: a list is wanted here: [one, another]",
        "12:37: shaping.default.message_rate: 100 has no unit: write 100/s, 100/min or 100/day",
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("schedule: { at: x }", "8:1: schedule: not built yet in this version: remove it"),
        (
            "safety: { pause_if: { bounced: 3%, complaints: 1% } }",
            "8:36: safety.pause_if.complaints: not built yet in this version: remove it",
        ),
    ],
)
def test_a_key_that_is_not_built_yet_is_refused_as_such(tmp_path: Path, line: str, problem: str) -> None:
    assert complaints(tmp_path, SMALL + line) == [problem]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("Log: x", "8:1: Log: unknown key; did you mean log?"),
        ("  vai: mx", "8:3: delivery.vai: unknown key; did you mean via?"),
        ("retry: {}", "8:1: retry: unknown key here; did you mean delivery.retry?"),
        ("  retry: { frist: 5m }", "8:12: delivery.retry.frist: unknown key; did you mean first?"),
        ("kind: transactoinal", "8:7: kind: 'transactoinal' is none of marketing, announcement,"),
        ("headers: { Subject: x }", "8:12: headers.Subject: 'Subject': bulkmail or"),
        ('headers: { X-A: "a\\nb" }', "8:17: headers.X-A: must be one line"),
        ("headers: [x]", "8:10: headers: a mapping is wanted here (key: value)"),
        ("report_to: '{{ email }}'", "8:12: report_to: this is the same for everybody: no {{ fields }} here"),
        ("safety: 5", "8:9: safety: a mapping is wanted here (key: value)"),
        ("safety: { confirm_above: -1 }", "8:26: safety.confirm_above: -1 is too small: at least 0"),
        ("  workers: 0", "8:12: delivery.workers: 0 is too small: at least 1, or auto"),
        ("  workers: all", "8:12: delivery.workers: 'all' is not a whole number, or auto"),
        ("  port: 70000", "8:9: delivery.port: '70000' is not a port: 1 to 65535"),
        ("  ehlo: a b", "8:9: delivery.ehlo:"),
        ("shaping: { warmup: { start: 5/day } }", "8:12: shaping.warmup.until: is missing: write the quota"),
        (
            "shaping: { warmup: { start: 5/day, until: 4/day } }",
            "8:43: shaping.warmup.until: is less than start: no source would have a quota",
        ),
        (
            "shaping: { warmup: { start: 5/day, until: 9/day, growth: 1 } }",
            "8:58: shaping.warmup.growth: is 1: the quota would never reach until",
        ),
        (
            "shaping: { warmup: { start: 5/day, until: 9/day, overflow: warm } }",
            "8:60: shaping.warmup.overflow: is warm, and no source is said to be: write warm: true",
        ),
        ("  sources: 192.0.2.1", "8:12: delivery.sources: a list is wanted here: [one, another]"),
        ("  sources: [out.acme.example]", "8:13: delivery.sources[0]: 'out.acme.example' is no IP address:"),
        ("  sources: ['::']", "8:13: delivery.sources[0]: mail cannot leave from ::"),
        ("  sources: [{ ehlo: x.y }]", "8:13: delivery.sources[0].address: is missing: write an IP"),
        (
            "  sources: [{ address: 192.0.2.1, ehol: x.y }]",
            "8:35: delivery.sources[0].ehol: unknown key; did you mean ehlo?",
        ),
        (
            "  sources: [{ address: 192.0.2.1, weight: 1001 }]",
            "8:43: delivery.sources[0].weight: 1001 is too much: at most 1000",
        ),
        (
            "  sources: [192.0.2.1, { address: 192.0.2.1 }]",
            "8:24: delivery.sources[1]: 192.0.2.1 is here twice: write weight: 2",
        ),
        ("  resolvers: [dns.example]", "8:15: delivery.resolvers[0]: 'dns.example' is no IP"),
        ("  retry: { first: 2h, max: 1h }", "8:28: delivery.retry.max: is shorter than retry.first"),
        ("shaping: { default: { connections: 0 } }", "8:36: shaping.default.connections: 0 is too small"),
        ("shaping: { default: { message_rate: 0/s } }", "8:37: shaping.default.message_rate: a rate of"),
    ],
)  # fmt: skip
def test_a_mistake_is_explained_where_it_stands(tmp_path: Path, line: str, problem: str) -> None:
    """I12."""
    found = complaints(tmp_path, SMALL + line)
    assert len(found) == 1
    assert found[0].startswith(problem)


@pytest.mark.parametrize(
    ("delivery", "problem"),
    [
        ("via: 'smtp://ann@relay.example'", "a user needs a password: write delivery.password:"),
        ("via: 'smtps://relay.example', tls: none", "smtps:// is TLS from the first octet"),
        ("via: 'smtp://relay.example', password: { file: none }", "a password without a user"),
        ("via: 'smtp://'", "a relay is written smtp://HOST:PORT or smtp://USER@HOST:PORT"),
        ("via: 'smtp://relay.example:0'", "'0' is not a port"),
        ("via: 'smtp://relay.example/path'", "a relay is written"),
        ("via: sendmail", "'sendmail' is no way out: write sandbox"),
        ("via: ", "a single value is wanted here, not nothing"),
    ],
)
def test_a_route_that_leads_nowhere_is_refused(tmp_path: Path, delivery: str, problem: str) -> None:
    found = complaints(tmp_path, SMALL.replace("delivery:\n  via: sandbox", f"delivery: {{ {delivery} }}"))
    assert len(found) == 1
    assert problem in found[0]


@pytest.mark.parametrize(
    "name", ["../up", "a/b", ".hidden", "a b", "", "x" * 101, "hello.sandbox", "-x", "é"]
)
def test_a_name_that_cannot_name_files_is_refused(tmp_path: Path, name: str) -> None:
    found = complaints(tmp_path, SMALL.replace("campaign: hello", f"campaign: '{name}'"))
    assert [problem.split(": ")[:2] for problem in found] == [["1:11", "campaign"]]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        config.load(tmp_path / "none.yaml", environ={})
    assert str(refused.value) == f"{tmp_path / 'none.yaml'}: no such file"


@pytest.mark.parametrize("text", ["", "# only a comment\n", "- a list\n", "text\n"])
def test_a_file_without_keys_is_refused(tmp_path: Path, text: str) -> None:
    assert complaints(tmp_path, text) != []


LINES = [
    "campaign", "from", "subject", "recipients", "content", "delivery", "shaping", "safety", "headers", "log",
    "kind", "list", "unsubscribe", "preheader", "to",
]  # fmt: skip
VALUES = st.sampled_from(
    [
        "",
        "x",
        "[]",
        "{}",
        "{ via: mx }",
        "[a, {b: c}]",
        "a@b.example",
        "{ source: {} }",
        "{ id: x, postal_address: [] }",
        "{ url: 'https://[', mailto: x, secret: { env: } }",
        "{ template: a.md, attachments: [{}, x, [], { file: }], images: }",
        "{ via: sandbox, reverse_path: '{{ token }}', dkim: [x, {}, { key: {} }] }",
        "marketing",
        "{ default: x }",
        "5",
        "'{{'",
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(LINES), VALUES))
def test_whatever_stands_in_the_file_it_is_a_campaign_or_problems(
    tmp_path: Path, keys: dict[str, str]
) -> None:
    """I12: never a traceback."""
    file = tmp_path / "campaign.yaml"
    file.write_text("".join(f"{key}: {value}\n" for key, value in keys.items()))
    try:
        outcome = config.load(file, environ={}).campaign
    except ConfigError as error:
        outcome = str(error.problems[0])
    assert outcome
