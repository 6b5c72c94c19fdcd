"""From what an author writes to what a reader sees: Markdown to HTML, HTML to text, its Jinja kept.

Converting is a thousand times dearer than filling in, so it is done once, on the template: every `{{ … }}`
becomes an opaque word, the converter runs, and the words become expressions again. A value is thus never
read as markup, because it was not there when markup was read. Loops and conditions cannot always travel
that way (half of one may stand in an attribute, or between two list items). Where they might not, the
conversion is done for each message instead, on the rendered source: slower, and right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING

import jinja2
from markupsafe import escape

if TYPE_CHECKING:
    from inscriptis.model.config import ParserConfig  # type: ignore[import-untyped]
    from markdown_it import MarkdownIt

# Neutral in light and dark, one column, no image: readable in every client that shows HTML at all.
LAYOUT = """\
<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
</head>
<body style="margin:0;padding:24px 12px">
<div style="max-width:600px;margin:0 auto;font:16px/1.5 system-ui,'Segoe UI',Roboto,Arial,sans-serif">
%s</div>
</body>
</html>
"""

_OPENING = {"variable_begin": "variable_end", "block_begin": "block_end", "raw_begin": "raw_end"}
_RUNS = re.compile(r"\n{3,}")
_DELIMITER = re.compile(r"\{(?=[{%#])")


class Pieces:
    """A Jinja source as text and tags, with opaque words for the tags. Comments are left out."""

    def __init__(self, environment: jinja2.Environment, source: str) -> None:
        """Raise jinja2.TemplateSyntaxError where `source` cannot be read."""
        self.pieces: list[tuple[str, str]] = []  # (text | variable | block, source)
        self._stem = next(stem for n in count() if (stem := f"zq{n}x") not in source)
        self.tags: list[str] = []
        closing, held, ignoring = "", "", False
        for _, kind, value in environment.lexer.tokeniter(source, None):
            if closing:
                held += value
                if kind == closing:
                    self.pieces.append((closing.partition("_")[0], held))
                    closing = ""
            elif kind in _OPENING:
                closing, held = _OPENING[kind], value
            elif kind in ("comment_begin", "comment_end", "comment"):
                ignoring = kind != "comment_end"
            elif not ignoring:
                self.pieces.append(("text", value))

    @property
    def has_blocks(self) -> bool:
        return any(kind != "text" and kind != "variable" for kind, _ in self.pieces)

    @cached_property
    def masked(self) -> str:
        """The source with a word for every tag."""
        self.tags.clear()
        masked = []
        for kind, value in self.pieces:
            if kind == "text":
                masked.append(value)
            else:
                masked.append(self.word(len(self.tags)))
                self.tags.append(value)
        return "".join(masked)

    def word(self, index: int) -> str:
        return f"{self._stem}{index}qz"

    @cached_property
    def words(self) -> re.Pattern[str]:
        return re.compile(rf"{self._stem}(\d+)qz")

    def unmask(self, converted: str) -> str:
        """The template that `converted` stands for. Braces that the conversion made stay text."""
        parts = self.words.split(converted)
        parts[::2] = [_DELIMITER.sub("{{ '{' }}", text) for text in parts[::2]]
        parts[1::2] = [self.tags[int(index)] for index in parts[1::2]]
        return "".join(parts)

    def marked(self) -> str:
        """The source with every expression handed to `mark__`, which gives a word for its value."""
        return "".join(
            re.sub(r"^(\{\{[-+]?)(.*?)([-+]?\}\}\s*)$", r"\1 mark__((\2)) \3", value, flags=re.DOTALL)
            if kind == "variable"
            else value
            for kind, value in self.pieces
        )


class Marks:
    """The values of one rendering, each behind its word."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._values: list[str] = []

    def mark(self, value: object) -> str:
        text = str(value if value is not None else "")  # a strict undefined raises here
        self._values.append(str(escape(text)))
        return self._pieces.word(len(self._values) - 1)

    def reveal(self, html: str) -> str:
        def value(match: re.Match[str]) -> str:
            # A captured block ({% set %}…{% endset %}) may hold words of its own.
            return self.reveal(self._values[int(match[1])])

        return self._pieces.words.sub(value, html)


class Markdown:
    """CommonMark with tables and strike-through; raw HTML is text, since a .html file is there for HTML."""

    @cached_property
    def _parser(self) -> MarkdownIt:
        from markdown_it import MarkdownIt

        return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])

    def html(self, source: str) -> str:
        body: str = self._parser.render(source)
        return LAYOUT % body

    def template(self, pieces: Pieces) -> str | None:
        """The HTML template of a Markdown template, or None where it must be converted message by message."""
        return None if pieces.has_blocks else pieces.unmask(self.html(pieces.masked))

    def per_message(
        self, pieces: Pieces, render: Callable[[Mapping[str, object]], str]
    ) -> Callable[[Mapping[str, object]], str]:
        """A renderer: `render` gives the Markdown of one message from `pieces.marked()`."""

        def html(values: Mapping[str, object]) -> str:
            marks = Marks(pieces)
            return marks.reveal(self.html(render({**values, "mark__": marks.mark})))

        return html


class PlainText:
    """HTML as text, with the addresses of its links, for readers that show no HTML."""

    @cached_property
    def _config(self) -> ParserConfig:
        from inscriptis.css_profiles import CSS_PROFILES  # type: ignore[import-untyped]
        from inscriptis.model.config import ParserConfig

        return ParserConfig(css=CSS_PROFILES["strict"], display_links=True)

    def text(self, html: str) -> str:
        from inscriptis import get_text  # type: ignore[import-untyped]

        converted: str = get_text(html, self._config)
        lines = [line.rstrip(" ") for line in converted.split("\n")]
        return tidy("\n".join(lines))

    def template(self, pieces: Pieces) -> str | None:
        """The text template of an HTML template, or None where it must be converted message by message."""
        text = self.text(pieces.masked)
        if any("safe" in tag or "Markup" in tag for tag in pieces.tags):
            return None  # a value that is HTML itself
        if pieces.has_blocks:
            # Sound only where every block tag came through, in order and on its own.
            survived = [int(index) for index in pieces.words.findall(text)]
            blocks = {n for n, tag in enumerate(pieces.tags) if not tag.startswith("{{")}
            if "<table" in pieces.masked.lower() or [n for n in survived if n in blocks] != sorted(blocks):
                return None
        template = pieces.unmask(text)
        # A line that holds only a block tag is not a line of the message.
        return re.sub(r"^[ ]*(\{%[^\n]*%\})[ ]*\n", r"\1", template, flags=re.MULTILINE)


def tidy(text: str) -> str:
    """A converted text without the empty lines that conditions leave behind."""
    return _RUNS.sub("\n\n", text).strip("\n") + "\n"
