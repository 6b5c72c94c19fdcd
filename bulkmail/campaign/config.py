"""Loading a campaign file: every default resolved, every path absolute, every problem found at once.

The file and the nearest `bulkmail.yaml` above it are read as trees with positions and merged, the campaign on
top; keys that are not built yet are taken out with a complaint; pydantic judges the rest; what concerns
several keys is checked last. Nothing is printed and nothing is opened but these two files and the files of
secrets. Whether the list and the template exist is asked when they are needed (`missing_files`): a campaign
that was planned can be resumed and looked at without its list.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from bulkmail.campaign.config_checks import contradictions, doubts
from bulkmail.campaign.config_errors import dotted, problem_of, sections
from bulkmail.campaign.config_model import NOT_BUILT, SHORT_FORM, Campaign, Delivery, SqlSource
from bulkmail.campaign.config_values import Secret, Via, absolute
from bulkmail.campaign.units import Rate
from bulkmail.campaign.yaml_marks import Mark, Node, Scalar, merge, read_yaml, reason
from bulkmail.errors import ConfigError, Problem

__all__ = [
    "Campaign",
    "Delivery",
    "Rate",
    "Secret",
    "SqlSource",
    "Via",
    "defaults_file",
    "load",
    "missing_files",
    "project_state",
]

DEFAULTS = "bulkmail.yaml"
STATE = ".bulkmail"


def load(path: Path, *, environ: Mapping[str, str], via: str | None = None, secrets: bool = True) -> Campaign:
    """The campaign in `path`. Raises ConfigError with every problem.

    `via` replaces `delivery.via` (`--via sandbox`). With `secrets=False` a secret that cannot be had, or that
    does not fit, is no error: for those who only look (`status`, `explain`).
    """
    problems: list[Problem] = []
    own = _read(path, environ, problems)
    beneath = defaults_file(path)
    base = _read(beneath, environ, problems) if beneath is not None else None
    if own is None or (base is None and beneath is not None):
        raise ConfigError(_sorted(problems))
    tree = merge(own, base) if base is not None else own
    tree = _routed(tree, via)
    tree = _without_unbuilt(tree, problems)
    tree = _without_empty(tree)
    try:
        campaign = Campaign.model_validate(tree.plain(), context={"environ": environ})
    except ValidationError as error:
        found = (problem_of(each, tree) for each in error.errors(include_url=False, include_input=False))
        raise ConfigError(_sorted([*problems, *found])) from None
    campaign = _resolved(campaign, path, beneath, base, tree)
    wrong = contradictions(campaign, routed=via is not None, secrets=secrets)
    problems += (campaign.problem(where, text) for where, text in wrong)
    shaping = campaign.shaping
    if shaping.providers or shaping.domains or isinstance(shaping.profile, Path):
        from bulkmail.campaign.rules import problems_of  # only who names providers pays for their profile

        problems += problems_of(campaign)
    if shaping.replies is not None:
        from bulkmail.campaign import own_replies

        problems += own_replies.problems_of(campaign)
    if problems:
        raise ConfigError(_sorted(problems))
    told = [campaign.problem(where, text) for where, text in doubts(campaign, secrets=secrets)]
    campaign._warnings = (*_cut_short(tree), *told)
    return campaign


def defaults_file(path: Path) -> Path | None:
    """The `bulkmail.yaml` for a campaign file, or for a folder: the nearest in it or above."""
    start = Path(os.path.abspath(path))
    for folder in (start, *start.parents) if start.is_dir() else start.parents:
        candidate = folder / DEFAULTS
        if candidate != start and candidate.is_file():
            return candidate
    return None


def project_state(path: Path, *, environ: Mapping[str, str]) -> Path:
    """Where the project's store is, for a campaign file or a folder. Raises ConfigError.

    It is beside `bulkmail.yaml`, else beside the campaign file; a campaign's own `state` does not move it, so
    that what is suppressed for one campaign is suppressed for its neighbour.
    """
    beneath = defaults_file(path)
    if beneath is None:
        start = Path(os.path.abspath(path))
        return (start if start.is_dir() else start.parent) / STATE
    problems: list[Problem] = []
    base = _read(beneath, environ, problems)
    if base is None or problems:
        raise ConfigError(_sorted(problems))
    return _project_state(beneath, base)


def missing_files(campaign: Campaign) -> tuple[Problem, ...]:
    """The files that planning needs and that are not there, each at the key that names it."""
    named: list[tuple[str, Path]] = [("content.template", campaign.content.template)]
    if isinstance(campaign.content.text, Path):
        named.append(("content.text", campaign.content.text))
    if campaign.content.data is not None:
        named.append(("content.data", campaign.content.data))
    named += [
        (f"content.attachments[{index}]", attached.file)
        for index, attached in enumerate(campaign.content.attachments)
    ]
    source = campaign.recipients.source
    if isinstance(source, str) and source != "-" and not any(sign in source for sign in "*?["):
        named.append(("recipients.source", Path(source)))
    named += [
        (f"recipients.exclude[{index}]", file) for index, file in enumerate(campaign.recipients.exclude)
    ]
    return tuple(campaign.problem(where, why) for where, file in named if (why := _unreadable(file)))


def _unreadable(file: Path) -> str:
    """Why a file cannot be read, or ""."""
    if not file.exists():
        return f"no such file: {file}"
    if not file.is_file():
        return f"not a file: {file}"
    return "" if os.access(file, os.R_OK) else f"no right to read {file}"


def _read(path: Path, environ: Mapping[str, str], problems: list[Problem]) -> Node | None:
    file = _shown(path)
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        problems.append(Problem(file, 0, 0, "", reason(error)))
        return None
    folder = Path(os.path.abspath(path)).parent
    tree = read_yaml(text, file=file, folder=folder, environ=environ, problems=problems)
    if tree is None:
        return None
    if tree.value is None:
        tree = Node({}, tree.mark, tree.key)
    if not isinstance(tree.value, dict):
        problems.append(tree.mark.problem("", "a mapping is wanted here (key: value)"))
        return None
    for section, key in SHORT_FORM.items():
        node = tree.value.get(section)
        if node is not None and isinstance(node.value, Scalar):
            tree.value[section] = Node({key: node}, node.mark, node.key)
    return tree


def _shown(path: Path) -> str:
    if not path.is_absolute():
        return str(path)
    near = os.path.relpath(path)
    return str(path) if near.startswith("..") else near


def _routed(tree: Node, via: str | None) -> Node:
    """With `delivery` there, so that a missing `via` is complained of by name, and `--via` in it."""
    assert isinstance(tree.value, dict)
    delivery = tree.value.get("delivery") or Node({}, tree.mark, tree.mark)
    if delivery.value is None:
        delivery = Node({}, delivery.mark, delivery.key)
    if via is not None and isinstance(delivery.value, dict):
        mark = Mark("--via", 0, 0, Path.cwd())
        given = Node(Scalar(via, mark), mark, mark)
        delivery = Node({**delivery.value, "via": given}, delivery.mark, delivery.key)
    return Node({**tree.value, "delivery": delivery}, tree.mark, tree.key)


def _without_unbuilt(tree: Node, problems: list[Problem]) -> Node:
    return _pruned(tree, (), problems)


def _pruned(node: Node, path: tuple[str, ...], problems: list[Problem]) -> Node:
    if not isinstance(node.value, dict) or len(path) > 2:
        return node
    kept = {}
    for name, child in node.value.items():
        if (*path, name) in NOT_BUILT:
            problems.append(
                child.key.problem(dotted((*path, name)), "not built yet in this version: remove it")
            )
        else:
            kept[name] = _pruned(child, (*path, name), problems)
    return Node(kept, node.mark, node.key)


def _without_empty(tree: Node) -> Node:
    """Without the keys that nothing stands behind, where they may be left out: `reply_to:` is no reply_to."""
    for path, model in sections(Campaign):
        node, exact = tree.find(path)
        if exact and isinstance(node.value, dict):
            for name, field in model.model_fields.items():
                child = node.value.get(field.alias or name)
                if child is not None and child.value is None and not field.is_required() and not child.cut:
                    del node.value[field.alias or name]
    return tree


def _resolved(
    campaign: Campaign, path: Path, beneath: Path | None, base: Node | None, tree: Node
) -> Campaign:
    """With the defaults that depend on other keys, and with what the model keeps beside its fields."""
    delivery = campaign.delivery
    given = delivery.model_fields_set
    settled: dict[str, object] = {}
    if "reverse_path" not in given:
        settled["reverse_path"] = str(campaign.author.mailbox)
    if "tls" not in given and delivery.via.kind == "relay":
        # Credentials never leave without a verified certificate unless the user says so (FAULTS.md S5);
        # smtps:// is encrypted from the first octet, there is no clear text to fall back to.
        settled["tls"] = (
            "verified" if delivery.via.user else "required" if delivery.via.implicit_tls else delivery.tls
        )
    folder = Path(os.path.abspath(path)).parent
    project = folder / STATE if beneath is None or base is None else _project_state(beneath, base)
    update: dict[str, object] = {"delivery": delivery.model_copy(update=settled)}
    if "state" not in campaign.model_fields_set:
        update["state"] = project
    campaign = campaign.model_copy(update=update)
    campaign._file, campaign._project_state, campaign._tree = path, project, tree
    return campaign


def _project_state(beneath: Path, base: Node) -> Path:
    node, exact = base.find(["state"])
    if exact and isinstance(node.value, Scalar):
        return absolute(node.value)
    return Path(os.path.abspath(beneath)).parent / STATE


def _cut_short(tree: Node) -> Iterator[Problem]:
    subject, exact = tree.find(["subject"])
    if exact and subject.cut:
        yield subject.mark.problem(
            "subject", f"ends before {subject.cut[:40]!r}: put the subject in quotes if that belongs to it"
        )


def _sorted(problems: list[Problem]) -> list[Problem]:
    """In the order of the file, the first complaint about each place only: the next may be its echo."""
    seen: dict[tuple[str, int, int, str], Problem] = {}
    for problem in problems:
        seen.setdefault((problem.file, problem.line, problem.column, problem.where), problem)
    return sorted(seen.values(), key=lambda problem: (problem.file, problem.line, problem.column))
