"""DESIGN.md's arrows: imports point down only, wherever in a file they stand, and files stay readable."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "bulkmail"

# What each layer may import of the others. `delivery` gets rendering and recording as parameters, so it sees
# neither message nor journal; the sandbox stands for the rest of the world and sees nothing of ours but smtp.
BELOW: dict[str, set[str]] = {
    "errors": set(),
    "smtp": {"errors"},
    "sandbox": {"smtp", "errors"},
    "journal": {"smtp", "errors"},
    "message": {"smtp", "errors"},
    "dns": {"smtp", "errors"},
    "transport": {"dns", "smtp", "errors"},
    "delivery": {"transport", "dns", "smtp", "errors"},
    "campaign": {"delivery", "transport", "dns", "message", "journal", "sandbox", "smtp", "errors"},
    "bench": {"sandbox", "errors"},  # what it measures, it runs as a user would
    "cli": {
        "bench",
        "campaign",
        "delivery",
        "transport",
        "dns",
        "message",
        "journal",
        "sandbox",
        "smtp",
        "errors",
    },
    "__main__": {"cli"},
    "__init__": set(),
}
# sans-IO: bytes in, bytes out; no loop, no socket, no clock
OUTSIDE_OF_SMTP = {
    "trio",
    "anyio",
    "asyncio",
    "socket",
    "ssl",
    "select",
    "selectors",
    "time",
    "datetime",
    "threading",
}

# Files above 300 lines, each with the reason why it is better in one piece.
LONG: dict[str, str] = {}

FILES = sorted(PACKAGE.rglob("*.py"))
SOURCES = sorted(
    path for folder in ("bulkmail", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")
)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def layer_of(module: str) -> str:
    """`bulkmail.smtp.reply` is of the layer smtp; `bulkmail` itself (the version) of none."""
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, in functions and for type checking too, with its line."""
    package = [*path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from bulkmail import smtp` names a layer as `from bulkmail.smtp import reply` does
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_down_only(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    wrong = [
        f"line {line}: {own} imports {module}"
        for line, module in imports(path)
        if module.split(".")[0] == "bulkmail"
        and (layer := layer_of(module)) in BELOW
        and layer != own
        and layer not in BELOW[own]
    ]
    assert wrong == []


@pytest.mark.parametrize("path", sorted((PACKAGE / "smtp").rglob("*.py")), ids=name_of)
def test_the_protocol_sees_no_socket_and_no_clock(path: Path) -> None:
    assert {module.split(".")[0] for _, module in imports(path)} & OUTSIDE_OF_SMTP == set()


def test_who_sends_loads_nothing_that_only_tests_need() -> None:
    """trio.testing loads pytest where there is one: 120 modules, and 7 MB of every process."""
    program = "import sys, bulkmail.campaign.runner; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found = set(loaded.stdout.split())
    assert ("trio" in found, found & {"trio.testing", "pytest", "hypothesis"}) == (True, set())


def test_every_layer_is_in_the_table() -> None:
    found = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES}
    assert found - BELOW.keys() == set()


def test_the_arrows_make_no_circle() -> None:
    def reach(layer: str) -> set[str]:
        return BELOW[layer].union(*(reach(lower) for lower in BELOW[layer]))

    assert [layer for layer in BELOW if layer in reach(layer)] == []


def test_no_file_is_above_300_lines_without_a_reason() -> None:
    long = {name_of(path) for path in SOURCES if path.read_bytes().count(b"\n") > 300}
    assert long == LONG.keys()


def test_every_file_says_what_it_is_for() -> None:
    silent = [name_of(path) for path in SOURCES if not ast.get_docstring(ast.parse(path.read_bytes()))]
    assert silent == []


def test_an_import_in_a_function_or_by_a_relative_path_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "bulkmail" / "smtp" / "x.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "def f():\n    from ..cli import run\n    from bulkmail import journal\n    import bulkmail.dns\n"
    )
    assert [layer_of(module) for _, module in imports(path)] == ["cli", "journal", "dns"]
