"""HTML as text that somebody would have written: no columns, no hidden text, links with their address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.message.document import mjml_html, plain_text

NEWSLETTER = """\
<mjml>
<mj-head><mj-preview>What is new</mj-preview></mj-head>
<mj-body>
<mj-section><mj-column>
  <mj-image src="logo.png" alt="Acme Weekly" href="https://acme.test/?t=zq3fa9x0qz" />
  <mj-navbar>
    <mj-navbar-link href="https://acme.test/shop">Shop</mj-navbar-link>
    <mj-navbar-link href="https://acme.test/blog">Blog</mj-navbar-link>
  </mj-navbar>
</mj-column></mj-section>
<mj-section><mj-column>
  <mj-text><h1>Hello zq3fa9x1qz</h1></mj-text>
  <mj-text>We have <a href="https://acme.test/a?u=zq3fa9x2qz">three things</a>&nbsp;&mdash;
    read on.<br/>Ann</mj-text>
  <mj-button href="https://acme.test/go/zq3fa9x3qz">Read the story</mj-button>
  <mj-divider />
</mj-column></mj-section>
<mj-section>
  <mj-column><mj-image src="a.png" alt="Lamp" /><mj-text>Bright. 12 &euro;</mj-text></mj-column>
  <mj-column><mj-image src="b.png" alt="" /><mj-text><ul><li>oak</li><li>light</li></ul></mj-text></mj-column>
</mj-section>
<mj-section><mj-column>
  <mj-table>
    <tr><th>Item</th><th>Qty</th></tr>
    <tr><td>zq3fa9x4qz</td><td>2</td></tr>
  </mj-table>
  <mj-social><mj-social-element href="https://code.test/acme" src="c.png">Code</mj-social-element></mj-social>
  <mj-text>Acme Ltd, 1 Road<br/><a href="mailto:help@acme.test">help@acme.test</a>,
    <a href="https://acme.test/">acme.test</a></mj-text>
</mj-column></mj-section>
</mj-body>
</mjml>
"""


def test_entities_are_decoded_once() -> None:
    html = "<p>&amp;amp; &amp;lt;b&amp;gt;</p><pre>&amp;copy; &lt;</pre>"
    assert plain_text(html) == "&amp; &lt;b&gt;\n\n&copy; <\n"


def test_a_newsletter_of_tables_reads_like_a_letter() -> None:
    assert plain_text(mjml_html(NEWSLETTER)) == (
        "[Acme Weekly] <https://acme.test/?t=zq3fa9x0qz>\n\n"
        "Shop <https://acme.test/shop> Blog <https://acme.test/blog>\n\n"
        "Hello zq3fa9x1qz\n\n"
        "We have three things <https://acme.test/a?u=zq3fa9x2qz> — read on.\nAnn\n\n"
        "Read the story <https://acme.test/go/zq3fa9x3qz>\n\n"
        "----------------------------------------\n\n"
        "[Lamp]\n\nBright. 12 €\n\n"
        "  * oak\n  * light\n\n"
        "Item | Qty\nzq3fa9x4qz | 2\n\n"
        "Code <https://code.test/acme>\n\n"
        "Acme Ltd, 1 Road\nhelp@acme.test, acme.test\n"
    )


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>a</p><p>b</p>", "a\n\nb\n"),
        ("<title>t</title><style>p{}</style><script>x</script><p>a", "a\n"),
        ("<p style='DISPLAY : none'>x</p>a<p hidden>y</p><span style='mso-hide:all'>z</span>b", "ab\n"),
        ("<!--[if mso]>x<![endif]-->a<!--[if !mso]><!-->b<!--<![endif]-->", "ab\n"),
        ("a&shy;b&#8203;c &amp; &lt;d&gt;", "abc & <d>\n"),
        ("a&nbsp;&nbsp; &#8199;b", "a b\n"),
        ("<p>می‌خواهم</p>", "می‌خواهم\n"),
        ("<pre>a  b\n   c</pre>", "a  b\n   c\n"),
        ("<blockquote><p>a</p></blockquote>b", "  a\n\nb\n"),
        ("<ol><li>a<ul><li>b</li></ul></li><li>c</li></ol>", " 1. a\n      + b\n 2. c\n"),
        ("a<hr>b", "a\n\n----------------------------------------\n\nb\n"),
        ("<a href='https://x.test/'>https://x.test/</a>", "https://x.test/\n"),
        ("<a href='https://www.x.test/'>x.test</a>", "x.test\n"),
        ("<a href='mailto:a@b.test'>write</a>", "write <a@b.test>\n"),
        ("<a href='mailto:a@b.test?subject=x'>write</a>", "write <mailto:a@b.test?subject=x>\n"),
        ("<a href='tel:123'>123</a>", "123\n"),
        ("<a href='#top'>up</a> <a href='javascript:x'>run</a> <a name=y></a>", "up run\n"),
        ("<a href=x>1</a><a href=y>2</a>", "1 <x> 2 <y>\n"),
        ("<a href='https://x.test'><img src=a.png></a>", "<https://x.test>\n"),
        ("<a href=u><img src=a.png></a><a href=u>text</a>", "text <u>\n"),
        ("<img src=a.png alt=' A \n lamp '> <img src=b.png>", "[A lamp]\n"),
        ("<span style='display:block'>a</span><span>b</span>", "a\nb\n"),
        ("<table role=presentation><tr><td>a<td>b</table>", "a\n\nb\n"),
        ("<table><tr><td><p>a</p><td>b</table>", "a\n\nb\n"),
        ("<table><tr><td>a<td>b<tr><td><td>c</table>", "a | b\n| c\n"),
        ("", ""),
        ("<p> </p><!-- x -->", ""),
    ],
)
def test_html_as_text(html: str, text: str) -> None:
    assert plain_text(html) == text


TAGS = [
    "table",
    "tr",
    "td",
    "th",
    "div",
    "p",
    "a",
    "img",
    "ul",
    "ol",
    "li",
    "pre",
    "span",
    "br",
    "hr",
    "html",
]
TAGS += ["body", "head", "style", "script", "svg", "select", "h1", "blockquote", "textarea", "template"]
MARKUP = st.one_of(
    st.sampled_from([f"<{tag}>" for tag in TAGS] + [f"</{tag}>" for tag in TAGS]),
    st.sampled_from(
        ["<a href='u'>", "<p hidden>", "<table role=none>", "<ol start=x>", "<td colspan=99999>"]
    ),
    st.sampled_from(
        ["<?xml version='1.0' encoding='latin-1'?>", "<!--", "-->", "<![CDATA[", "&#0;", "<meta charset=x>"]
    ),
    st.text(max_size=5),
)


@given(st.lists(MARKUP, max_size=40).map("".join))
def test_text_can_be_made_of_anything(html: str) -> None:
    text = plain_text(html)
    assert text == "" or text.endswith("\n")
    assert "\n\n\n" not in text
    assert not any(line != line.rstrip() for line in text.split("\n"))


def test_text_can_be_made_of_what_is_nested_beyond_reason() -> None:
    assert plain_text("<div>" * 3000 + "x") in ("", "x\n")
