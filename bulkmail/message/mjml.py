"""MJML to HTML, by mrml: no includes, no files, no network; and its errors told with the line.

mrml reads MJML as XML and says of much only that it could not read it. So a document that it refuses is read
again here, by tags alone, for the place where they stop matching.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bulkmail.message.problem import MarkupProblem

_PROLOGUE = re.compile(r"\s*(?:<\?xml[^>]*\?>|<!--.*?-->|<!doctype[^>]*>)", re.DOTALL | re.IGNORECASE)
_POSITION = re.compile(r" in root template(?: at position (\d+):(\d+))?")
_VOID = frozenset(
    [
        "area",
        "base",
        "br",
        "col",
        "embed",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "param",
        "source",
        "track",
        "wbr",
    ]
)
_TAG = re.compile(
    r"""<!--.*?(?:-->|\Z) | <!\[CDATA\[.*?\]\]> | <(?P<slash>/?)(?P<name>[a-zA-Z][\w:.-]*+)
        (?P<inside>(?>[^<>"']|"[^"]*"|'[^']*')*+)> | (?P<stray><)""",
    re.VERBOSE | re.DOTALL,
)
COMPONENTS = re.compile(
    r"""mj-(?: head | body | attributes | all | class | breakpoint | font | preview | style | title | raw
      | include | html-attributes? | selector | accordion (?:-element | -title | -text)? | button
      | carousel (?:-image)? | column | divider | group | hero | image | navbar (?:-link)? | section
      | social (?:-element)? | spacer | table | text | wrapper )""",
    re.VERBOSE,
)


def mjml_html(source: str) -> str:
    """The HTML page of an MJML document. Raise MarkupProblem.

    Only fonts that the document names itself (mj-font) are linked; MJML alone would have every reader's
    client ask Google for Ubuntu.
    """
    import mrml

    _check(source)
    document = source
    while prologue := _PROLOGUE.match(document):  # which mrml does not read
        document = document[prologue.end() :]
    options = mrml.ParserOptions(include_loader=mrml.noop_loader())
    try:
        output = mrml.to_html(document, options, mrml.RenderOptions(fonts={}))
    except UnicodeEncodeError as error:
        raise MarkupProblem("it holds half a character (a lone surrogate)") from error
    except OSError as error:
        raise _problem(source, document, str(error)) from error
    return output.content


def _tags(source: str) -> Iterator[re.Match[str]]:
    return _TAG.finditer(source)


def _line(source: str, offset: int) -> int:
    return source.count("\n", 0, offset) + 1


def _check(source: str) -> None:
    """What mrml would pass over in silence, and its readers miss."""
    for tag in _tags(source):
        name = tag["name"]
        if name is None or tag["slash"]:
            continue
        if name == "mj-include":
            raise MarkupProblem(
                "mj-include is not supported: put its text into this file", _line(source, tag.start())
            )
        if name.startswith("mj-") and not COMPONENTS.fullmatch(name):
            raise MarkupProblem(f"there is no component <{name}> in MJML", _line(source, tag.start()))


def _problem(source: str, document: str, said: str) -> MarkupProblem:
    """What is wrong with `document`, the end of `source`, of which mrml said `said`."""
    found = _mismatch(source)
    if found is not None:
        return found
    where = _POSITION.search(said)
    text = f"not MJML: {_POSITION.sub('', said)}"
    if where is None or where[1] is None:
        return MarkupProblem(text)
    before = document.encode()[: int(where[1])].decode(errors="ignore")  # mrml counts octets
    return MarkupProblem(text, _line(source, len(source) - len(document) + len(before)))


def _mismatch(source: str) -> MarkupProblem | None:
    """The first tag that does not belong, as XML would have it."""
    open_: list[tuple[str, int]] = []
    for tag in _tags(source):
        line = _line(source, tag.start())
        name = tag["name"]
        if tag["stray"]:
            return MarkupProblem("a < that begins no tag: write &lt;", line)
        if name is None or tag["inside"].endswith("/") or (name in _VOID and not tag["slash"]):
            continue
        if not open_ and not tag["slash"] and name != "mjml":
            return MarkupProblem(f"expected <mjml>, not <{name}>", line)
        if not tag["slash"]:
            open_.append((name, line))
        elif not open_:
            return MarkupProblem(f"</{name}> closes nothing", line)
        elif open_[-1][0] != name:
            return MarkupProblem(f"</{name}> where </{open_[-1][0]}> of line {open_[-1][1]} is due", line)
        else:
            open_.pop()
    if open_:
        return MarkupProblem(f"<{open_[-1][0]}> is never closed", open_[-1][1])
    return None
