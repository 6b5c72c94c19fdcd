"""CSS becomes attributes; what cannot stays and wins; nothing else of the document is moved or lost."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.message.document import MarkupProblem, inlined
from bulkmail.message.stylesheet import remaining

WORD = re.compile(r"zq3fa9x\d+qz")
AUTHOR = """\
<p> </p> <table> <tr> <td> </td> </table> <!--c--> <!--[if@mso]> <![endif]--> <![if@!mso]> --> < & ü x "
<!--<![endif]--> <?xml?> <!doctype@html> <b@title='>'> <title> </title> <script> </script> <pre> <svg>
zq3fa9x1qz <b@class=a> <a@href=zq3fa9x2qz>"""
PIECES = st.sampled_from([piece.replace("@", " ") for piece in AUTHOR.split()])


def styles(html: str) -> str:
    return "\n".join(re.findall(r"<style[^>]*>(.*?)</style>", html, re.DOTALL))


@given(st.lists(PIECES).map("".join))
def test_a_document_without_style_stays_as_it_is(html: str) -> None:
    assert inlined(html) == html


@given(st.lists(PIECES).map("".join))
def test_inlining_reads_whatever_an_author_writes_and_loses_no_word(html: str) -> None:
    document = f"<style>p {{ color: red }}</style><p>zq3fa9x0qz</p>{html}"
    assert set(WORD.findall(inlined(document))) == set(WORD.findall(document))


def test_a_rule_becomes_an_attribute() -> None:
    html = inlined("<style>p.a { color: red }</style><p class=a>x</p>")
    assert '<p class="a" style="color: red;">x</p>' in html
    assert "<style" not in html


def test_what_cannot_be_an_attribute_stays_and_wins() -> None:
    kept = styles(
        inlined(
            "<style>@font-face { font-family: R; src: url(https://f.test/r.woff) }"
            ".a { color: #111 } .a:hover { color: red }"
            "@media (prefers-color-scheme: dark) { .a { color: #eee; margin: 0 !important } }"
            "[data-ogsc] .a { color: white }</style><p class=a>x</p>"
        )
    )
    assert "@font-face { font-family: R; src: url(https://f.test/r.woff) }" in kept
    assert ".a:hover { color: red !important; }" in kept
    assert (
        "@media (prefers-color-scheme: dark) { .a { color: #eee !important; margin: 0 !important } }" in kept
    )
    assert "[data-ogsc] .a { color: white !important; }" in kept
    assert "#111" not in kept


def test_a_style_for_print_alone_is_not_inlined() -> None:
    html = inlined('<style media="print">p { display: none }</style><style>p { color: red }</style><p>x</p>')
    assert '<p style="color: red;">x</p>' in html
    assert '<style media="print">p { display: none }</style>' in html


@pytest.mark.parametrize(
    "piece",
    [
        '<!--[if mso | IE]><table width="600"><tr><td><![endif]-->',
        "<!--[if !mso]><!--><i>not Outlook</i><!--<![endif]-->",
        "<!--[if !mso]><!-- --><i>not Outlook</i><!-- <![endif]-->",
        "<![if !mso]><i>not Outlook</i><![endif]>",
        "<!--[if mso]><style>p { margin: 1px }</style><![endif]-->",
        "<table><tbody>zq3fa9x0qz<tr><td>1</td></tr></tbody></table>",
        "<table><tbody><tr><td>1</td></tr>zq3fa9x0qz<tr><td>2</td></tr></tbody></table>",
        "<!-- a comment -->",
        '<a href="https://a.test/zq3fa9x0qz/?a=1&amp;b=zq3fa9x1qz" title="&quot;b&quot;">x &lt; ü &nbsp;</a>',
        '<v:rect xmlns:v="urn:x" fill="true"></v:rect>',
    ],
)
def test_this_comes_through_inlining_as_it_was(piece: str) -> None:
    head = "<html><head><title>a &amp; ü</title><style>u { color: red }</style></head>"
    html = inlined(f"{head}<body>{piece}<u>x</u></body></html>")
    assert f'<body>{piece}<u style="color: red;">x</u></body>' in html
    assert "<title>a &amp; ü</title>" in html


@pytest.mark.parametrize(
    "doctype",
    [
        "<!DOCTYPE html>",
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/'
        'xhtml1-transitional.dtd">',
    ],
)
def test_the_doctype_decides_how_tables_are_drawn_and_stays(doctype: str) -> None:
    assert inlined(f"{doctype}\n<style>p {{ color: red }}</style><p>x</p>").startswith(f"{doctype}\n<html>")


def test_inlining_asks_neither_the_network_nor_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.css").write_text("p { letter-spacing: 9px }")
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        links = "".join(
            f'<link rel="stylesheet" href="{address}">'
            for address in (
                f"http://127.0.0.1:{server.getsockname()[1]}/x.css",
                (tmp_path / "x.css").as_uri(),
                "x.css",
            )
        )
        html = inlined(f"<head>{links}<style>p {{ color: red }}</style></head><p>x</p>")
        with pytest.raises(BlockingIOError):
            server.accept()
    assert links in html
    assert '<p style="color: red;">x</p>' in html


def test_half_a_character_is_a_problem_of_the_markup() -> None:
    with pytest.raises(MarkupProblem, match="half a character"):
        inlined("<style>p { color: red }</style>\ud800")


# --- what is left of a stylesheet ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("css", "left"),
    [
        ("a { b: c }", "a { b: c !important }"),
        ("a { b: c; d: e; }", "a { b: c !important; d: e !important; }"),
        ("a { b: c ! important }", "a { b: c ! important }"),
        ("a { b: url(data:x;y,{z}) }", "a { b: url(data:x;y,{z}) !important }"),
        ("a { b: 'x;}' /* ; */ }", "a { b: 'x;}' /* ; */ !important }"),
        ("@import url(x;y); a { }", "@import url(x;y); a { }"),
        ("@keyframes k { from { top: 0 } }", "@keyframes k { from { top: 0 } }"),
        ("@media x { @media y { a { b: c } } }", "@media x { @media y { a { b: c !important } } }"),
        ("h1 { b: c } p, .d { b: c }", " p, .d { b: c !important }"),
        ("@media x { pre code { b: c } }", ""),
        ("@media x { h1:hover { b: c } }", "@media x { h1:hover { b: c !important } }"),
        ("a { b: c", "a { b: c !important"),
        ("} a { b: c }", "} a { b: c !important }"),
    ],
)
def test_what_stays_of_a_stylesheet(css: str, left: str) -> None:
    assert remaining(css, {"p", "a"}) == left


@given(st.text(st.sampled_from("a{}:;@()'\"/* \\u!h1,")))
def test_a_stylesheet_that_was_read_once_is_read_again_alike(css: str) -> None:
    once = remaining(css, {"a"})
    assert remaining(once, {"a"}) == once


def test_what_inlines_is_loaded_only_where_there_is_something_to_inline() -> None:
    """It takes memory for as long as a run lasts."""
    code = (
        "import sys; from bulkmail.message.document import inlined; "
        "texts = '<p>Hi</p>', '<style>p {}</style>'; "
        "print(*('css_inline' in sys.modules for text in texts if inlined(text)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False", "True"]
