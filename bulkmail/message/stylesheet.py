"""What is left of a stylesheet once its rules are attributes: made to win, and without what matches nothing.

Not a CSS parser: it knows strings, comments, blocks and declarations, and copies what it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""/\*.*?(?:\*/|\Z) | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'
        | url\([^)"']*\) | [{};()] | [^{};()"'/u]+ | .""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
# Blocks that hold rules; every other at-rule holds descriptors, to which !important is an error.
_GROUP = re.compile(r"\s*@(?:media|supports|layer|container|document|-moz-document)\b", re.IGNORECASE)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_IMPORTANT = re.compile(r"!\s*important\s*$", re.IGNORECASE)
# Elements that mail clients do not put in themselves, as they do with a, div, span and u.
_WRITTEN = frozenset(
    (
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "p",
        "ul",
        "ol",
        "li",
        "dl",
        "dt",
        "dd",
        "blockquote",
        "pre",
        "code",
        "hr",
    )
) | frozenset(("table", "thead", "tbody", "tr", "th", "td", "img"))
_NAMES = re.compile(r"[a-z][a-z0-9]*(?:\s*[\s>+~]\s*[a-z][a-z0-9]*)*", re.IGNORECASE)


@dataclass(slots=True)
class _Block:
    kind: str  # group | rule | other
    prelude: str
    before: int  # pieces that stood before it


def remaining(css: str, elements: Collection[str]) -> str:
    """`css` for a document of `elements`: its declarations !important; fonts, keyframes, imports as they are.

    Rules that name only elements, of which one is not there, go; so do groups with nothing in them.
    """
    out: list[str] = []
    held = ""  # of the prelude or declaration that is being read
    blocks: list[_Block] = []
    depth = 0  # of parentheses: url(data:image/png;base64,…)
    for token in _TOKEN.findall(css):
        depth = max(0, depth + (token == "(") - (token == ")"))
        if depth or token not in ("{", "}", ";"):
            held += token
            continue
        if token == "{":
            blocks.append(_Block(_kind(held, blocks), held, len(out)))
            out.append(held)
        else:
            out.append(_declaration(held) if blocks and blocks[-1].kind == "rule" else held)
        out.append(token)
        if token == "}" and blocks:
            block = blocks.pop()
            if _is_idle(block, out, elements):
                del out[block.before :]
        held = ""
    out.append(_declaration(held) if blocks and blocks[-1].kind == "rule" else held)
    return "".join(out)


def _kind(prelude: str, outer: list[_Block]) -> str:
    said = _COMMENT.sub("", prelude)
    inside_groups = all(block.kind == "group" for block in outer)
    if _GROUP.match(said) and inside_groups:
        return "group"
    return "other" if said.lstrip().startswith("@") or not inside_groups else "rule"


def _is_idle(block: _Block, out: list[str], elements: Collection[str]) -> bool:
    if block.kind == "group":
        return not "".join(out[block.before + 2 : -1]).strip()
    return block.kind == "rule" and not any(
        _may_match(selector, elements) for selector in _COMMENT.sub("", block.prelude).split(",")
    )


def _may_match(selector: str, elements: Collection[str]) -> bool:
    if not _NAMES.fullmatch(selector.strip()):
        return True
    names = set(re.findall(r"[a-z0-9]+", selector.lower()))
    return all(name in elements for name in names & _WRITTEN)


def _declaration(text: str) -> str:
    said = _COMMENT.sub("", text)
    if ":" not in said or _IMPORTANT.search(said):
        return text
    body = text.rstrip()
    return f"{body} !important{text[len(body) :]}"
