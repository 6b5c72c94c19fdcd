"""A content file read into the sources of a draft, and how each kind of file becomes parts.

.txt is one text part. .md is read twice: as it stands it is the text part, converted it is the HTML part.
.html is the HTML part, .mjml becomes one; with a text part made from it, given as a file, or left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bulkmail.errors import ConfigError, Problem

KINDS = (".txt", ".md", ".html", ".mjml")


@dataclass(frozen=True, slots=True)
class Source:
    """One template as it was written, and where, for messages about it."""

    text: str
    file: str


@dataclass(frozen=True, slots=True)
class Content:
    """What the message says. Where `text` is None it is made from the rest, if `text_from_html` says so."""

    text: Source | None = None
    html: Source | None = None
    markdown: Source | None = None
    mjml: Source | None = None
    text_from_html: bool = True
    folder: Path = Path()  # of the template: where its images are


def read_content(template: Path, text: str | Path = "auto") -> Content:
    """Read `content.template` and `content.text` (auto, none, or a path relative to the template's folder).

    Raise ConfigError where a file cannot be read, is not UTF-8, or is of a kind that is not built.
    """
    suffix = template.suffix.lower()
    source = _read(template, "content.template")
    if suffix == ".txt":
        return Content(text=source)
    if suffix in KINDS or suffix == ".htm":
        given = None if text in ("auto", "none") else _read(template.parent / text, "content.text")
        return Content(
            text=given,
            html=source if suffix in (".html", ".htm") else None,
            markdown=source if suffix == ".md" else None,
            mjml=source if suffix == ".mjml" else None,
            text_from_html=text != "none",
            folder=template.parent,
        )
    raise ConfigError(
        Problem(
            str(template), 0, 0, "content.template", f"expected one of {', '.join(KINDS)}, not '{suffix}'"
        )
    )


def _read(path: Path, where: str) -> Source:
    try:
        return Source(path.read_bytes().decode("utf-8-sig"), str(path))
    except OSError as error:
        raise ConfigError(Problem(str(path), 0, 0, where, f"cannot be read: {error.strerror}")) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(Problem(str(path), line, 0, where, "not UTF-8: save the file as UTF-8")) from error
