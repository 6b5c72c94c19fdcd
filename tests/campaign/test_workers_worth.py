"""How many processes a run has where the user leaves it to us."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from campaign_file import SMALL, load

from bulkmail.campaign.prepare import prepared
from bulkmail.campaign.workers import worth as module
from bulkmail.campaign.workers.worth import worth

REAL = SMALL.replace("via: sandbox", "via: mx, ehlo: out.acme.example")
PERSONAL = REAL.replace("Readers <news@acme.example>", "{{ email }}")
PROCESSORS = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("text", "letters", "count"),
    [
        (PERSONAL, 200, PROCESSORS),
        (PERSONAL, 201, 1),  # not so many
        (REAL, 2, PROCESSORS),  # 200 people share two letters
        (REAL, 3, 1),
        (SMALL, 1, 1),  # the sandbox is slower than one of us, and needs a processor, too
    ],
)
def test_it_is_one_or_one_for_each_processor_where_many_letters_are_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, letters: int, count: int
) -> None:
    monkeypatch.setattr(module, "LETTERS", letters)
    (tmp_path / "people.csv").write_text("email\n" + "".join(f"p{n}@a.test\n" for n in range(200)))
    (tmp_path / "hello.md").write_text("Hello\n")
    with prepared(load(tmp_path, text), tell=lambda event: None) as ready:
        assert (worth(ready, "auto"), worth(ready, 5)) == (count, 5)
