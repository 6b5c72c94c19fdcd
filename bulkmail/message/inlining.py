"""CSS inlined: the rules of <style> as style attributes, for clients that do not read <style>.

css-inline does it on a tree and writes the tree out again, which has traps. What it would lose or move is
hidden from it behind comments and put back: the doctype (which decides how tables are drawn), Outlook's
<![if !mso]> marks, and text that stands between table rows.

What cannot become an attribute stays in a <style>: media queries, :hover, fonts. An attribute beats a
stylesheet, so all of that is made !important; else no dark mode could ever win over what was inlined.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bulkmail.message.problem import MarkupProblem
from bulkmail.message.stylesheet import remaining
from bulkmail.message.tags import TOKEN, attribute, hides

if TYPE_CHECKING:
    from css_inline import CSSInliner

_DOCTYPE = re.compile(r"<!doctype\b", re.IGNORECASE)
_EVERYWHERE = frozenset(("", "all", "screen"))
_TABLE = frozenset(("table", "tbody", "thead", "tfoot", "tr"))
_CELL = frozenset(("td", "th", "caption"))


def inlined(html: str) -> str:
    """`html` with its <style> rules as style attributes. Nothing is loaded, from the network or from files.

    A document without <style> comes back as it is. Raise MarkupProblem where the inliner refuses it.
    """
    if not any((token["kind"] or "").lower() == "style" for token in TOKEN.finditer(html)):
        return html
    from css_inline import InlineError  # 2 MB, for those who need it

    hidden = _Hidden(html)
    try:
        result = _inliner().inline(hidden.document)
    except UnicodeEncodeError as error:
        raise MarkupProblem("it holds half a character (a lone surrogate)") from error
    except InlineError as error:
        raise MarkupProblem(f"its CSS cannot be inlined: {error}") from error
    return hidden.restored(_kept(result))


def _inliner() -> CSSInliner:
    from css_inline import CSSInliner

    return CSSInliner(
        keep_style_tags=True,
        remove_inlined_selectors=True,
        keep_link_tags=True,
        load_remote_stylesheets=False,
    )


class _Hidden:
    """A document with comments in place of what the inliner must not see."""

    def __init__(self, html: str) -> None:
        self._stem = next(stem for n in range(len(html) + 1) if (stem := f"hidden{n}x") not in html)
        self._held: list[str] = []
        self._doctype = ""
        self.document = "".join(self._pieces(html))

    def _hide(self, text: str) -> str:
        self._held.append(text)
        return f"<!--{self._stem}{len(self._held) - 1}-->"

    def _pieces(self, html: str) -> list[str]:
        pieces: list[str] = []
        within: list[str] = []  # the open parts of tables
        at, conditional = 0, False
        for token in TOKEN.finditer(html):
            text = html[at : token.start()]
            stray = text.strip() and within and within[-1] in _TABLE and not conditional
            pieces.append(self._hide(text) if stray else text)
            at = token.end()
            piece = token[0]
            if token["mark"]:
                if not conditional and not piece.startswith("<!--"):
                    piece = self._hide(piece)
                conditional = hides(token[0], conditional)
            elif conditional:
                pass  # within a comment already
            elif (token["kind"] or "").lower() == "style":
                media = (attribute(token["options"], "media") or "").strip().lower()
                if media not in _EVERYWHERE:
                    piece = self._hide(piece)
            elif token["declaration"]:
                if _DOCTYPE.match(piece) and not self._doctype:
                    self._doctype = piece
                else:
                    piece = self._hide(piece)
            else:
                _follow(token, within)
            pieces.append(piece)
        return [*pieces, html[at:]]

    def restored(self, html: str) -> str:
        if self._doctype:
            written = next((token for token in TOKEN.finditer(html) if token["declaration"]), None)
            if written:  # one that came too late to mean anything is left out
                html = f"{html[: written.start()]}{self._doctype}\n{html[written.end() :]}"
        return re.sub(rf"<!--{self._stem}(\d+)-->", lambda match: self._held[int(match[1])], html)


def _follow(token: re.Match[str], within: list[str]) -> None:
    if token["name"]:
        name = token["name"].lower()
        if name in _TABLE or name in _CELL:
            within.append(name)
    elif token["end"]:
        name = re.split(r"[\s>/]", token["end"][2:], maxsplit=1)[0].lower()
        if name in within:
            del within[len(within) - 1 - within[::-1].index(name) :]


def _kept(html: str) -> str:
    """The rules that stayed made to win; no rule for elements that are not there, and no empty <style>."""
    elements = {token["name"].lower() for token in TOKEN.finditer(html) if token["name"]}
    pieces: list[str] = []
    at, conditional = 0, False
    for token in TOKEN.finditer(html):
        pieces.append(html[at : token.start()])
        at = token.end()
        piece = token[0]
        if token["mark"]:
            conditional = hides(piece, conditional)
        elif (token["kind"] or "").lower() == "style" and not conditional:
            css = remaining(token["content"], elements).strip()
            piece = f"<style{token['options']}>\n{css}\n</style>" if css else ""
        pieces.append(piece)
    return "".join([*pieces, html[at:]])
