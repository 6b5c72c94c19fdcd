"""`bulkmail sandbox`: an internet in a box on loopback, until Ctrl-C.

How to point a campaign at it goes to standard error; with --json one ready line goes to standard output, so
that a script can wait for it.
"""

from __future__ import annotations

import errno
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bulkmail.sandbox import Running, World
    from bulkmail.sandbox.ledger import Keep


@click.command("sandbox")
@click.argument("world", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--behaviour",
    "-b",
    "behaviours",
    multiple=True,
    metavar="[DOMAIN:] NAME[: VALUE]",
    help="As in WORLD: 'a.test: greylist', '\"*.test\": {slow: 1s}' (a star needs its quotes); without a"
    " domain, of all that WORLD does not name. See --list.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=2525, show_default=True, help="SMTP; 0: a free one."
)
@click.option(
    "--dns-port", type=click.IntRange(0, 65535), default=5300, show_default=True, help="DNS; 0: a free one."
)
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("sandbox"),
    show_default=True,
    help="Takes ca.pem and what is kept.",
)
@click.option(
    "--keep",
    type=click.Choice(["maildir", "memory", "ledger", "counts"]),
    default="maildir",
    show_default=True,
    help="Messages as files, nothing on disk, one JSON line per transaction, or numbers only.",
)
@click.option("--json", "as_json", is_flag=True, help="One ready line, and a summary at the end, as JSON.")
@click.option("--list", "list_only", is_flag=True, help="List all behaviours.")
def command(
    world: Path | None,
    behaviours: tuple[str, ...],
    port: int,
    dns_port: int,
    directory: Path,
    keep: Keep,
    as_json: bool,
    list_only: bool,
) -> None:
    """Run DNS and mail exchangers on loopback that behave as WORLD (a YAML file) says.

    Without WORLD every domain takes mail, and one whose first label is the name of a behaviour
    (greylist.example, servfail.example) has it.
    """
    if list_only:
        _list()
        return
    import trio

    from bulkmail.errors import ConfigError
    from bulkmail.sandbox import World

    try:
        found = World.default(keep=keep) if world is None else World.from_yaml(world, keep=keep)
        for behaviour in behaviours:
            found.add(behaviour)
        trio.run(
            _serve,
            found,
            port,
            dns_port,
            directory,
            as_json,
            restrict_keyboard_interrupt_to_checkpoints=True,
        )
    except (OSError, UnicodeDecodeError) as problem:
        if isinstance(problem, OSError) and problem.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"the sandbox cannot run: port {port} (--port) or {dns_port} (--dns-port) is taken; "
                "0 is any free one"
            ) from problem
        raise ConfigError(f"the sandbox cannot run: {problem}") from problem


def _list() -> None:
    from bulkmail.sandbox.catalogue import CATALOGUE

    width = max(map(len, CATALOGUE))
    for row in CATALOGUE.values():
        rows = f"  [{row.rows}]" if row.rows else ""
        click.echo(f"{row.name:{width}}  {row.where:22}  {row.help}{rows}")


async def _serve(world: World, port: int, dns_port: int, directory: Path, as_json: bool) -> None:
    import signal

    import trio

    from bulkmail.sandbox import serve

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with serve(world, port=port, dns_port=dns_port, directory=directory) as running:
            _ready(running, directory, as_json)
            async for _ in signals:
                break
    _stopped(world, as_json)


def _ready(running: Running, directory: Path, as_json: bool) -> None:
    dns = f"{running.dns[0]}:{running.dns[1]}"
    if as_json:
        _event(
            "ready",
            dns=dns,
            port=running.smtp_port,
            ca=str(running.ca_pem_path.absolute()),
            directory=str(directory.absolute()),
        )
        return
    click.echo(
        f"""\
The sandbox is running. In a campaign:

    delivery:
      via: mx
      resolvers: ["{dns}"]
      port: {running.smtp_port}
      allow_private: true

DNS at {dns}, every mail exchanger at port {running.smtp_port}; its authority is {running.ca_pem_path}.
Ctrl-C stops it.""",
        err=True,
    )


def _stopped(world: World, as_json: bool) -> None:
    ledger = world.ledger
    if as_json:
        _event("stopped", **ledger.summary())
        return
    click.echo(
        f"{ledger.transactions} messages to {ledger.recipients} recipients"
        f" over {ledger.connections} connections; {ledger.queried} DNS queries.",
        err=True,
    )


def _event(name: str, **values: object) -> None:
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    sys.stdout.write(json.dumps({"event": name, "at": at, **values}) + "\n")
    sys.stdout.flush()
