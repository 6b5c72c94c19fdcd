"""Previews as one page that stands alone: no script, no request, nothing of a message outside of its frame.

What an HTML part says is shown in a frame without any right (`sandbox`, and the page's own policy goes for it
too): it runs nothing, opens nothing and fetches nothing. Which message and which width is shown is chosen by
radio buttons and style sheets. Everything that comes from a campaign or a list is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from importlib import resources

from bulkmail.campaign.preview import View
from bulkmail.campaign.sample import Sample

SOURCE_SHOWN = 200_000  # characters; attachments make it long, and `--raw` has everything
NOTHING = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
THE_WEB = (
    "default-src 'none'; style-src 'unsafe-inline' https:; img-src data: http: https:; font-src data: https:"
)
# A link cannot be followed (a sandboxed frame may open no window), and a scroll bar takes no width away.
_FRAME = '<base target="_blank"><style>html{scrollbar-width:none}</style>'
_DOCTYPE = re.compile(r"\s*<!doctype[^>]*>", re.IGNORECASE)
_SCREENS = (("same", "As this page"), ("light", "Light"), ("dark", "Dark"))
_FIRST = frozenset({"From", "To", "Reply-To", "Subject"})  # of the header; the rest unfolds
_PANES = (("desktop", "Desktop 640"), ("phone", "Phone 375"), ("text", "Text"), ("source", "Source"))


def preview_page(title: str, previews: Sequence[tuple[Sample, View]], *, remote: bool = False) -> str:
    """The page about these messages of one campaign. `remote`: images of the web may be loaded."""
    css = resources.files("bulkmail.campaign").joinpath("preview.css").read_text("utf-8")
    chosen = "".join(
        f"body:has(#m{number}:checked) .m{number}{{display:block}}" for number in range(len(previews))
    )
    panes = _panes([view for _, view in previews])
    return "".join(
        [
            '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{THE_WEB if remote else NOTHING}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="referrer" content="no-referrer">\n<meta name="robots" content="noindex">\n',
            f"<title>{escape(title)}: preview</title>\n<style>\n{css}{chosen}\n</style>\n",
            f'<h1>{escape(title)}</h1>\n<div class="choices">\n',
            *_choice("Recipient", "m", [(f"m{i}", one.address) for i, (one, _) in enumerate(previews)]),
            *_choice("Shown as", "pane", panes),
            *(_choice("The reader's screen", "screen", _SCREENS) if "desktop" in dict(panes) else ()),
            "</div>\n",
            *(part for i, (one, view) in enumerate(previews) for part in _article(i, one, view, remote)),
            "</html>\n",
        ]
    )


def _panes(views: Sequence[View]) -> list[tuple[str, str]]:
    there = {"source"}
    if any(view.html is not None for view in views):
        there |= {"desktop", "phone"}
    if any(view.text is not None for view in views):
        there.add("text")
    return [(key, label) for key, label in _PANES if key in there]


def _choice(legend: str, name: str, choices: Sequence[tuple[str, str]]) -> Iterator[str]:
    """A row of radio buttons, the first chosen."""
    yield f"<fieldset><legend>{legend}</legend>\n"
    for number, (key, label) in enumerate(choices):
        checked = "" if number else " checked"
        yield f'<label><input type="radio" name="{name}" id="{key}"{checked}>{escape(label)}</label>\n'
    yield "</fieldset>\n"


def _article(number: int, sample: Sample, view: View, remote: bool) -> Iterator[str]:
    author = next((value for name, value in view.header if name == "From"), "")
    yield f'<article class="m{number}">\n<div class="inbox"><b>{escape(_name(author))}</b>'
    yield f"<span>{escape(view.subject)} <i>{escape(view.inbox)}</i></span></div>\n"
    first = [row for row in view.header if row[0] in _FIRST]
    more = [row for row in view.header if row[0] not in _FIRST]
    yield f'<div class="card">{_table([*first, ("Row", sample.origin or sample.note), *_sizes(view)])}'
    if more:
        yield f"<details><summary>{', '.join(name for name, _ in more)}</summary>{_table(more)}</details>"
    yield "</div>\n"
    if sample.origin and sample.note:
        yield f'<p class="note">{escape(sample.note)}</p>\n'
    for note in view.notes:
        yield f'<p class="note">{escape(note)}</p>\n'
    if view.html is not None:
        if view.remote and not remote:
            yield f'<p class="note">{_not_loaded(view.remote)}</p>\n'
        yield '<div class="pane screen html"><iframe sandbox="" loading="lazy" title="the message" '
        yield f'srcdoc="{escape(framed(view.html))}"></iframe></div>\n'
    if view.text is not None:
        yield f'<pre class="pane text">{escape(view.text)}</pre>\n'
    source, cut = view.source[:SOURCE_SHOWN], len(view.source) > SOURCE_SHOWN
    rest = "\n[… bulkmail preview --raw prints all of it]" if cut else ""
    yield f'<pre class="pane source">{escape(source + rest)}</pre>\n</article>\n'


def _table(rows: Sequence[tuple[str, str]]) -> str:
    cells = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows if value)
    return f"<dl>{cells}</dl>"


def framed(html: str) -> str:
    """The document with what keeps its links from being followed, behind its doctype."""
    doctype = _DOCTYPE.match(html)
    end = doctype.end() if doctype is not None else 0
    return html[:end] + _FRAME + html[end:]


def _name(author: str) -> str:
    """The display name, or the address where there is none."""
    return author.rpartition("<")[0].strip().strip('"') or author


def _sizes(view: View) -> Iterator[tuple[str, str]]:
    for one in view.attached:
        yield "Attached", f"{one.name} ({one.type}, {_octets(one.octets)})"
    yield "Size", _octets(view.octets)


def _octets(number: int) -> str:
    return f"{number:,} octets" if number < 10_000 else f"{number / 1000:,.0f} kB"


def _not_loaded(remote: int) -> str:
    what = "1 image or font is" if remote == 1 else f"{remote} images or fonts are"
    return f"{what} on the web and not loaded here: --remote loads them."
