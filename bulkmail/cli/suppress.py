"""`bulkmail suppress`: who must not be written to, by any campaign of the project.

The store lies beside the nearest bulkmail.yaml, else in the folder itself, and a running campaign looks into
it before each MAIL: what is added here holds from the next message on.
"""

from __future__ import annotations

import csv
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bulkmail.cli.common import printable

if TYPE_CHECKING:
    from bulkmail.journal.suppressions import Suppressions

BATCH = 5_000
DOMAINS = 10  # of whom a campaign had suppressed, told one by one
COMPLAINTS = 20  # told one by one; the rest are counted


def project(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--project",
        "place",
        type=click.Path(path_type=Path, exists=True),
        default=Path(),
        help="A campaign file or a folder of the project. Default: this folder.",
    )(function)


@click.group("suppress")
def command() -> None:
    """Keep the addresses that must not be written to, by any campaign of the project."""


@command.command("add")
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@click.option("--reason", default="by hand", show_default=True, help="Kept with the address.")
@project
def add(addresses: tuple[str, ...], reason: str, place: Path) -> None:
    """Never write to ADDRESS again; a running campaign obeys from its next message on."""
    wanted = parsed(addresses)
    with opened(place) as store:
        new = store.add(wanted, reason)
        tell(f"{new} added, {len(addresses) - new} known already, in {store.path}")


@command.command("remove")
@click.argument("addresses", metavar="[ADDRESS...]", nargs=-1)
@click.option(
    "--campaign",
    metavar="NAME",
    help="Instead of ADDRESS: all whom the campaign of this name has suppressed by itself, for its hosts "
    "called them unknown or disabled.",
)
@click.option(
    "--domain",
    "domains",
    metavar="DOMAIN",
    multiple=True,
    help="With --campaign: of this domain only. May be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Say who it would be, and change nothing.")
@project
def remove(
    addresses: tuple[str, ...], campaign: str | None, domains: tuple[str, ...], dry_run: bool, place: Path
) -> None:
    """Allow ADDRESS to be written to again, or with --campaign all whom one campaign has suppressed.

    That is for a host that called everybody unknown by mistake. Nobody is sent to by it: those who bounced
    then are the list of another campaign (export --state bounced).
    """
    if bool(addresses) == (campaign is not None):
        raise click.UsageError("either ADDRESS... or --campaign NAME is wanted")
    if domains and campaign is None:
        raise click.UsageError("--domain goes with --campaign")
    if campaign is not None:
        _take_back(campaign, domains, place, dry_run=dry_run)
        return
    wanted = parsed(addresses)
    if dry_run:
        with looked_into(place) as store:
            known = sum(store.check(one) is not None for one in wanted)
            tell(f"{known} would be removed, {len(wanted) - known} are not suppressed, in {store.path}")
        return
    with opened(place) as store:
        gone = store.remove(wanted)
        tell(f"{gone} removed, {len(addresses) - gone} were not suppressed, in {store.path}")


def _take_back(campaign: str, domains: tuple[str, ...], place: Path, *, dry_run: bool) -> None:
    """Who it is, by domain: the largest first."""
    from bulkmail.campaign.dead_addresses import becauses
    from bulkmail.smtp.address import AddressError, domain_to_ascii

    try:
        only = {domain_to_ascii(domain.rpartition("@")[2]).decode().lower() for domain in domains}
    except AddressError as error:
        raise click.BadParameter(str(error), param_hint="--domain") from None
    by_domain: Counter[str] = Counter()
    sample: dict[str, str] = {}
    changing = not dry_run and store_path(place).exists()
    with (opened if changing else looked_into)(place) as store:
        for one in store.take_back(becauses(campaign), only, dry_run=dry_run):
            domain = one.address.rpartition("@")[2]
            by_domain[domain] += 1
            sample.setdefault(domain, one.reason)
        tell(
            f"{by_domain.total():,} {'would be' if dry_run else 'were'} removed whom the campaign {campaign} "
            f"had suppressed, in {store.path}"
        )
    for domain, count in by_domain.most_common(DOMAINS):
        tell(f"  {count:>9,}  {domain}: {printable(sample[domain])[:200]}")
    if len(by_domain) > DOMAINS:
        tell(f"  {by_domain.total() - sum(n for _, n in by_domain.most_common(DOMAINS)):>9,}  at others")
    if not by_domain:
        tell("  suppress export prints all that there are, with the campaign in the reason")


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "--reason", default="imported", show_default=True, help="For rows without a reason of their own."
)
@project
def import_(file: Path, reason: str, place: Path) -> None:
    """Add the addresses in FILE: one a line, or a list (.csv, .tsv, .jsonl) with a column email.

    A column reason is kept, so that what export wrote can be imported. "-" is standard input. Rows that are
    no addresses are named and left out; then the exit code is 3.
    """
    complaints = Complaints()
    added = known = 0
    with tempfile.TemporaryDirectory(prefix="bulkmail-") as spool, opened(place) as store:
        rows = complaints.valid(listed(file, Path(spool)))
        while batch := list(islice(rows, BATCH)):
            by_reason: dict[str, list[str]] = {}
            for address, own_reason in batch:
                by_reason.setdefault(own_reason or reason, []).append(address)
            for each, addresses in by_reason.items():
                done = store.import_(addresses, each)
                added, known = added + done.added, known + done.known
        tell(f"{added} added, {known} known already, {complaints.count} no addresses, in {store.path}")
    if complaints.count:
        click.get_current_context().exit(3)


