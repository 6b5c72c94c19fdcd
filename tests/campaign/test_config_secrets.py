"""Passwords and DSNs of a campaign: where they come from, what they raise, and that nobody sees them."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaign_file import SMALL, load, problems

from bulkmail.campaign import config
from bulkmail.campaign.config import SqlSource
from bulkmail.errors import ConfigError


@pytest.mark.parametrize(
    ("via", "tls", "expected"),
    [
        ("smtp://ann@relay.example", "", "verified"),
        ("smtps://ann@relay.example", "", "verified"),
        ("smtps://relay.example", "", "required"),
        ("smtp://relay.example", "", "opportunistic"),
        ("smtp://ann@relay.example", ", tls: required", "required"),
        ("mx", "", "opportunistic"),
    ],
)
def test_credentials_raise_the_default_of_tls(tmp_path: Path, via: str, tls: str, expected: str) -> None:
    password = ", password: { env: P }" if "@" in via else ""
    text = SMALL.replace("{ via: sandbox }", f"{{ via: '{via}'{password}{tls} }}")
    assert load(tmp_path, text, {"P": "x"}).delivery.tls == expected


def test_only_the_user_lets_a_password_travel_unverified(tmp_path: Path) -> None:
    text = SMALL.replace("{ via: sandbox }", "{ via: 'smtp://ann@relay.example', password: { env: P } }")
    lowered = text.replace("env: P }", "env: P }, tls: opportunistic")
    verified, unverified = load(tmp_path, text, {"P": "x"}), load(tmp_path, lowered, {"P": "x"})
    assert (verified.delivery.insecure_auth, unverified.delivery.insecure_auth) == (False, True)


def test_a_secret_is_read_and_never_shown(tmp_path: Path) -> None:
    """P4."""
    (tmp_path / "word").write_text("hunter3\n")
    relay = SMALL.replace("{ via: sandbox }", "{ via: 'smtp://ann@relay.example', password: SECRET }")
    by_env = load(tmp_path, relay.replace("SECRET", "{ env: WORD }"), {"WORD": "hunter2"})
    by_file = load(tmp_path, relay.replace("SECRET", "{ file: word }"))
    assert by_env.delivery.password is not None
    assert by_file.delivery.password is not None
    assert (by_env.delivery.password.reveal(), by_file.delivery.password.reveal()) == ("hunter2", "hunter3")
    shown = f"{by_env!r} {by_env} {by_env.delivery.password} {by_file!r} {by_file.delivery.password!r}"
    assert "hunter" not in shown


@pytest.mark.parametrize(
    "delivery",
    [
        "via: 'smtp://ann:hunter2@relay.example'",
        "via: 'smtp://ann:hunt@er2@relay.example'",
        "via: 'smpt://ann:hunter2@relay.example'",
        "via: 'ann:hunter2@relay.example'",
        "via: 'smtp://ann@relay.example', password: hunter2",
        "via: 'smtp://ann@relay.example', password: '${WORD}'",
        "via: 'smtp://ann@relay.example', password: { value: hunter2 }",
        "via: 'smtp://ann@relay.example', password: [hunter2]",
        "via: 'smtp://ann@relay.example', password: { env: [hunter2] }",
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path: Path, delivery: str) -> None:
    """P4."""
    text = SMALL.replace("{ via: sandbox }", f"{{ {delivery} }}")
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, text, {"WORD": "hunter2"})
    told = f"{refused.value!r} {refused.value} {refused.value.__cause__!r}"
    assert ("hunt" in told, "er2" in told, len(refused.value.problems)) == (False, False, 1)


def test_a_password_that_is_not_there_stops_only_those_who_need_it(tmp_path: Path) -> None:
    relay = SMALL.replace("{ via: sandbox }", "{ via: 'smtp://ann@relay.example', password: { env: P } }")
    found = problems(tmp_path, relay)
    looked = config.load(tmp_path / "campaign.yaml", environ={}, secrets=False)
    assert found == ["7:56: delivery.password: the environment variable P is not set"]
    assert looked.delivery.password is not None
    with pytest.raises(ConfigError, match="P is not set"):
        looked.delivery.password.reveal()


def test_a_query_is_a_source_whose_dsn_is_a_secret(tmp_path: Path) -> None:
    text = SMALL.replace("people.csv", "{ source: { sql: SELECT 1, dsn: { env: DSN } } }")
    source = load(tmp_path, text, {"DSN": "postgresql://x"}).recipients.source
    assert isinstance(source, SqlSource)
    assert (source.sql, source.dsn.reveal()) == ("SELECT 1", "postgresql://x")
