"""`bulkmail bench`: how fast this machine sends, as a table, a picture and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bulkmail.cli.common import print_json, print_table, terminating

if TYPE_CHECKING:
    from bulkmail.bench.bench import Sink
    from bulkmail.bench.measure import Sample
    from bulkmail.bench.result import Result, Spread

SCENARIOS = ("shared", "personal", "signed")
INCOMPLETE = 3  # exit code: not everything that was sent arrived


@click.command("bench")
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    type=click.Choice(SCENARIOS),
    help="What is sent; may be given again.  [default: all]",
)
@click.option("--sink", metavar="HOST:PORT", help="Send there instead of to a sandbox.")
@click.option(
    "--recipients",
    type=click.IntRange(1, 10_000_000),
    metavar="N",
    help="Of each run.  [default: a few seconds' worth]",
)
@click.option(
    "--connections", type=click.IntRange(1, 400), default=10, show_default=True, help="Open at once."
)
@click.option(
    "--repeats", type=click.IntRange(1, 50), default=3, show_default=True, help="Of which the median counts."
)
@click.option("--workers", metavar="N", help="Processes that deliver, as in `run`.")
@click.option("--no-tls", is_flag=True, help="Clear text, even where the sink offers STARTTLS.")
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    help="Where lists and journals are meanwhile: its disk is measured too.  [default: temporary files]",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option(
    "--plot", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.svg", help="Draw a picture too."
)
@click.option("--yes", is_flag=True, help="The sink is not on this machine, and whoever runs it agrees.")
def command(
    scenarios: tuple[str, ...],
    sink: str | None,
    recipients: int | None,
    connections: int,
    repeats: int,
    workers: str | None,
    no_tls: bool,
    directory: Path | None,
    as_json: bool,
    plot: Path | None,
    yes: bool,
) -> int:
    """Measure how fast this machine sends a message of 10 kB: the real `run`, journal on and synced.

    shared: everybody gets the same octets, a hundred recipients to a transaction. personal: six fields in
    every letter, one recipient each. signed: the same with DKIM, RSA of 2048 bits.

    Without --sink it sends to a sandbox in another process; then the sandbox is the limit, and its share of a
    processor is told. Give a faster one, such as Postfix's: smtp-sink -c 127.0.0.1:2525 1000
    """
    from bulkmail.bench.bench import Bench, parse_sink
    from bulkmail.bench.machine import machine
    from bulkmail.cli import say

    if plot is not None and plot.suffix.lower() != ".svg":
        raise click.BadParameter("the picture is an SVG: its name ends in .svg", param_hint="--plot")
    target = parse_sink(sink) if sink is not None else None
    if target is not None and not target.local and not yes:
        raise click.UsageError(
            f"{target} is not on this machine. A test like this is an attack on whoever did not ask for it; "
            "where you run it or they agree, say so with --yes"
        )

    def tell(scenario: str, repeat: int, sample: Sample) -> None:
        rate = sample.recipients / sample.seconds
        say(f"{scenario} {repeat}/{repeats}: {rate:,.0f} recipients a second")

    asked = Bench(
        scenarios=scenarios or SCENARIOS,
        sink=target,
        recipients=recipients,
        connections=connections,
        repeats=repeats,
        workers=workers,
        tls=not no_tls,
        directory=directory,
    )
    about = machine(directory)
    with terminating():
        results = asked.results(tell)
    settings = {"connections": connections, "workers": workers, "tls": not no_tls}
    if plot is not None:
        from bulkmail.bench.plot import svg

        plot.write_text(svg(results, "bulkmail bench", _machine_line(about, target)), "utf-8")
    if as_json:
        told = [one.as_json() for one in results]
        print_json({"machine": about, "sink": str(target or "sandbox"), **settings, "results": told})
    else:
        _show(results, about, target)
    return INCOMPLETE if any(one.undelivered for one in results) else 0


def _show(results: Sequence[Result], about: dict[str, object], sink: Sink | None) -> None:
    latencies = any(one.latency_ms for one in results)
    shares = any(one.sandbox_share is not None for one in results)
    header = ["scenario", "recipients/s", "messages/s"]
    header += ["reply p50", "p95", "p99 ms"] * latencies
    header += ["CPU s/1,000 messages", "peak MB", "start s"]
    header += ["sandbox CPU"] * shares
    rows = []
    for one in results:
        row = [one.scenario, _spread(one.recipients_per_s), _spread(one.messages_per_s)]
        if latencies:
            told = one.latency_ms or {}
            row += [f"{told[name]:g}" if name in told else "-" for name in ("p50", "p95", "p99")]
        row += [f"{one.cpu_s_per_1000_messages:.2f}", f"{one.peak_mb:.0f}", f"{one.start_s:.2f}"]
        if shares:
            row.append(f"{one.sandbox_share:.0%}" if one.sandbox_share is not None else "-")
        rows.append(row)
    print_table(rows, header=header, right=range(1, len(header)))
    click.echo(f"\nmedian of {results[0].repeats} (lowest to highest), {_machine_line(about, sink)}")
    click.echo(f"journal on and synced; a sync takes {about['sync_ms']} ms here")
    if sink is None:
        click.echo("The sandbox is the limit where its CPU is near 100%: --sink measures beyond it.")
    for one in results:
        if one.undelivered:
            click.echo(f"{one.scenario}: {one.undelivered:,} were not delivered to, or not in time", err=True)


def _spread(spread: Spread) -> str:
    if spread.lowest == spread.highest:
        return f"{spread.median:,.0f}"
    return f"{spread.median:,.0f} ({spread.lowest:,.0f} to {spread.highest:,.0f})"


def _machine_line(about: dict[str, object], sink: Sink | None) -> str:
    return (
        f"to {sink or 'a sandbox'}, {about['processors']} × {about['cpu']}, Python {about['python']}, "
        f"bulkmail {about['bulkmail']}, {str(about['at'])[:10]}"
    )
