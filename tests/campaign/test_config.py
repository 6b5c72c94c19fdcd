"""A campaign file becomes a Campaign: forms, defaults, merging, routes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from campaign_file import SMALL, load
from pydantic import ValidationError

from bulkmail.campaign import config
from bulkmail.campaign.config import Rate, Via
from bulkmail.errors import ConfigError

COMPLETE = """\
campaign: weekly-2026-w48
kind: announcement
from: "Acme News <news@mail.acme.example>"
to: "{{ first_name }} <{{ email }}>"
reply_to: hello@acme.example
subject: "{{ first_name | default('Hello') }}, your week at Acme"
headers: { X-Team: growth }
recipients:
  source: subscribers-*.csv
  columns: { email: email_addr, first_name: fname }
  where: "country <> 'XX' AND opted_in = 'yes'"
  dedupe: none
  exclude: [already-bought.csv]
  seeds: [qa@acme.example]
  limit: 100000
content:
  template: weekly.html
  text: weekly.txt
  data: issue-48.yaml
  on_missing: skip
delivery:
  via: mx
  ehlo: out1.acme.example
  reverse_path: "bounces@mail.acme.example"
  tls: required
  transaction: individual
  on_doubt: resend
  retry: { first: 10m, factor: 1.5, max: 2h, give_up: 24h }
  time_limits: { connect: 10s, greeting: 1m, end_of_data: 20m }
  resolvers: ["127.0.0.1:5300", "[::1]:53"]
  port: 2525
  allow_private: true
shaping:
  default: { connections: 5, message_rate: 2000/day, recipients_per_transaction: 50 }
