"""`bulkmail test`: one rendered message to the addresses that are named, by the real road."""

from __future__ import annotations

import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bulkmail.cli.common import campaign_file, load, print_json, printable
from bulkmail.cli.sampling import as_option, choose, composed

if TYPE_CHECKING:
    from bulkmail.campaign.trial import Tried
    from bulkmail.smtp import Mailbox

ASK_ABOVE = 10  # addresses: a few of one's own are a test, more is a mailing
NOT_DELIVERED = 4


@click.command("test")
@campaign_file
@click.argument("to", nargs=-1, required=True, metavar="TO...")
@as_option
@click.option(
    "--via",
    metavar="WAY",
    help="Instead of delivery.via; with sandbox nothing leaves this machine.",
)
@click.option("--yes", is_flag=True, help=f"Do not ask though TO are more than {ASK_ABOVE}.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def command(
    file: Path, to: tuple[str, ...], as_address: str | None, via: str | None, yes: bool, as_json: bool
) -> int:
    """Send one message of FILE to each TO, and say what their servers answered.

    It is rendered for the first recipient of the list, or for --as ADDRESS, signed, and goes the way that
    `delivery` says, to TO instead of that recipient: the To header and the values stay theirs. Its
    unsubscribe link and token belong to nobody, so clicking it unsubscribes nobody. Nothing is recorded: a
    later `run` sends to everybody, TO among them.

    A server that says later is tried three times within some seconds. Who is suppressed is not sent to.

    \b
    bulkmail test campaign.yaml me@acme.example
    bulkmail test campaign.yaml me@acme.example --as ann@a.example
    bulkmail test campaign.yaml me@acme.example --via sandbox

    Exit codes: 0 every TO was delivered to, 4 some was not, 2 usage or configuration.
    """
    import trio

    from bulkmail.campaign.trial import send
    from bulkmail.message import Unrenderable

    mailboxes = parse_all(to)
    campaign = load(file, via, secrets=True)
    composer = composed(campaign, sealed=True)
    (sample,) = choose(campaign, composer, as_address)
    if len(mailboxes) > ASK_ABOVE and not yes:
        _ask(len(mailboxes))
    try:
        letter = composer.letter(sample.address, sample.fields)
    except Unrenderable as error:
        raise click.ClickException(f"{sample.address}: {error}") from None
    where = f", {sample.origin}" if sample.origin else ""
    click.echo(printable(f"The message for {sample.address}{where}, via {campaign.delivery.via}"), err=True)
    tried: list[Tried] = []

    def told(one: Tried) -> None:
        tried.append(one)
        if not as_json:
            click.echo(printable(f"{one.to}: {one.disposition.replace('_', ' ')}: {one.reply}"))

    def warned(text: str) -> None:
        click.echo(printable(f"warning: {text}"), err=True)

    trio.run(partial(send, campaign, letter, mailboxes, told, keys=composer.keys, warned=warned))
    code = 0 if all(one.delivered for one in tried) else NOT_DELIVERED
    if as_json:
        print_json(
            {
                "campaign": campaign.campaign,
                "via": str(campaign.delivery.via),
                "as": sample.address,
                "octets": len(letter.content),
                "results": [asdict(one) for one in tried],
                "exit": code,
            }
        )
    elif campaign.delivery.via.kind == "sandbox":
        from bulkmail.campaign.road import rehearsed_mail

        click.echo(f"Nothing left this machine; it is in {rehearsed_mail(campaign)}/maildir/new", err=True)
    return code


def parse_all(to: tuple[str, ...]) -> list[Mailbox]:
    """Each address once. Raises click.BadParameter with everything that is none."""
    from bulkmail.smtp import Mailbox
    from bulkmail.smtp.address import AddressError

    found: dict[Mailbox, None] = {}
    wrong: list[str] = []
    for text in to:
        try:
            found[Mailbox.parse(text)] = None
        except AddressError as error:
            wrong.append(f"{text!r} is no address: {error}")
    if wrong:
        raise click.BadParameter(printable("; ".join(wrong)), param_hint="TO")
    return list(found)


def _ask(count: int) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError(f"{count} addresses are more than a test: say that this is right with --yes")
    click.confirm(f"Send to {count} addresses?", abort=True, err=True)
