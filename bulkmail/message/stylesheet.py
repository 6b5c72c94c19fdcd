"""A stylesheet that must win: every declaration !important, where that means something.

Not a CSS parser: it knows strings, comments, blocks and declarations, and copies what it does not know.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""/\*.*?(?:\*/|\Z) | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'
        | url\([^)"']*\) | [{};()] | [^{};()"'/u]+ | .""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
# Blocks that hold rules; every other at-rule holds descriptors, to which !important is an error.
_GROUPS = re.compile(r"\s*@(?:media|supports|layer|container|document|-moz-document)\b", re.IGNORECASE)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_IMPORTANT = re.compile(r"!\s*important\s*$", re.IGNORECASE)


def insistent(css: str) -> str:
    """`css` with all declarations of its rules !important; fonts, keyframes and imports as they are."""
    out: list[str] = []
    held = ""  # of the prelude or declaration that is being read
    blocks: list[str] = []  # "group", "rule" or "other", outermost first
    depth = 0  # of parentheses: url(data:image/png;base64,…)
    for token in _TOKEN.findall(css):
        if token == "(":
            depth += 1
        elif token == ")":
            depth = max(0, depth - 1)
        if depth or token not in ("{", "}", ";"):
            held += token
            continue
        if token == "{":
            prelude = _COMMENT.sub("", held)
            if _GROUPS.match(prelude) and "rule" not in blocks and "other" not in blocks:
                blocks.append("group")
            else:
                at_rule = prelude.lstrip().startswith("@") or "other" in blocks
                blocks.append("other" if at_rule else "rule")
            out.append(held)
        else:
            out.append(_declaration(held) if blocks and blocks[-1] == "rule" else held)
            if token == "}" and blocks:
                blocks.pop()
        out.append(token)
        held = ""
    out.append(_declaration(held) if blocks and blocks[-1] == "rule" else held)
    return "".join(out)


def _declaration(text: str) -> str:
    said = _COMMENT.sub("", text)
    if ":" not in said or _IMPORTANT.search(said):
        return text
    body = text.rstrip()
    return f"{body} !important{text[len(body) :]}"
