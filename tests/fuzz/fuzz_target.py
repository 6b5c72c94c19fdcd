"""What a fuzz target is: a plain function from octets to nothing that asserts laws.

The same functions are driven by Hypothesis in CI (`test_fuzz.py`), by the corpus of what was found, and by
the coverage-guided fuzzer (`python -m tests.fuzz`). An exception that leaves one is a finding: a target
catches only what the documented taxonomy allows there, and says so by name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"


@dataclass(frozen=True, slots=True)
class Target:
    """`seeds`: whole inputs to begin with; `words`: what inputs are put together from."""

    name: str
    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...]
    longest: int  # octets that the fuzzer tries
    examples: int  # that Hypothesis tries in CI

    @property
    def laws(self) -> str:
        return " ".join((self.run.__doc__ or "").split())


TARGETS: dict[str, Target] = {}


def target(
    *, seeds: Iterable[bytes] = (), words: Iterable[bytes] = (), longest: int = 2048, examples: int = 200
) -> Callable[[Callable[[bytes], None]], Callable[[bytes], None]]:
    """Enter the function into TARGETS under its name."""

    def enter(run: Callable[[bytes], None]) -> Callable[[bytes], None]:
        name = run.__name__
        TARGETS[name] = Target(name, run, tuple(seeds), tuple(words), longest, examples)
        return run

    return enter


def same(one: object, other: object, what: str = "") -> None:
    """Fails with both values, also where no pytest rewrites assertions."""
    if one != other:
        raise AssertionError(f"{what or 'not the same'}:\n  {one!r}\n  {other!r}")


def cuts(data: bytes) -> list[list[bytes]]:
    """The stream in pieces: whole, behind each line, in two at a few places, and octet by octet."""
    ways = [[data], data.splitlines(keepends=True) or [b""]]
    for salt in (b"1", b"2", b"3"):
        at = crc32(data + salt) % (len(data) + 1)
        ways.append([data[:at], data[at:]])
    if len(data) <= 512:
        ways.append([data[at : at + 1] for at in range(len(data))] or [b""])
    return ways


def borrow(folder: str) -> None:
    """Make the helpers of another folder of tests importable, as pytest does."""
    path = str(HERE.parent / folder)
    if path not in sys.path:
        sys.path.append(path)
