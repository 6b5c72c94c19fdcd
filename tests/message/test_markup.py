"""Markdown and HTML with Jinja in them: a value is never markup, control flow is where it was written."""

from __future__ import annotations

import re

import pytest
from drafts import body, composer, markdown, read
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape

from bulkmail.message import Composer, Content, Source

CELL = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60)
LOOP = "{% for item in items %}- {{ item.name }}: `{{ code }}`\n{% endfor %}"
ITEMS = {"items": [{"name": "A & B"}, {"name": "*C*"}]}


def html_part(c: Composer, row: dict[str, str]) -> str:
    return body(read(c.render("a@b.example", row)), "html")


def text_part(c: Composer, row: dict[str, str]) -> str:
    return body(read(c.render("a@b.example", row)))


def from_html(source: str, **changes: object) -> Composer:
    return composer(text=None, content=Content(html=Source(source, "x.html")), **changes)


GREETING = markdown("# Hi {{ name }}\n\n`{{ name }}` and *{{ name }}*\n")
LINK = "Hi **{{ name }}**,\n\n[go](https://x.example/{{ id }}?a=b) {{ name | upper }}\n"
ONCE, EACH = markdown(LINK), markdown(LINK + "{% if 0 %}{% endif %}")


@given(CELL)
def test_a_value_is_never_read_as_markup(value: str) -> None:
    shown = re.sub(r' style="[^"]*"', "", html_part(GREETING, {"name": value}))
    assert (
        f"<h1>Hi {escape(value)}</h1>\n<p><code>{escape(value)}</code> and <em>{escape(value)}</em></p>"
        in shown
    )


@given(CELL)
def test_converting_the_template_once_gives_what_converting_each_message_gives(value: str) -> None:
    row = {"name": value, "id": "7"}
    assert html_part(ONCE, row) == html_part(EACH, row)


def test_a_loop_in_markdown_becomes_a_list() -> None:
    c = markdown("Hi\n\n" + LOOP, data=ITEMS)
    shown = re.sub(r' style="[^"]*"', "", html_part(c, {"code": "x*y"}))
    assert "<ul>\n<li>A &amp; B: <code>x*y</code></li>\n<li>*C*: <code>x*y</code></li>\n</ul>" in shown
    assert text_part(c, {"code": "x*y"}) == "Hi\n\n- A & B: `x*y`\n- *C*: `x*y`\n"


def test_raw_html_in_markdown_is_text() -> None:
    assert "&lt;script&gt;" in html_part(markdown("<script>x</script>\n"), {})


def test_braces_that_a_conversion_makes_stay_text() -> None:
    c = from_html("<p>&#123;&#123; 6 * 7 }} and {{ name }}</p>")
    assert text_part(c, {"name": "x"}) == "{{ 6 * 7 }} and x\n"


def test_html_escapes_its_values_and_its_text_part_does_not() -> None:
    c = from_html("<p>Dear {{ name }}</p>")
    row = {"name": "<b>&"}
    assert (html_part(c, row), text_part(c, row)) == ("<p>Dear &lt;b&gt;&amp;</p>\n", "Dear <b>&\n")


@pytest.mark.parametrize(
    ("source", "row", "text"),
    [
        (
            '<p>See <a href="https://x.example/{{ id }}">this</a></p>',
            {"id": "7"},
            "See this <https://x.example/7>\n",
        ),
        ("<p>a</p>\n{% if vip %}<p>b</p>\n{% endif %}<p>c</p>", {"vip": "1"}, "a\n\nb\n\nc\n"),
        ("<p>a</p>\n{% if vip %}<p>b</p>\n{% endif %}<p>c</p>", {"vip": ""}, "a\n\nc\n"),
        ("<ul>{% for i in items %}<li>{{ i.name }}</li>{% endfor %}</ul>", {}, "  * A & B\n  * *C*\n"),
        ('<p {% if vip %}class="{{ vip }}"{% endif %}>a</p>', {"vip": "1"}, "a\n"),
        (
            "<table>{% for i in items %}<tr><td>{{ i.name }}</td></tr>{% endfor %}</table>",
            {},
            "A & B\n\n*C*\n",
        ),
        ("{% set x = 1 %}<head>{% if x %}<title>t</title>{% endif %}</head><p>{{ x }}</p>", {}, "1\n"),
        ("<p>{{ more | safe }}</p>", {"more": "<b>bold</b> words"}, "bold words\n"),
    ],
)
def test_the_text_of_html_is_what_a_reader_of_the_html_would_read(
    source: str, row: dict[str, str], text: str
) -> None:
    c = from_html(source, data=ITEMS)
    assert c.check(row) is None
    assert text_part(c, row) == text
