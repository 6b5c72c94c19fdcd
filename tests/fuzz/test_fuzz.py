"""Every target of the fuzzer, by Hypothesis and by what was found before.

The search is the same with every run (tests/conftest.py); the fuzzer itself is `python -m tests.fuzz`.
"""

from __future__ import annotations

import base64
from pathlib import Path

import fuzz_dns
import fuzz_files
import fuzz_local
import fuzz_smtp
import fuzz_values
import pytest
from fuzz_target import CORPUS, TARGETS, Target
from hypothesis import given, settings
from hypothesis import strategies as st

MODULES = (fuzz_dns, fuzz_files, fuzz_local, fuzz_smtp, fuzz_values)  # importing them enters their targets


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """Put together from the target's words, or a seed with some of its octets changed."""
    words = st.sampled_from((*target.words, *target.seeds))
    built = st.lists(st.one_of(words, words, words, st.binary(max_size=6)), max_size=20).map(b"".join)
    change = st.tuples(st.integers(0, 1 << 16), st.one_of(st.binary(max_size=3), words), st.integers(0, 3))
    return st.one_of(built, st.builds(changed, st.sampled_from(target.seeds), st.lists(change, max_size=4)))


def changed(data: bytes, changes: list[tuple[int, bytes, int]]) -> bytes:
    for place, octets, gone in changes:
        at = place % (len(data) + 1)
        data = data[:at] + octets + data[at + gone :]
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_the_laws_of_a_target_hold(name: str) -> None:
    """D9, G3, G5, I7, I12, J6: whatever comes."""
    target = TARGETS[name]

    @settings(max_examples=target.examples)
    @given(inputs(target))
    def hold(data: bytes) -> None:
        target.run(data)

    hold()


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_of_a_target_hold(name: str) -> None:
    for seed in TARGETS[name].seeds:
        TARGETS[name].run(seed)


@pytest.mark.parametrize(
    "path", sorted(CORPUS.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_what_was_found_is_mended(path: Path) -> None:
    """I7, I12, J6, S5. Each file is an input that once broke a law; its name says how."""
    TARGETS[path.parent.name].run(path.read_bytes())


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.b64")), ids=lambda path: path.stem)
def test_what_the_fuzzer_keeps_holds(path: Path) -> None:
    """A line for each input that reached code which no other one did."""
    for line in path.read_text("ascii").splitlines():
        TARGETS[path.stem].run(base64.b64decode(line))
