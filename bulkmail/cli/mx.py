"""`bulkmail mx`: where a domain's mail goes, as a campaign would see it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bulkmail.cli.common import print_json, print_table, printable
from bulkmail.cli.lookup import (
    EHLO,
    FINDINGS,
    asking,
    both_spellings,
    endpoint,
    name_servers,
    read_by,
    resolver_option,
)
from bulkmail.cli.remembered import as_json as learned_json
from bulkmail.cli.remembered import in_words, remembered

if TYPE_CHECKING:
    from bulkmail.dns.survey import Exchanger, Survey


PRIVATE = "private or loopback"


@click.command("mx")
@click.argument("domain", callback=read_by("bulkmail.dns.asked", "domain_of"))
@resolver_option
@click.option(
    "--ehlo",
    metavar="NAME",
    callback=EHLO,
    help="This machine's name (delivery.ehlo): it never delivers to itself. Default: its full host name.",
)
@click.option(
    "--allow-private",
    is_flag=True,
    help="Take loopback and private addresses for usable, as a sandbox needs.",
)
@click.option(
    "--project",
    "place",
    type=click.Path(path_type=Path, exists=True),
    default=Path(),
    help="A campaign file or a folder of the project that remembers the site. Default: this folder.",
)
@click.option("--forget", is_flag=True, help="Forget what campaigns of the project have learned of the site.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def command(
    domain: str,
    resolvers: tuple[tuple[str, int], ...],
    ehlo: str | None,
    allow_private: bool,
    place: Path,
    forget: bool,
    as_json: bool,
) -> int:
    """Show which hosts take the mail of DOMAIN: its MX records, their addresses and its site.

    DOMAIN is a domain (example.com) or an address in it (ann@example.com). Hosts are tried in the order of
    their preference, the smallest number first. Domains of the same site are served by the same hosts, and
    share connections and limits. What earlier campaigns of the project have learned of the site is shown,
    too: the next one begins with it.

    Exit codes: 0 mail can go there; 3 it cannot, or something is wrong with a host; 2 wrong usage.
    """
    from bulkmail.campaign.host_name import default_ehlo
    from bulkmail.dns.routes import Route
    from bulkmail.dns.survey import Survey, Surveyor

    own = ehlo or default_ehlo()
    servers = name_servers(resolvers)
    found = asking(
        servers,
        lambda resolver: Surveyor(
            resolver, allow_private=allow_private, own_names=[own] if own else []
        ).survey(domain),
        result=Survey,
    )
    site = found.route.site if isinstance(found.route, Route) else None
    learned = [] if site is None else remembered(place, site, forget=forget)
    if as_json:
        print_json({**_as_json(found, servers), "learned": [learned_json(one) for one in learned]})
    else:
        _show(found, servers)
        for one in learned:
            click.echo(f"learned  {in_words(one)}")
    if not allow_private and any(PRIVATE in one.problem for one in found.exchangers):
        click.echo("In a network of your own, or a sandbox, --allow-private takes such hosts.", err=True)
    return FINDINGS if found.findings else 0


def _as_json(found: Survey, servers: tuple[tuple[str, int], ...]) -> dict[str, Any]:
    from bulkmail.dns.routes import Route

    route = found.route
    return {
        "domain": found.domain,
        "resolvers": [endpoint(server) for server in servers],
        "records": found.records,
        "implicit": found.implicit,
        "null_mx": found.null_mx,
        "exchangers": [
            {
                "preference": one.preference,
                "host": one.name,
                "addresses": list(one.addresses),
                "usable": one.usable,
                "problem": one.problem or None,
            }
            for one in found.exchangers
        ],
        "site": route.site if isinstance(route, Route) else None,
        "no_route": None
        if isinstance(route, Route)
        else {"permanent": route.permanent, "enhanced": route.enhanced, "reason": route.reason},
        "findings": list(found.findings),
    }


def _show(found: Survey, servers: tuple[tuple[str, int], ...]) -> None:
    from bulkmail.dns.routes import Route

    click.echo(f"{printable(both_spellings(found.domain))}, asked of {', '.join(map(endpoint, servers))}")
    if found.implicit and any(one.addresses for one in found.exchangers):
        click.echo("no MX record: the domain itself takes its mail (implicit MX)")
    if found.exchangers:
        click.echo()
        print_table(
            [row for one in found.exchangers for row in _rows(one)],
            header=("preference", "mail exchanger", "address", ""),
            right=(0,),
        )
        if found.records > len(found.exchangers):
            click.echo(f"and {found.records - len(found.exchangers)} more MX records that were not looked at")
        click.echo()
    if isinstance(found.route, Route):
        click.echo(f"site  {printable(found.route.site)}")
    for finding in found.findings:
        click.echo(f"wrong  {printable(finding)}")


def _rows(one: Exchanger) -> list[tuple[str, str, str, str]]:
    first, *more = one.addresses or ("none",)
    shown = (str(one.preference), printable(one.name), printable(first), "" if one.usable else "not usable")
    return [shown, *(("", "", printable(address), "") for address in more)]
