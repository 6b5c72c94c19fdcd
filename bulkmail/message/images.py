"""Images that a message brings along: found in its HTML, loaded from the template's folder, named by cid.

What is found is changed in place: every other octet of the document stays. A source is what a person would
call the file, without entities; `cid:logo.png` in a template means the file logo.png too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape, unescape
from pathlib import Path
from urllib.parse import unquote

from bulkmail.message.tags import TOKEN, attributes

LARGEST = 10 * 1024 * 1024  # octets; more than most servers take in a message, once it is base64

_SHOWN = frozenset(("img", "input", "image", "v:fill", "v:image", "v:imagedata", "v:stroke"))
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:|//|#", re.IGNORECASE)
_URL = re.compile(
    r"""(?P<skip>/\*.*?\*/|@import\b[^;]*;?|@font-face\s*\{[^}]*\})
    |   \burl\(\s*(?P<quote>&quot;|&\#3[49];|&apos;|["']|)(?P<source>.*?)(?P=quote)\s*\)""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_CANDIDATE = re.compile(r"[^\s,]\S*[^\s,]|[^\s,]")
_TYPES = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
)
_SVG = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*(?:<!doctype[^>]*>\s*)?<svg\b", re.DOTALL | re.IGNORECASE
)

Rename = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Image:
    """`name` is the file's own, `type` its media type by what it holds."""

    name: str
    type: str
    content: bytes = field(repr=False)


def image_sources(html: str) -> list[str]:
    """The files that `html` shows, each once, in order: no address with a scheme, but cid:."""
    found: dict[str, None] = {}

    def note(source: str) -> None:
        found.setdefault(source)

    _each_source(html, note)
    return list(found)


def with_cids(html: str, cids: Mapping[str, str]) -> str:
    """`html` with `cid:` and its Content-ID (without brackets) for each source that `cids` knows."""

    def rename(source: str) -> str | None:
        return f"cid:{cids[source]}" if source in cids else None

    return _each_source(html, rename)


def _each_source(html: str, rename: Rename) -> str:
    return TOKEN.sub(lambda token: _in_token(token, rename), html)


def _in_token(token: re.Match[str], rename: Rename) -> str:
    if (token["kind"] or "").lower() == "style":
        return _spliced(token, "content", _in_css(token["content"], rename))
    if not token["name"]:
        return token[0]
    element = token["name"].lower()
    inside = token["attributes"]
    pieces, at = [], 0
    for name, value, start, end in attributes(inside):
        if name == "background" or (name == "src" and element in _SHOWN):
            new = _renamed(value, rename)
        elif name == "srcset" and element in ("img", "source"):
            new = _in_srcset(value, rename)
        elif name == "style":
            new = _in_css(value, rename)
        else:
            continue
        pieces += [inside[at:start], new]
        at = end
    return _spliced(token, "attributes", "".join([*pieces, inside[at:]]))


def _spliced(token: re.Match[str], group: str, new: str) -> str:
    start, end = token.start(group) - token.start(), token.end(group) - token.start()
    return token[0][:start] + new + token[0][end:]


def _renamed(value: str, rename: Rename) -> str:
    """`value` as it was written, or what takes its place."""
    source = unescape(value).strip()
    if not source or (_SCHEME.match(source) and not source.lower().startswith("cid:")):
        return value
    new = rename(source)
    return value if new is None else escape(new)


def _in_css(css: str, rename: Rename) -> str:
    def url(match: re.Match[str]) -> str:
        if match["skip"]:
            return match[0]
        return _spliced(match, "source", _renamed(match["source"], rename))

    return _URL.sub(url, css)


def _in_srcset(value: str, rename: Rename) -> str:
    """`a.png 1x, b.png 2x`: the first of each candidate is an address."""
    if "data:" in value:
        return value  # whose commas part nothing; and who wrote that brings no files
    return ",".join(
        _CANDIDATE.sub(lambda match: _renamed(match[0], rename), candidate, count=1)
        for candidate in value.split(",")
    )


def load_image(folder: Path, source: str) -> Image:
    """The image that `source` names in `folder`. Raise ValueError, for people."""
    name = re.sub(r"^cid:", "", source, flags=re.IGNORECASE)
    try:
        path = next((path for path in _candidates(folder, name) if path.is_file()), None)
        if path is None:
            raise ValueError(f"image {source}: not found in {folder}")
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"image {source}: outside of {folder}, the template's folder")
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise ValueError(f"image {source}: cannot be read: {error.strerror}") from error
    if len(content) > LARGEST:
        raise ValueError(f"image {source}: larger than {LARGEST >> 20} MB")
    for begins, type_ in _TYPES:
        if begins.match(content):
            return Image(path.name, type_, content)
    if _SVG.match(content):
        raise ValueError(f"image {source}: mail clients do not show SVG; save it as PNG")
    raise ValueError(f"image {source}: not a PNG, JPEG, GIF or WebP file")


def _candidates(folder: Path, name: str) -> list[Path]:
    """What a name may mean, as in a browser: as it stands, then %20 read, then without ?version."""
    names = dict.fromkeys((name, unquote(name), unquote(re.split(r"[?#]", name, maxsplit=1)[0])))
    return [folder / name for name in names if name and "\0" not in name]
