"""Markdown, MJML and preheaders as whole documents: words survive, mistakes are told with their line."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.message.document import (
    MarkupProblem,
    inlined,
    markdown_html,
    mjml_html,
    plain_text,
    with_preheader,
)

WORD = re.compile(r"zq3fa9x\d+qz")
MARKDOWN = """\
# Hello zq3fa9x0qz

[zq3fa9x1qz](https://a.test/zq3fa9x2qz/x?y=zq3fa9x3qz&z=1 "zq3fa9x4qz") and **zq3fa9x5qz**, `zq3fa9x6qz`

![zq3fa9x7qz](https://a.test/zq3fa9x8qz.png) <https://a.test/zq3fa9x9qz>

| a | b |
|---|---|
| zq3fa9x10qz | 1 |

- zq3fa9x11qz

      zq3fa9x12qz
"""
MJML = """\
<mjml>
<mj-head><mj-title>zq3fa9x0qz &amp; Ünï</mj-title><mj-preview>zq3fa9x1qz</mj-preview>
<mj-style>.card:hover { color: red } @media (prefers-color-scheme: dark) { .card { color: #fff } }</mj-style>
<mj-style inline="inline">.card { color: #010203 }</mj-style></mj-head>
<mj-body><mj-section><mj-column>
<mj-text css-class="card">Hällo zq3fa9x2qz &lt;b&gt; &mdash;<br/>x</mj-text>
<mj-button href="https://a.test/?u=zq3fa9x3qz&amp;v=1">zq3fa9x4qz</mj-button>
<mj-image src="https://a.test/zq3fa9x5qz/logo.png" alt="zq3fa9x6qz" title="zq3fa9x7qz" />
<mj-table><tr><td>zq3fa9x8qz</td></tr></mj-table>
<mj-raw><p>zq3fa9x9qz</p></mj-raw>
</mj-column></mj-section></mj-body>
</mjml>
"""


def words(text: str) -> list[str]:
    return sorted(set(WORD.findall(text)))


def mjml_text(markup: str) -> str:
    return (
        "<mjml><mj-body><mj-section><mj-column>\n"
        f"<mj-text>{markup}</mj-text>\n"
        "</mj-column></mj-section></mj-body></mjml>"
    )


# --- Markdown -----------------------------------------------------------------------------------------


def test_words_survive_wherever_they_stand_in_markdown() -> None:
    assert words(inlined(markdown_html(MARKDOWN))) == words(MARKDOWN)


def test_html_in_markdown_is_text() -> None:
    assert "&lt;img src=x onerror=y&gt;" in markdown_html("A <img src=x onerror=y>")


def test_a_markdown_link_that_runs_a_script_is_no_link() -> None:
    assert "href" not in markdown_html("[x](javascript:alert)").partition("<body>")[2]


def test_a_markdown_page_is_the_same_every_time() -> None:
    assert inlined(markdown_html(MARKDOWN)) == inlined(markdown_html(MARKDOWN))


# --- MJML ---------------------------------------------------------------------------------------------


def test_words_survive_wherever_they_stand_in_mjml() -> None:
    assert words(inlined(mjml_html(MJML))) == words(MJML)


def test_titles_entities_and_letters_of_mjml_arrive_as_written() -> None:
    html = inlined(mjml_html(MJML))
    assert "<title>zq3fa9x0qz &amp; Ünï</title>" in html
    assert "Hällo zq3fa9x2qz &lt;b&gt; —<br>x" in html
    assert 'href="https://a.test/?u=zq3fa9x3qz&amp;v=1"' in html


def test_mjml_that_begins_with_a_declaration_or_a_comment_is_read() -> None:
    assert "x" in plain_text(mjml_html(f'<?xml version="1.0"?>\n<!-- by Ann -->\n{mjml_text("x")}'))


def test_only_fonts_that_a_document_names_are_linked() -> None:
    named = '<mjml><mj-head><mj-font name="R" href="https://f.test/r" /></mj-head>'
    text = "<mj-body><mj-section><mj-column><mj-text{}>x</mj-text></mj-column></mj-section></mj-body></mjml>"
    assert "<link" not in mjml_html("<mjml>" + text.format(""))
    assert "https://f.test/r" in mjml_html(named + text.format(' font-family="R"'))


@pytest.mark.parametrize(
    ("markup", "line", "said"),
    [
        ("a\n< b", 3, "a < that begins no tag: write &lt;"),
        ("x\n</p>", 3, "</p> where </mj-text> of line 2 is due"),
        ("<ul><li>x\n<li>y</ul>", 3, "</ul> where </li> of line 3 is due"),
        ("ü\n<img src=x.png>", 0, "not MJML: unable to parse next template"),
        ("üüü\n<![CDATA[x]]>", 3, "not MJML: unexpected token"),
        ('\n<mj-include path="a.mjml" />', 3, "mj-include is not supported: put its text into this file"),
        ("\n<mj-botton>x</mj-botton>", 3, "there is no component <mj-botton> in MJML"),
    ],
)
def test_a_mistake_in_mjml_is_told_with_its_line(markup: str, line: int, said: str) -> None:
    with pytest.raises(MarkupProblem) as caught:
        mjml_html(mjml_text(markup))
    assert (caught.value.line, caught.value.text) == (line, said)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("", "not MJML: unable to find mjml element"),
        ("<p>x</p>", "line 1: expected <mjml>, not <p>"),
        ("<mjml>\n<mj-body>", "line 2: <mj-body> is never closed"),
        ("<mjml></mjml></mjml>", "line 1: </mjml> closes nothing"),
        (mjml_text("\ud800"), "it holds half a character (a lone surrogate)"),
    ],
)
def test_what_is_no_mjml_is_told_so(source: str, said: str) -> None:
    with pytest.raises(MarkupProblem) as caught:
        mjml_html(source)
    assert str(caught.value) == said


# --- preheader ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<html><head><title>a <body> b</title></head><body class='x > y'>", "<p>text"),
        ("<!doctype html><html><head><meta charset=utf-8></head>", "<p>text"),
        ("<!doctype html>", "<p>text"),
        ("", "<p>text"),
        ("<!-- <body> --><BODY>", "text"),
        ('<!--[if mso]><body class="mso"><![endif]--><!--[if !mso]><!--><body>', "<!--<![endif]-->text"),
        ("<style>a:after { content: '<body>' }</style><body>", "text"),
    ],
)
def test_a_preheader_comes_first_in_the_body(before: str, after: str) -> None:
    html = with_preheader(before + after, "zq3fa9x0qz")
    assert html.startswith(f'{before}<div style="display:none;')
    assert html.endswith(f"</div>{after}")
    assert words(html) == ["zq3fa9x0qz"]


def test_a_preheader_is_hidden_from_the_text_too() -> None:
    assert plain_text(with_preheader("<body><p>Hello</p></body>", "Peek")) == "Hello\n"


def test_after_the_preheader_comes_more_room_than_a_list_of_messages_shows() -> None:
    html = with_preheader("<body>Hello", "Peek")
    between = html.partition("Peek")[2].partition("</div>")[0]
    assert between.count("&nbsp;") + between.count("&#8199;") >= 150


@given(st.text())
def test_without_a_preheader_a_document_stays_as_it_is(html: str) -> None:
    assert with_preheader(html, "") == html
