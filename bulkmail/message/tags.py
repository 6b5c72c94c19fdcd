"""HTML as a row of tags, comments and text: enough to change one thing in place and leave every other octet.

A parser that builds a tree also repairs the document, and writing the tree out again changes it everywhere.
So what needs one attribute or one place reads the document with these patterns instead. They know what hides
markup: comments, and elements whose content is no markup. Outlook's conditional comments hide nothing here;
they are two marks with markup between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

# A tag ends at the first > that is not in a quoted value. Possessive: what is no tag shows in one pass.
_INSIDE = r"""(?>=\s*"[^"]*"|=\s*'[^']*'|[^>])*+"""

TOKEN = re.compile(
    rf"""
      (?P<mark> <!--\[if\b[^\]>]*\](?:>(?:<!--\s*-*>|-->)?|-->)
        | <!(?:--\s*<!)?\[endif\](?:--+>|>) | <!\[if\b[^\]>]*\]> )
    | (?P<comment> <!--(?:-?>|.*?(?:--!?>|\Z)) )
    | (?P<declaration> <[!?][^>]*> )
    | (?P<raw> <(?P<kind>style|script|title|textarea|xmp|noembed)\b(?P<options>{_INSIDE})>
        (?P<content>.*?) (?:</(?P=kind)\s*>|\Z) )
    | (?P<end> </[a-z][^\s>/]*+{_INSIDE}> )
    | (?P<start> <(?P<name>[a-z][^\s>/]*+)(?P<attributes>{_INSIDE})> )
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)

_ATTRIBUTE = re.compile(
    r"""(?P<name>[^\s"'<>/=]+)
        (?: \s*=\s* (?: "(?P<double>[^"]*)" | '(?P<single>[^']*)' | (?P<bare>[^\s"'<>]+) ) )?""",
    re.VERBOSE,
)


def hides(mark: str, before: bool) -> bool:
    """Whether what follows `mark` is a comment to everybody but Outlook, given what it was before."""
    if mark.startswith("<!--[if"):
        return mark.endswith("]>")  # <!--[if !mso]><!--> shows to everybody
    return before and not mark.endswith("-->")


def attributes(inside: str) -> Iterator[tuple[str, str, int, int]]:
    """Each attribute of a tag: its name in lower case, its raw value, and where that value stands."""
    for match in _ATTRIBUTE.finditer(inside):
        kind = next((kind for kind in ("double", "single", "bare") if match[kind] is not None), "")
        if kind:
            yield match["name"].lower(), match[kind], match.start(kind), match.end(kind)
        else:
            yield match["name"].lower(), "", match.end(), match.end()


def attribute(inside: str, name: str) -> str | None:
    """The value of one attribute, or None where the tag does not have it."""
    return next((unescape(value) for found, value, _, _ in attributes(inside) if found == name), None)
