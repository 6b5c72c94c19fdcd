"""The page around Markdown can be read in light and in dark: contrasts computed from its own stylesheet."""

from __future__ import annotations

import re

import pytest

from bulkmail.message.document import inlined, markdown_html
from bulkmail.message.layout import LAYOUT

ENOUGH = 4.5  # WCAG 2.2, 1.4.3 (AA)
CSS = re.findall(r"<style>(.*)</style>", LAYOUT, re.DOTALL)[0]
LIGHT, _, REST = CSS.partition("@media (prefers-color-scheme: dark) {")
DARK = REST.partition("\n}")[0]
# Which text stands on which ground.
PAIRS = [
    (text, ground)
    for ground, texts in {
        ".page": (".page", "h1", "h2", "h3", "th", "a", "blockquote"),
        "code": ("code", "a", "blockquote"),
        "pre": ("pre",),
    }.items()
    for text in texts
]


def colours(css: str) -> dict[tuple[str, str], str]:
    found = {}
    for selectors, declarations in re.findall(r"([^{}]+)\{([^{}]*)\}", css):
        for selector in selectors.split(","):
            for name, value in re.findall(
                r"(?<![\w-])(color|background-color):\s*(#[0-9a-f]{6})", declarations
            ):
                found[selector.strip(), name] = value
    return found


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    channels = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_what_wcag_says_it_is() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_links_stand_out(scheme: str) -> None:
    found = colours(LIGHT if scheme == "light" else DARK)
    weak = {
        (text, ground): round(ratio, 2)
        for text, ground in PAIRS
        if (ratio := contrast(found[text, "color"], found[ground, "background-color"])) < ENOUGH
    }
    assert weak == {}


def test_every_colour_of_the_light_page_has_another_in_the_dark() -> None:
    assert colours(LIGHT).keys() == colours(DARK).keys()


def test_dark_wins_over_what_was_inlined() -> None:
    declarations = [part.strip() for part in re.findall(r"[\w-]+:\s[^;}{]+", DARK)]
    assert declarations
    assert [part for part in declarations if not part.endswith("!important")] == []


def test_the_light_page_needs_no_stylesheet() -> None:
    source = "# a\n\n## b\n\n### c\n\n[d](https://d.test)\n\n> e\n\n`f`\n\n```\ng\n```\n\n"
    source += "- h\n  - i\n\n1. j\n   1. k\n\n"
    html = inlined(markdown_html(source + "| j |\n|---|\n| k |\n\n---\n\n![l](https://l.test/l.png)\n"))
    bare = [
        tag for tag in re.findall(r"<(?!/)(?!html|head|meta|style|body|!)[^>]*>", html) if "style=" not in tag
    ]
    outlook = {'<table role="presentation" align="center" width="600">', "<td>"}
    assert set(bare) == outlook | {"<thead>", "<tbody>", "<tr>"}
    assert re.findall(
        r"^@media[^{]*|^[^@}\s][^{]*\{", html.partition("<style>")[2].partition("</style>")[0], re.MULTILINE
    ) == [
        "@media (prefers-color-scheme: dark) ",
        "@media (max-width: 480px) ",
    ]


def test_nothing_on_the_page_is_wider_than_a_phone() -> None:
    """No width in pixels but the greatest; images shrink, long words and code break."""
    assert re.findall(r"(?<![\w-])(?:min-)?width:\s*\d+px", CSS) == []
    for rule in (
        r"\.page \{[^}]*overflow-wrap: break-word",
        r"img \{ max-width: 100%",
        r"pre \{[^}]*pre-wrap",
    ):
        assert re.search(rule, CSS)
