"""The documents keep to the code: their examples load, their keys and defaults exist, their links lead on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bulkmail import cli
from bulkmail.campaign.config import load
from bulkmail.campaign.config_errors import sections_in
from bulkmail.campaign.config_model import NOT_BUILT, Campaign, Section
from bulkmail.campaign.own_replies import own_rows
from bulkmail.sandbox import World
from bulkmail.sandbox.catalogue import CATALOGUE

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BARE = """\
campaign: x
from: "A <a@acme.example>"
subject: x
recipients: people.csv
content: x.txt
"""
FILE = (ROOT / "docs" / "campaign-file.md").read_text("utf-8")


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (document.name, block)
        for document in DOCUMENTS
        for block in re.findall(
            rf"^```{language}\n(.*?)^```", document.read_text("utf-8"), re.MULTILINE | re.DOTALL
        )
    ]


@pytest.mark.parametrize(("document", "text"), blocks("yaml"))
def test_a_yaml_example_loads(document: str, text: str, tmp_path: Path) -> None:
    if re.search(r"^(domains|providers):", text, re.MULTILINE):
        assert World.from_yaml(text).domains
        return
    path = tmp_path / "campaign.yaml"
    path.write_text(text if "campaign:" in text else BARE + text, "utf-8")
    assert load(path, environ={}, secrets=False).warnings == ()  # nobody's password is in a document


@pytest.mark.parametrize(("document", "text"), blocks("python"))
def test_a_python_example_runs(document: str, text: str) -> None:
    exec(compile(text, document, "exec"), {"__name__": "example"})


@pytest.mark.parametrize(("document", "text"), blocks("toml"))
def test_rows_of_replies_in_an_example_mean_something(document: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text, "utf-8")
    assert own_rows(file)


def keys(section: type[Section], where: str = "") -> dict[str, str]:
    """Every key by its path, with its default as the file would hold it; "" where there is none."""
    found: dict[str, str] = {}
    for name, field in section.model_fields.items():
        path = where + (field.alias or name)
        found[path] = str(field.default) if isinstance(field.default, str | int) else ""
        for inner in sections_in(field.annotation):
            found |= keys(inner, path + ".")
            if inner is field.annotation:
                found.pop(path, None)  # it has a table of its own
    return found


@pytest.mark.parametrize("key", sorted(keys(Campaign)))
def test_every_key_is_described_with_its_default(key: str) -> None:
    name = key.rpartition(".")[2]
    if key.startswith("recipients.source."):
        assert f"{name}: " in FILE
        return
    if ".retry." in key or ".time_limits." in key:
        assert f"{name}: {keys(Campaign)[key]}" in FILE
        return
    rows = [
        line.split("|")
        for line in FILE.splitlines()
        if re.match(rf"\| `(safety\.(pause_if\.)?)?{name}` ", line)
    ]
    assert rows, key
    default = keys(Campaign)[key]
    if default and "Undefined" not in default:
        shown = default.lower() if default in ("True", "False") else default
        assert any(shown in row[2] for row in rows), (key, default)


def test_what_is_not_built_is_listed() -> None:
    end = FILE[FILE.index("## Not built yet") :]
    assert [".".join(path) for path in NOT_BUILT if ".".join(path) not in end] == []
    readme = DOCUMENTS[0].read_text("utf-8")
    assert [verb for verb in cli.NOT_BUILT if f"`{verb}`" not in readme] == []
    assert [verb for verb in cli.VERBS if f"`bulkmail {verb}" not in readme] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text("utf-8")):
        name, _, anchor = target.partition("#")
        if name.startswith("https:"):
            continue
        other = document.parent / name if name else document
        assert other.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", other.read_text("utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in slugs, target


def test_the_behaviours_that_the_documents_name_are_in_the_catalogue() -> None:
    named = re.findall(
        r"`([a-z-]+)\.(?:example|test|anything)`", (ROOT / "docs" / "sandbox.md").read_text("utf-8")
    )
    assert set(named) - {"relay"} <= CATALOGUE.keys()
    assert len(named) > 2
