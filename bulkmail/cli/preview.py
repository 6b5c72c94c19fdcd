"""`bulkmail preview`: what a recipient will see, as a page for the browser and as text; nothing is sent."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bulkmail.cli.common import campaign_file, load, printable
from bulkmail.cli.sampling import as_option, choose, composed

if TYPE_CHECKING:
    from bulkmail.campaign.preview import View
    from bulkmail.campaign.sample import Sample

MOST = 50  # messages on one page
PAGE = "preview.html"


@click.command("preview")
@campaign_file
@as_option
@click.option("--random", "count", type=click.IntRange(1, MOST), metavar="N", help="N rows by chance.")
@click.option("--seed", type=click.IntRange(0), metavar="SEED", help="Draw the same rows again.")
@click.option("--raw", is_flag=True, help="Print the octets of the message, unsigned, and nothing else.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Where the files go; default: CAMPAIGN.preview in the state directory.",
)
@click.option("--remote", is_flag=True, help="Let the page load images and fonts from the web.")
@click.option(
    "--open/--no-open", "open_it", default=None, help="Open it in a browser; default: at a desktop."
)
def command(
    file: Path,
    as_address: str | None,
    count: int | None,
    seed: int | None,
    raw: bool,
    out: Path | None,
    remote: bool,
    open_it: bool | None,
) -> None:
    """Show the message of FILE as the first of its list will get it, byte for byte but for the signature.

    Writes FOLDER/preview.html, one page with the message at 640 and at 375 pixels, its text and its source;
    beside it each message as N.eml, N.html and N.txt, instead of those of the preview before. The text is
    printed as well. The page fetches nothing from the web unless --remote says so, and the unsubscribe link
    in it belongs to nobody.

    \b
    bulkmail preview campaign.yaml              the first recipient
    bulkmail preview campaign.yaml --as a@b.c   this one, or placeholders
    bulkmail preview campaign.yaml --random 5   by chance; --seed repeats it
    bulkmail preview campaign.yaml --raw        what goes on the wire
    """
    from bulkmail.campaign.preview import view
    from bulkmail.errors import ConfigError

    if as_address is not None and count is not None:
        raise click.UsageError("--as names one recipient, --random draws some: give one of them")
    if seed is not None and count is None:
        raise click.UsageError("--seed is for --random N")
    if raw and ((count or 1) > 1 or out is not None):
        raise click.UsageError("--raw prints one message, to standard output: leave out --random and --out")
    campaign = load(file, None)
    composer = composed(campaign, sealed=False)
    samples = choose(campaign, composer, as_address, count, seed)
    contents = [composer.render(one.address, one.fields) for one in samples]
    if raw:
        sys.stdout.flush()
        sys.stdout.buffer.write(contents[0])
        return
    previews = [(one, view(content)) for one, content in zip(samples, contents, strict=True)]
    folder = out or campaign.state / f"{campaign.campaign}.preview"
    try:
        if out is None:
            campaign.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        page = _write(folder, campaign.campaign, previews, contents, remote)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}") from error
    for sample, shown in previews:
        _print(sample, shown, several=len(previews) > 1)
    click.echo(f"The page: {page}", err=True)
    _open(page, open_it)


def _write(
    folder: Path, title: str, previews: list[tuple[Sample, View]], contents: list[bytes], remote: bool
) -> Path:
    """All files; the path of the page. They hold people's data: only their owner may read them. OSError."""
    from bulkmail.campaign.preview_page import preview_page

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _clear(folder)
    for number, ((_, shown), content) in enumerate(zip(previews, contents, strict=True), 1):
        _put(folder / f"{number}.eml", content)
        if shown.html is not None:
            _put(folder / f"{number}.html", shown.html.encode())
        if shown.text is not None:
            _put(folder / f"{number}.txt", shown.text.encode())
    page = folder / PAGE
    _put(page, preview_page(title, previews, remote=remote).encode())
    return page


def _clear(folder: Path) -> None:
    """Remove the messages of an earlier preview: in a folder with its page, N.eml and what is beside it."""
    if not (folder / PAGE).is_file():
        return
    for number in range(1, MOST + 1):
        if (folder / f"{number}.eml").is_file():
            for kind in ("html", "txt", "eml"):
                (folder / f"{number}.{kind}").unlink(missing_ok=True)


def _put(path: Path, content: bytes) -> None:
    """Replace a file at once, readable by its owner only."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)


def _print(sample: Sample, shown: View, *, several: bool) -> None:
    """The message as text, on standard output."""
    if several:
        click.echo(f"--- {printable(sample.address)}  {printable(sample.origin)}".rstrip())
    for name, value in shown.header:
        click.echo(printable(f"{name}: {value}"))
    for one in shown.attached:
        click.echo(printable(f"Attached: {one.name} ({one.type}, {one.octets:,} octets)"))
    text = shown.text if shown.text is not None else "(no text part)"
    click.echo("\n" + "\n".join(printable(line) for line in text.split("\n")))
    for note in shown.notes:
        click.echo(f"note: {note}", err=True)


def _open(page: Path, asked: bool | None) -> None:
    """In a browser where somebody sits at a desktop; never from a script."""
    if asked is False or not sys.stderr.isatty():
        return
    desktop = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if asked or desktop:
        import webbrowser

        webbrowser.open(page.absolute().as_uri())
