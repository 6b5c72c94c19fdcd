"""HTML as text, for readers that show no HTML.

inscriptis draws tables as columns. A newsletter is made of tables that only place things, and its values have
any length, so columns would be wide and never straight. The tree is therefore put in order first: what nobody
sees is dropped, tables that place things become blocks one below the other, tables of data one line a row,
and links get their address behind them, in the brackets that RFC 3986 (appendix C) recommends for text.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inscriptis.model.config import ParserConfig  # type: ignore[import-untyped]

_HIDDEN = re.compile(
    r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all)", re.IGNORECASE
)
_BORDER = re.compile(r"(?:^|;)\s*border-(?:top|bottom)\s*:", re.IGNORECASE)
_NO_ADDRESS = re.compile(r"\s*(?:#|javascript:|data:|$)", re.IGNORECASE)
_BLOCKS = re.compile(r"p|div|table|[udo]l|h[1-6]|blockquote|pre|hr|section|article|header|footer")
_UNSEEN = re.compile(r"head|style|script|title|noscript|template|object|video|audio|iframe|svg")
_RULE = "-" * 40
_INVISIBLE = re.compile("[\u00ad\u034f\u200b\u2060\ufeff]")  # not the joiners: Persian and emoji need them
# Spaces that do not collapse, with those beside them. Runs of plain ones are left where they mean something.
_SPACES = re.compile(r" *[\u00a0\u2000-\u200a][ \u00a0\u2000-\u200a]*")
_EMPTY_LINES = re.compile(r"\n{3,}")
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def plain_text(html: str) -> str:
    """`html` as a reader would tell it: nothing hidden, links with their address, images by their alt text.

    Never raises, whatever `html` is. One newline ends the text; "" where nothing can be seen.
    """
    from inscriptis.html_engine import Inscriptis  # type: ignore[import-untyped]
    from lxml.etree import ParserError  # type: ignore[import-untyped]
    from lxml.html import HTMLParser, document_fromstring  # type: ignore[import-untyped]

    octets = _ILLEGAL.sub("", html).encode()
    try:
        tree = document_fromstring(
            octets, parser=HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
        )
    except ParserError:
        return ""  # nothing in it
    _reduce(tree)
    return tidy(Inscriptis(tree, _config()).get_text())


@cache
def _config() -> ParserConfig:
    from inscriptis.css_profiles import CSS_PROFILES  # type: ignore[import-untyped]
    from inscriptis.html_properties import Display, WhiteSpace  # type: ignore[import-untyped]
    from inscriptis.model.config import ParserConfig
    from inscriptis.model.html_element import HtmlElement  # type: ignore[import-untyped]

    apart = {"display": Display.block, "margin_before": 1, "margin_after": 1}
    return ParserConfig(
        css=CSS_PROFILES["strict"]
        | {
            "blockquote": HtmlElement(**apart, padding_inline=2),
            "pre": HtmlElement(**apart, whitespace=WhiteSpace.pre),
            "ul": HtmlElement(**apart, padding_inline=4),
            "ol": HtmlElement(**apart, padding_inline=4),
        }
    )


def tidy(text: str) -> str:
    """`text` without what only took up room: runs of spaces, spaces at the end, more than one empty line."""
    text = _INVISIBLE.sub("", text)
    lines = (_SPACES.sub(" ", line).rstrip() for line in text.split("\n"))
    text = _EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip("\n")
    return text + "\n" if text else ""


def _reduce(tree: Any) -> None:
    """Put a tree of lxml in order for inscriptis, in place."""
    for element in [e for e in tree.iter() if _unseen(e)]:
        if element.getparent() is not None:
            element.drop_tree()
    for table in list(tree.iter("table")):
        _flatten(table)
    for image in list(tree.iter("img")):
        alt = (image.get("alt") or "").strip()
        image.tag = "span"
        image.text = f"[{alt}]" if alt else None
    for link in list(tree.iter("a")):
        _spell_out(link)
    for paragraph in list(tree.iter("p", "hr")):
        if paragraph.tag == "hr" or (_BORDER.search(paragraph.get("style", "")) and _empty(paragraph)):
            paragraph.tag = "p"
            paragraph.text = _RULE


def _unseen(element: Any) -> bool:
    return (
        _UNSEEN.fullmatch(element.tag) is not None
        or element.get("hidden") is not None
        or _HIDDEN.search(element.get("style", "")) is not None
    )


def _flatten(table: Any) -> None:
    rows = [row for row in table.iter("tr") if next(row.iterancestors("table"), None) is table]
    as_data = _is_data(table, rows)
    for row in rows:
        for n, cell in enumerate(cell for cell in row if cell.tag in ("td", "th")):
            cell.tag = "span" if as_data else "div"
            if as_data and n:
                cell.text = " | " + (cell.text or "").lstrip()
        row.tag = "div"
    for part in table.iter("thead", "tbody", "tfoot", "caption"):
        part.tag = "div"
    table.tag = "p" if as_data else "div"


def _is_data(table: Any, rows: list[Any]) -> bool:
    """Whether the cells of a row belong on one line: short things side by side, not columns of a page."""
    if table.get("role", "").lower() in ("presentation", "none"):
        return False
    return not any(_BLOCKS.fullmatch(element.tag) for row in rows for element in row.iter()) and any(
        sum(1 for cell in row if cell.tag in ("td", "th")) > 1 for row in rows
    )


def _empty(element: Any) -> bool:
    return not "".join(element.itertext()).strip("\u00a0 \t\r\n")


def _spell_out(link: Any) -> None:
    """Put the address of a link behind its text, unless the text says it already."""
    from lxml.html import Element

    address = (link.get("href") or "").strip()
    seen = " ".join("".join(link.itertext()).split())
    if _NO_ADDRESS.match(address) or (not seen and not len(link)):
        return
    bare = re.sub(r"^(?:mailto:|tel:|https?://(?:www\.)?)", "", address, flags=re.IGNORECASE)
    if seen in (address, bare, bare.rstrip("/")):
        return
    if address.lower().startswith("mailto:"):
        address = address[7:].partition("?")[0] if "?" not in address else address
    spelled = Element("span")
    spelled.text = f" <{address}>" if seen else f"<{address}>"
    link.append(spelled)
