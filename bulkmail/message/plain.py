"""HTML as text, for readers that show no HTML.

inscriptis draws tables as columns. A newsletter is made of tables that only place things, and its values have
any length, so columns would be wide and never straight. The tree is therefore put in order first: what nobody
sees is dropped, tables that place things become blocks one below the other, tables of data one line a row,
and links get their address behind them, in the brackets that RFC 3986 (appendix C) recommends for text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inscriptis.model.config import ParserConfig  # type: ignore[import-untyped]

_HIDDEN = re.compile(
    r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all)", re.IGNORECASE
)
_BORDER = re.compile(r"(?:^|;)\s*border-(?:top|bottom)\s*:", re.IGNORECASE)
_BLOCK_STYLE = re.compile(r"(?:^|;)\s*display\s*:\s*(?:block|table|flex)\b", re.IGNORECASE)
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


def _config() -> ParserConfig:
    from inscriptis.css_profiles import CSS_PROFILES  # type: ignore[import-untyped]
    from inscriptis.html_properties import Display, WhiteSpace  # type: ignore[import-untyped]
    from inscriptis.model.config import ParserConfig
    from inscriptis.model.html_element import HtmlElement  # type: ignore[import-untyped]

    pre = HtmlElement(display=Display.block, margin_before=1, margin_after=1, whitespace=WhiteSpace.pre)
    quote = HtmlElement(display=Display.block, margin_before=1, margin_after=1, padding_inline=2)
    inherit = HtmlElement(whitespace=None)
    gap = HtmlElement(display=Display.block, margin_before=1, margin_after=1)
    table = HtmlElement(display=Display.block)
    return ParserConfig(
        css=CSS_PROFILES["strict"]
        | {"pre": pre, "code": inherit, "span": inherit, "blockquote": quote, "gap": gap}
        | dict.fromkeys(("thead", "tbody", "tfoot", "caption", "center", "dl", "dt", "dd"), table)
    )


def tidy(text: str) -> str:
    """`text` without what only took up room: runs of spaces, spaces at the end, more than one empty line."""
    text = _INVISIBLE.sub("", text)
    lines = (_SPACES.sub(" ", line).rstrip() for line in text.split("\n"))
    text = _EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip("\n")
    return text + "\n" if text else ""


def _reduce(tree: Any) -> None:
    """Put a tree of lxml in order for inscriptis, in place."""
    for element in [element for element in tree.iter("*") if _unseen(element)]:
        if element.getparent() is not None:
            element.drop_tree()
    for table in list(tree.iter("table")):
        _flatten(table)
    for list_ in list(tree.iter("ul", "ol")):
        if next(list_.iterancestors("li"), None) is None:
            _set_apart(list_)
    for image in list(tree.iter("img")):
        alt = " ".join((image.get("alt") or "").split())
        image.tag = "span"
        image.text = f"[{alt}]" if alt else None
        image.attrib.pop("style", None)
    _spell_out(list(tree.iter("a")))
    for line in list(tree.iter("p", "hr")):
        if line.tag == "hr" or (_BORDER.search(line.get("style", "")) and not _seen(line)):
            line.tag, line.text = "p", _RULE
    for element in tree.iter("*"):  # inscriptis would read margins in pixels as lines, and centre text
        block = _BLOCK_STYLE.search(element.attrib.pop("style", "")) is not None
        if block and element.tag in ("span", "a"):
            element.set("style", "display:block")
        for name in ("align", "valign"):
            element.attrib.pop(name, None)
        # inscriptis decodes entities, which were decoded when the tree was made
        for attribute in ("text", "tail"):
            text = getattr(element, attribute)
            if text and "&" in text:
                setattr(element, attribute, text.replace("&", "&amp;"))


def _unseen(element: Any) -> bool:
    return (
        _UNSEEN.fullmatch(element.tag) is not None
        or element.get("hidden") is not None
        or _HIDDEN.search(element.get("style", "")) is not None
    )


def _seen(element: Any) -> str:
    """The text of an element, as one line."""
    return " ".join("".join(element.itertext()).split())


def _set_apart(element: Any) -> None:
    """An empty line around an element. A margin of its own would part what is in it, too."""
    from lxml.html import Element

    if element.getparent() is not None:
        element.addprevious(Element("gap"))
        element.addnext(Element("gap"))


def _flatten(table: Any) -> None:
    rows = [row for row in table.iter("tr") if next(row.iterancestors("table"), None) is table]
    as_data = _is_data(table, rows)
    for row in rows:
        cells = [cell for cell in row if cell.tag in ("td", "th")]
        for n, cell in enumerate(cells):
            cell.tag, cell.tail = "span" if as_data else "div", None
            cell.attrib.pop("style", None)
            if not as_data:
                _set_apart(cell)
            elif n:
                cell.text = " | " + (cell.text or "").lstrip()
        row.tag = "div"
    table.tag = "div"
    _set_apart(table)


def _is_data(table: Any, rows: list[Any]) -> bool:
    """Whether the cells of a row belong on one line: short things side by side, not columns of a page."""
    if (table.get("role") or "").lower() in ("presentation", "none"):
        return False
    several = any(sum(1 for cell in row if cell.tag in ("td", "th")) > 1 for row in rows)
    return several and not any(_BLOCKS.fullmatch(element.tag) for row in rows for element in row.iter())


def _spell_out(links: list[Any]) -> None:
    """Put the address of each link behind its text, unless the text says it already.

    An image without words needs none where a text beside it leads to the same place.
    """
    from lxml.html import Element

    told = {link.get("href") for link in links if _seen(link)}
    for link in links:
        address = (link.get("href") or "").strip()
        seen = _seen(link)
        if _NO_ADDRESS.match(address) or (not seen and (link.get("href") in told or not len(link))):
            continue
        if address.lower().startswith("mailto:") and "?" not in address:
            address = address[len("mailto:") :]
        bare = re.sub(r"^(?:mailto:|tel:|https?://(?:www\.)?)", "", address, flags=re.IGNORECASE)
        if seen in (address, bare, bare.rstrip("/")):
            continue
        following = link.getnext()
        spelled = Element("span")
        spelled.text = f" <{address}>" if seen else f"<{address}>"
        link.append(spelled)
        if not (link.tail or "").strip() and following is not None and following.tag == "a":
            link.tail = "  "