@command.command("export")
@project
def export(place: Path) -> None:
    """Print all suppressed addresses as CSV: email, reason, added."""
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["email", "reason", "added"])
    if not store_path(place).exists():
        return
    with opened(place) as store:
        for each in store:
            added = datetime.fromtimestamp(each.added, UTC).isoformat(timespec="seconds")
            out.writerow([each.address, each.reason, added])


@command.command("check")
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@project
def check(addresses: tuple[str, ...], place: Path) -> None:
    """Say of each ADDRESS whether it is suppressed, why, and since when."""
    wanted = parsed(addresses)
    if not store_path(place).exists():
        for address in wanted:
            click.echo(f"{address}\tno")
        return
    with opened(place) as store:
        for address in wanted:
            found = store.check(address)
            if found is None:
                click.echo(f"{address}\tno")
            else:
                since = datetime.fromtimestamp(found.added, UTC).isoformat(timespec="seconds")
                click.echo(f"{address}\tsuppressed\t{found.reason}\t{since}")


class Complaints:
    """Rows that are no addresses: the first are told one by one, all are counted."""

    def __init__(self) -> None:
        self.count = 0

    def valid(self, rows: Iterable[tuple[str, str, str]]) -> Iterator[tuple[str, str]]:
        """(address, reason) of those rows, given as (place, address, reason), that have one."""
        from bulkmail.smtp.address import AddressError, Mailbox

        for place, address, reason in rows:
            try:
                Mailbox.parse(address)
            except AddressError as error:
                self.count += 1
                if self.count <= COMPLAINTS:
                    tell(f"{place}: {address[:100]!r}: {error}")
                continue
            yield address, reason


def listed(file: Path, spool: Path) -> Iterator[tuple[str, str, str]]:
    """(place, address, reason) of every row. A first line that is an address means one a line."""
    from bulkmail.campaign.listing import ListSpec
    from bulkmail.campaign.sources import read_list
    from bulkmail.campaign.text_file import open_text
    from bulkmail.errors import ConfigError, Problem
    from bulkmail.smtp.address import AddressError, Mailbox

    shown = "-" if str(file) == "-" else str(file)
    if shown == "-":
        file = spool / "list"
        with file.open("wb") as kept_input:
            shutil.copyfileobj(sys.stdin.buffer, kept_input)
    try:
        with open_text(file, shown) as text:
            first = text.readline().strip()
            try:
                bare = first.startswith("#") or bool(Mailbox.parse(first))
            except AddressError:
                bare = False
            if bare:
                text.seek(0)
                for number, line in enumerate(text, 1):
                    if line.strip() and not line.startswith("#"):
                        yield f"{shown}:{number}", line.strip(), ""
                return
    except UnicodeDecodeError as error:  # UTF-16 that was cut off
        raise ConfigError(Problem(shown, 0, 0, "", f"not {error.encoding} text: {error.reason}")) from error
    suffix = ".jsonl" if first.startswith("{") else ".csv"
    kept = file if file.suffix.lower() in (".csv", ".tsv", ".jsonl", ".ndjson") else spool / f"list{suffix}"
    if kept != file and not kept.exists():
        kept.symlink_to(os.path.abspath(file))
    spec = ListSpec(source=[kept], address_only=True)
    for batch in read_list(spec, [kept], spool):
        for bad in batch.bad:
            yield f"{shown}:{bad.line}", bad.address, ""
        for number, row in batch.rows:
            yield f"{shown}:{number}", row.get("email", ""), row.get("reason", "")


def opened(place: Path) -> Suppressions:
    from bulkmail.journal.suppressions import Suppressions

    return Suppressions.open(store_path(place))


def looked_into(place: Path) -> Suppressions:
    """To read only; where there is none, nothing is made."""
    from bulkmail.journal.suppressions import Suppressions

    return Suppressions.look(store_path(place))


def store_path(place: Path) -> Path:
    """The project's store for a campaign file or a folder."""
    from bulkmail.campaign.config import project_state

    return project_state(place, environ=os.environ) / "project.db"


def parsed(addresses: Iterable[str]) -> list[str]:
    """The addresses, all of them valid. Raises UsageError that names each that is not."""
    from bulkmail.smtp.address import AddressError, Mailbox

    wrong = []
    for address in addresses:
        try:
            Mailbox.parse(address)
        except AddressError as error:
            wrong.append(f"{address!r}: {error}")
    if wrong:
        raise click.UsageError("; ".join(wrong) + "; nothing was done")
    return list(addresses)


def tell(text: str) -> None:
    from bulkmail.cli import say

    say(text)
