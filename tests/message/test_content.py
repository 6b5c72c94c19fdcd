"""Content files and the parts that they become."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from drafts import DATE, as_lines, composer, draft, read

from bulkmail.errors import ConfigError
from bulkmail.message import Composer, Content, Source, read_content


def test_content_files_become_parts_by_their_kind(tmp_path: Path) -> None:
    sources = {"a.txt": "Text\n", "a.md": "*Words*\n", "a.html": "<p>Words</p>\n", "b.txt": "Given\n"}
    for name, text in sources.items():
        (tmp_path / name).write_text(text, encoding="utf-8-sig")

    def parts(name: str, text: str = "auto") -> dict[str, str]:
        c = Composer(replace(draft(), content=read_content(tmp_path / name, text)), date=DATE)
        message = read(c.render("a@b.example", {}))
        return {
            p.get_content_type(): as_lines(p.get_content()) for p in message.walk() if not p.is_multipart()
        }

    assert parts("a.txt") == {"text/plain": "Text\n"}
    assert parts("a.html") == {"text/plain": "Words\n", "text/html": "<p>Words</p>\n"}
    assert parts("a.html", "none") == {"text/html": "<p>Words</p>\n"}
    assert parts("a.html", "b.txt") == {"text/plain": "Given\n", "text/html": "<p>Words</p>\n"}
    assert parts("a.md")["text/plain"] == "*Words*\n"
    assert "<em>Words</em></p>" in parts("a.md")["text/html"]


def test_content_that_cannot_be_read_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_bytes(b"one\ntwo \xff\n")
    with pytest.raises(ConfigError, match=r"a\.html:2: content\.template: not UTF-8"):
        read_content(path)


def test_html_without_text_is_one_part() -> None:
    c = composer(text=None, content=Content(html=Source("<p>x</p>\n", "x.html"), text_from_html=False))
    assert read(c.render("a@b.example", {})).get_content_type() == "text/html"
