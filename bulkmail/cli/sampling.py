"""What `preview` and `test` share: the campaign's composer, and whose message is meant."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bulkmail.cli.common import printable

if TYPE_CHECKING:
    from bulkmail.campaign.config import Campaign
    from bulkmail.campaign.sample import Sample
    from bulkmail.message import Composer

F = TypeVar("F", bound=Callable[..., Any])


def as_option(function: F) -> F:
    """`--as`: whose values the message has."""
    return click.option(
        "--as",
        "as_address",
        metavar="ADDRESS",
        help="With the values of this recipient; default: the first of the list.",
    )(function)


def composed(campaign: Campaign, *, sealed: bool) -> Composer:
    """The campaign's composer, its message dated now. Raises ConfigError with every problem."""
    from bulkmail.campaign.compose import compose
    from bulkmail.campaign.config import missing_files
    from bulkmail.errors import ConfigError

    if problems := missing_files(campaign):
        raise ConfigError(problems)
    # With the Message-ID of a test, the real mail would be taken for a duplicate.
    salt = secrets.token_hex(8) if sealed else ""
    return compose(campaign, date=datetime.now(UTC).replace(microsecond=0), sealed=sealed, salt=salt)


def choose(
    campaign: Campaign,
    composer: Composer,
    as_address: str | None,
    count: int | None = None,
    seed: int | None = None,
) -> list[Sample]:
    """Those whose message is meant, with what is to be said of them told on standard error. ConfigError."""
    from bulkmail.campaign import sample
    from bulkmail.campaign.prepare import list_spec

    spec = list_spec(campaign)
    if as_address is not None:
        samples = [sample.by_address(spec, composer, as_address)]
    elif count is not None:
        seed = secrets.randbelow(1_000_000) if seed is None else seed
        samples = sample.at_random(spec, composer, count, seed)
        click.echo(f"The same rows again: --random {count} --seed {seed}", err=True)
        if len(samples) < count:
            click.echo(f"warning: {count} were asked for, {len(samples)} found that have a message", err=True)
    else:
        samples = [sample.first(spec, composer)]
    for one in samples:
        _tell(campaign, one)
    return samples


def _tell(campaign: Campaign, one: Sample) -> None:
    from bulkmail.journal import Suppressions

    if one.note:
        click.echo(printable(f"warning: {one.address}: {one.note}"), err=True)
    with Suppressions.look(campaign.project_state / "project.db") as suppressions:
        if suppressions.check(one.address) is not None:
            click.echo(printable(f"warning: {one.address}: suppressed, a run leaves it out"), err=True)
