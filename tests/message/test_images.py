"""Images of a template: found wherever HTML can name one, changed in place, loaded from its folder only."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.message.document import mjml_html
from bulkmail.message.images import LARGEST, Image, image_sources, load_image, with_cids

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
TEXT = st.text(max_size=8)
PIECES = st.one_of(
    TEXT,
    st.sampled_from(["<img src='a.png'>", '<td background="b.png">', "<p style='background:url(c.png)'>"]),
    st.sampled_from(
        ["<!--", "-->", "<style>", "</style>", "url(", ")", "<img src=", ">", "'", '"', "<![endif]-->"]
    ),
    st.sampled_from(
        ["<title>", "</title>", "<!--[if mso]>", "@import url(x);", "srcset='a.png 2x'", "&quot;"]
    ),
)


@pytest.mark.parametrize(
    ("html", "sources"),
    [
        (
            "<img src=a.png><IMG SRC='b c.png'><img alt='>' src = \"&#100;.png\">",
            ["a.png", "b c.png", "d.png"],
        ),
        ("<img src=a.png><img src=a.png>", ["a.png"]),
        ("<img src=https://x.test/a.png><img src='//x.test/a.png'><img src='data:image/png;base64,x'>", []),
        ("<img src='cid:a.png'><img src=''><img alt=x>", ["cid:a.png"]),
        ("<td background=a.png><body background='b.png'>", ["a.png", "b.png"]),
        ("<!--[if mso]><v:fill type='tile' src='a.png'/><![endif]-->", ["a.png"]),
        ("<!-- <img src=a.png> --><title><img src=b.png></title><script>'<img src=c.png>'</script>", []),
        ("<p style=\"background: url('a.png'), URL( b.png )\">", ["a.png", "b.png"]),
        ("<p style='background:url(&quot;a.png&quot;)'>", ["a.png"]),
        ("<style>p { background: url(a.png) } /* url(b.png) */ @import url(c.css);</style>", ["a.png"]),
        (
            "<style>@font-face { src: url(r.woff) } @media x { p { background: url('a.png') } }</style>",
            ["a.png"],
        ),
        ("<img srcset='a.png 1x, b.png 2x' src=c.png>", ["a.png", "b.png", "c.png"]),
        ("<img srcset='data:image/png;base64,aa 1x'>", []),
        ("<script src=a.js></script><iframe src=b.html></iframe><a href=c.png>x</a>", []),
    ],
)
def test_images_are_found_where_html_names_them(html: str, sources: list[str]) -> None:
    assert image_sources(html) == sources


def test_the_background_of_an_mjml_section_is_found_for_outlook_too() -> None:
    section = (
        '<mj-section background-url="a.png"><mj-column><mj-image src="b.png" /></mj-column></mj-section>'
    )
    html = with_cids(
        mjml_html(f"<mjml><mj-body>{section}</mj-body></mjml>"), {"a.png": "1@x", "b.png": "2@x"}
    )
    assert image_sources(html) == ["cid:1@x", "cid:2@x"]
    assert "<v:fill " in html
    assert "a.png" not in html


@pytest.mark.parametrize(
    ("html", "changed"),
    [
        ("<p>a.png<img src=a.png alt=a.png>", "<p>a.png<img src=cid:1@x alt=a.png>"),
        ("<img src=' a&#46;png ' data-src='a.png'>", "<img src='cid:1@x' data-src='a.png'>"),
        ("<p style=\"background:url( 'a.png' )\">", "<p style=\"background:url( 'cid:1@x' )\">"),
        ("<style>p{background:url(a.png)}</style>", "<style>p{background:url(cid:1@x)}</style>"),
        ("<img srcset='a.png 1x, b.png 2x'>", "<img srcset='cid:1@x 1x, b.png 2x'>"),
        ("<!-- <img src=a.png> -->", "<!-- <img src=a.png> -->"),
    ],
)
def test_a_source_becomes_its_cid_and_nothing_else_changes(html: str, changed: str) -> None:
    assert with_cids(html, {"a.png": "1@x"}) == changed


@given(st.lists(PIECES).map("".join))
def test_a_document_whose_images_are_not_known_stays_as_it_is(html: str) -> None:
    assert with_cids(html, {"unknown.png": "1@x"}) == html


@given(st.lists(PIECES).map("".join))
def test_every_source_that_is_found_can_be_named_and_found_again(html: str) -> None:
    cids = {source: f"{n}@x" for n, source in enumerate(image_sources(html))}
    assert image_sources(with_cids(html, cids)) == [f"cid:{cid}" for cid in cids.values()]


# --- loading ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "type_"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0x", "image/jpeg"),
        (b"GIF89ax", "image/gif"),
        (b"RIFF\n\0\0\0WEBPx", "image/webp"),
    ],
)
def test_an_image_is_what_it_holds_whatever_its_name(tmp_path: Path, content: bytes, type_: str) -> None:
    (tmp_path / "a.dat").write_bytes(content)
    assert load_image(tmp_path, "a.dat") == Image("a.dat", type_, content)


@pytest.mark.parametrize("source", ["my logo.png", "my%20logo.png", "my%20logo.png?v=2", "cid:my logo.png"])
def test_an_image_is_found_as_a_browser_would(tmp_path: Path, source: str) -> None:
    (tmp_path / "my logo.png").write_bytes(PNG)
    assert load_image(tmp_path, source).name == "my logo.png"


def test_an_image_does_not_show_its_content_in_messages() -> None:
    assert repr(Image("a.png", "image/png", PNG)) == "Image(name='a.png', type='image/png')"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("b.png", "not found in"),
        ("x" * 300 + ".png", "cannot be read: File name too long"),
        ("a\0.png", "not found in"),
        ("", "not found in"),
        (".", "not found in"),
        ("../outside.png", "outside of"),
        ("link.png", "outside of"),
        ("text.png", "not a PNG, JPEG, GIF or WebP file"),
        ("empty.png", "not a PNG, JPEG, GIF or WebP file"),
        ("a.svg", "mail clients do not show SVG; save it as PNG"),
        ("large.png", "larger than 10 MB"),
    ],
)
def test_what_cannot_be_embedded_is_told(tmp_path: Path, source: str, said: str) -> None:
    folder = tmp_path / "templates"
    folder.mkdir()
    (tmp_path / "outside.png").write_bytes(PNG)
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    (folder / "text.png").write_text("hello")
    (folder / "empty.png").touch()
    (folder / "a.svg").write_text(
        '<?xml version="1.0"?>\n<!-- x --><svg xmlns="http://www.w3.org/2000/svg"/>'
    )
    with (folder / "large.png").open("wb") as file:
        file.write(PNG)
        file.truncate(LARGEST + 1)
    with pytest.raises(ValueError, match=said):
        load_image(folder, source)


def test_an_absolute_path_is_outside(tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(PNG)
    (tmp_path / "templates").mkdir()
    with pytest.raises(ValueError, match="outside of"):
        load_image(tmp_path / "templates", str(tmp_path / "outside.png"))
