"""How large attachments may be: what hardly any server takes is refused before the first message."""

from __future__ import annotations

import os
import resource
from datetime import UTC, datetime
from pathlib import Path

import pytest
from campaign_file import SMALL, load

from bulkmail.campaign import config
from bulkmail.campaign.attached import MOST, MUCH, attachments
from bulkmail.campaign.compose import compose
from bulkmail.errors import ConfigError

DATE = datetime(2026, 11, 25, tzinfo=UTC)
LINE, ENCODED = 57, 78  # what base64 makes of a file


def text(*files: str) -> str:
    return SMALL.replace(
        "content: hello.md", f"content: {{ template: hello.md, attachments: [{', '.join(files)}] }}"
    )


def sized(folder: Path, **octets: int) -> str:
    """Files of these sizes, of nothing but holes, and a campaign that attaches them."""
    (folder / "hello.md").write_text("Hello\n")
    for name, size in octets.items():
        with (folder / name).open("wb") as file:
            file.truncate(size)
    return text(*octets)


@pytest.mark.parametrize(
    "octets",
    [{"film": 60_000_000}, {"one": 12_000_000, "two": 12_000_000}, {"film": MOST // ENCODED * LINE + 1}],
    ids=["one", "two together", "by one octet"],
)
def test_more_than_servers_take_is_refused_where_the_file_names_them(
    tmp_path: Path, octets: dict[str, int]
) -> None:
    """X10: otherwise everybody bounces, for good."""
    campaign = load(tmp_path, sized(tmp_path, **octets))
    with pytest.raises(ConfigError) as refused:
        compose(campaign, date=DATE)
    (problem,) = refused.value.problems
    assert (problem.line, problem.where, "not more than 25 MB can be" in problem.text) == (
        6,
        "content.attachments",
        True,
    )


def test_so_much_as_servers_take_is_attached(tmp_path: Path) -> None:
    campaign = load(tmp_path, sized(tmp_path, film=MOST // ENCODED * LINE))
    (attachment,) = attachments(campaign)
    assert len(attachment.content) == MOST // ENCODED * LINE


@pytest.mark.parametrize(
    ("octets", "warned"),
    [
        (MUCH // ENCODED * LINE, []),
        (MUCH // ENCODED * LINE + 1, ["content.attachments"]),
        (60_000_000, []),  # that is refused
    ],
)
def test_what_many_servers_refuse_is_warned_of(tmp_path: Path, octets: int, warned: list[str]) -> None:
    """X10."""
    campaign = load(tmp_path, sized(tmp_path, film=octets))
    assert [one.where for one in campaign.warnings] == warned


def test_what_is_refused_is_not_read(tmp_path: Path) -> None:
    campaign = load(tmp_path, sized(tmp_path, film=1 << 34))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ConfigError, match=r"are 23509\.\d MB as they are sent"):
        attachments(campaign)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_what_has_no_size_is_read_no_further_than_to_the_bound(tmp_path: Path) -> None:
    campaign = load(tmp_path, text("/dev/zero"))
    with pytest.raises(ConfigError, match="are more than 25 MB as they are sent"):
        attachments(campaign)


def test_a_campaign_whose_attachments_are_too_large_or_gone_can_still_be_looked_at(tmp_path: Path) -> None:
    written = sized(tmp_path, film=60_000_000)
    campaign = load(tmp_path, written)
    os.unlink(campaign.content.attachments[0].file)
    assert [one.warnings for one in (campaign, config.load(campaign.file, environ={}))] == [(), ()]
