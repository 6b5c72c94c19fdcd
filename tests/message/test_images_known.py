"""The images of a message are part of what it is, wherever in the template they stand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from drafts import DATE, draft

from bulkmail.message import Composer, Content, Source, TemplateProblem

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
SOURCE = '<p>{{ name }}</p>{% if vip == "yes" %}<img src="vip.png" alt="">{% endif %}'


def composer(folder: Path, source: str = SOURCE, **changes: object) -> Composer:
    content = Content(html=Source(source, "page.html"), folder=folder)
    settings: dict[str, object] = {"text": None, "content": content, "embed_images": True, **changes}
    return Composer(replace(draft(), **settings), date=DATE)  # type: ignore[arg-type]


def test_an_image_that_few_will_see_is_part_of_the_content(tmp_path: Path) -> None:
    """I11."""
    (tmp_path / "vip.png").write_bytes(PNG)
    before = composer(tmp_path).digest
    (tmp_path / "vip.png").write_bytes(PNG + b"x")
    assert composer(tmp_path).digest != before


@pytest.mark.parametrize("on_missing", ["fail", "skip", "empty"])
def test_an_image_that_is_missing_is_nobodys_fault_but_the_authors(tmp_path: Path, on_missing: str) -> None:
    """I8: the policy is for fields that a recipient lacks."""
    c = composer(tmp_path, on_missing=on_missing)
    assert c.check({"name": "Ann", "vip": "no"}) is None
    with pytest.raises(TemplateProblem, match=r"page\.html: .*vip\.png"):
        c.check({"name": "Ann", "vip": "yes"})


def test_a_file_that_readers_do_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TemplateProblem, match=r"content\.images: embed"):
        composer(tmp_path, '<img src="logo.png">', embed_images=False)