safety: { confirm_above: 10, max_recipients: 250000 }
report_to: ops@acme.example
log: accounting.jsonl
state: state
"""


def test_a_small_file_gets_every_default(tmp_path: Path) -> None:
    campaign = load(tmp_path)
    delivery, shaping = campaign.delivery, campaign.shaping.default
    assert (
        campaign.kind,
        campaign.recipients.source,
        campaign.content.template,
        campaign.content.text,
        campaign.state,
        delivery.via,
        delivery.reverse_path,
        delivery.tls,
        delivery.retry.give_up,
        delivery.time_limits.end_of_data,
        shaping.message_rate,
        campaign.safety.confirm_above,
        campaign.log,
        campaign.warnings,
    ) == (
        "announcement",
        str(tmp_path / "people.csv"),
        tmp_path / "hello.md",
        "auto",
        tmp_path / ".bulkmail",
        Via("sandbox"),
        "news@acme.example",
        "opportunistic",
        172_800.0,
        600.0,
        Rate(100, 1),
        0,
        None,
        (),
    )


def test_a_complete_file_means_what_it_says(tmp_path: Path) -> None:
    campaign = load(tmp_path, COMPLETE)
    recipients, delivery = campaign.recipients, campaign.delivery
    assert (
        campaign.from_,
        campaign.headers,
        recipients.source,
        recipients.columns,
        recipients.exclude,
        recipients.seeds,
        recipients.limit,
        campaign.content.text,
        delivery.reverse_path,
        delivery.retry.factor,
        delivery.time_limits.greeting,
        delivery.resolvers,
        delivery.allow_private,
        campaign.shaping.default.message_rate,
        campaign.shaping.default.connections,
        campaign.log,
        campaign.state,
    ) == (
        "Acme News <news@mail.acme.example>",
        {"X-Team": "growth"},
        str(tmp_path / "subscribers-*.csv"),
        {"email": "email_addr", "first_name": "fname"},
        (tmp_path / "already-bought.csv",),
        ("qa@acme.example",),
        100_000,
        tmp_path / "weekly.txt",
        "bounces@mail.acme.example",
        1.5,
        60.0,
        (("127.0.0.1", 5300), ("::1", 53)),
        True,
        Rate(2000, 86_400),
        5,
        tmp_path / "accounting.jsonl",
        tmp_path / "state",
    )


def test_text_that_looks_like_something_else_stays_text(tmp_path: Path) -> None:
    text = (
        SMALL.replace("hello\n", "2026\n", 1).replace('"Hello"', "12:30")
        + "headers: { X-Country: no, X-N: 007 }"
    )
    campaign = load(tmp_path, text)
    assert (campaign.campaign, campaign.subject, campaign.headers) == (
        "2026",
        "12:30",
        {"X-Country": "no", "X-N": "007"},
    )


def test_a_campaign_cannot_be_changed(tmp_path: Path) -> None:
    campaign = load(tmp_path)
    with pytest.raises(ValidationError):
        campaign.subject = "Bye"  # type: ignore[misc]


def test_defaults_lie_beneath_and_their_paths_start_from_their_own_folder(tmp_path: Path) -> None:
    (tmp_path / "bulkmail.yaml").write_text(
        "from: all@acme.example\n"
        "recipients: { source: everybody.csv, exclude: [gone.csv], columns: { email: mail, name: n } }\n"
        "delivery: { via: mx, retry: { first: 1m, max: 1h } }\n"
        "log: all.jsonl\n"
    )
    folder = tmp_path / "autumn" / "week"
    folder.mkdir(parents=True)
    campaign = load(
        folder,
        "campaign: w\nsubject: S\ncontent: a.txt\n"
        "recipients: { exclude: [], columns: { name: full } }\ndelivery: { retry: { max: 2h } }\n",
    )
    assert (
        campaign.from_,
        campaign.recipients.source,
        campaign.recipients.exclude,
        campaign.recipients.columns,
        campaign.delivery.retry.first,
        campaign.delivery.retry.max,
        campaign.log,
        campaign.content.template,
        campaign.state,
    ) == (
        "all@acme.example",
        str(tmp_path / "everybody.csv"),
        (),
        {"email": "mail", "name": "full"},
        60.0,
        7200.0,
        tmp_path / "all.jsonl",
        folder / "a.txt",
        tmp_path / ".bulkmail",
    )


def test_an_error_in_the_defaults_points_to_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "bulkmail.yaml").write_text("delivery:\n  retri: { first: 1m }\n  tls: maybe\n")
    (tmp_path / "sub").mkdir()
    with pytest.raises(ConfigError) as refused:
        load(tmp_path / "sub")
    assert [(Path(p.file).name, p.line, p.column, p.where) for p in refused.value.problems] == [
        ("bulkmail.yaml", 2, 3, "delivery.retri"),
        ("bulkmail.yaml", 3, 8, "delivery.tls"),
    ]


def test_the_nearest_defaults_are_the_only_ones(tmp_path: Path) -> None:
    (tmp_path / "bulkmail.yaml").write_text("report_to: far@acme.example\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "bulkmail.yaml").write_text("log: near.jsonl\n")
    campaign = load(tmp_path / "sub")
    assert (campaign.report_to, campaign.log) == (None, tmp_path / "sub" / "near.jsonl")


def test_the_project_store_is_where_neighbours_find_it(tmp_path: Path) -> None:
    (tmp_path / "bulkmail.yaml").write_text("state: common\n")
    (tmp_path / "sub").mkdir()
    campaign = load(tmp_path / "sub", SMALL + "state: own\n")
    assert (
        campaign.state,
        campaign.project_state,
        config.project_state(tmp_path / "sub", environ={}),
        config.project_state(tmp_path / "sub" / "campaign.yaml", environ={}),
    ) == (tmp_path / "sub" / "own", *[tmp_path / "common"] * 3)


def test_without_defaults_the_project_store_is_beside_the_campaign(tmp_path: Path) -> None:
    campaign = load(tmp_path, SMALL + "state: own\n")
    assert (campaign.project_state, config.project_state(tmp_path, environ={})) == (
        tmp_path / ".bulkmail",
    ) * 2


def test_paths_do_not_depend_on_where_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(tmp_path)
    monkeypatch.chdir(tmp_path.parent)
    near = config.load(Path(tmp_path.name) / "campaign.yaml", environ={})
    monkeypatch.chdir(os.sep)
    far = config.load(tmp_path / "campaign.yaml", environ={})
    assert (near.content, near.recipients, near.state) == (far.content, far.recipients, far.state)


def test_via_on_the_command_line_replaces_the_one_in_the_file(tmp_path: Path) -> None:
    relay = SMALL.replace("via: sandbox", "via: smtp://ann@relay.example, password: { env: NONE }")
    campaign = load(tmp_path, relay, via="sandbox")
    assert (campaign.delivery.via, campaign.delivery.tls) == (Via("sandbox"), "opportunistic")


def test_via_on_the_command_line_is_complained_of_as_such(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, via="snadbox")
    assert str(refused.value).startswith("--via: delivery.via: 'snadbox' is no way out: write sandbox")


def test_standard_input_is_a_source(tmp_path: Path) -> None:
    assert load(tmp_path, SMALL.replace("people.csv", '"-"')).recipients.source == "-"


def test_files_that_are_not_there_are_named_where_they_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "hello.md").write_text("Hello")
    campaign = load(tmp_path, SMALL.replace("people.csv", "{ source: people.csv, exclude: [a.csv, b.csv] }"))
    (tmp_path / "a.csv").write_text("email\n")
    assert [(p.line, p.where) for p in config.missing_files(campaign)] == [
        (5, "recipients.source"),
        (5, "recipients.exclude[1]"),
    ]


@pytest.mark.parametrize(
    ("subject", "text", "cut"),
    [
        ("Hello # 1", "Hello", "# 1"),
        ('"Hello # 1"', "Hello # 1", ""),
        ('"Hello" # greeting', "Hello", ""),
        ("C#", "C#", ""),
    ],
)
def test_a_subject_cut_short_is_warned_of(tmp_path: Path, subject: str, text: str, cut: str) -> None:
    campaign = load(tmp_path, SMALL.replace('"Hello"', subject))
    places = [(p.line, p.column, p.where, cut in p.text) for p in campaign.warnings]
    assert (campaign.subject, places) == (text, [(4, 10, "subject", True)] if cut else [])
