"""Rules of the suite itself.

pytest puts every folder of tests on the path (import mode `prepend`), so that a test imports the helpers
beside it by their plain names. All of tests/ is thus one name space, shared with everything installed: the
second module of a name would be silently taken for the first.
"""

from __future__ import annotations

import sys
from collections import Counter
from importlib.metadata import packages_distributions
from pathlib import Path

NOT_IMPORTED = {"conftest.py", "__main__.py"}  # by their names, at least: each folder has its own
NAMES = Counter(path.stem for path in Path(__file__).parent.rglob("*.py") if path.name not in NOT_IMPORTED)


def test_every_module_has_a_name_of_its_own() -> None:
    assert [name for name, files in NAMES.items() if files > 1] == []


def test_no_module_stands_before_an_installed_one() -> None:
    assert NAMES.keys() & (sys.stdlib_module_names | packages_distributions().keys() | {"bulkmail"}) == set()
