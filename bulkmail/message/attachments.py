"""The files that go with a message, encoded once; their names may be templates."""

from __future__ import annotations

from collections.abc import Mapping

from bulkmail.errors import Problem
from bulkmail.message import mime
from bulkmail.message.draft import Attachment, Draft
from bulkmail.message.header import FORBIDDEN
from bulkmail.message.mime import FilePart
from bulkmail.message.template import Environments, Reason, Template, TemplateProblem, Unrenderable

LONGEST_NAME = 200  # characters; file systems take 255 octets


class Attachments:
    """`parts` in the order of the draft; those whose name is None get one of `render`, in that order."""

    def __init__(self, draft: Draft, environments: Environments) -> None:
        self.parts: list[FilePart] = []
        self.templates: list[Template] = []
        self.problems: list[Problem] = []
        for number, attachment in enumerate(draft.attachments):
            where = f"content.attachments[{number}]"
            try:
                template = environments.compile(attachment.name, file=draft.file, where=where)
                self._add(attachment, template, {**draft.data, "campaign": draft.campaign})
            except TemplateProblem as problem:
                self.problems += problem.problems
            except Unrenderable as error:
                self.problems.append(Problem(draft.file, 0, 0, where, str(error.reason)))

    def _add(self, attachment: Attachment, template: Template, static: Mapping[str, object]) -> None:
        name: str | None = None
        if template.names <= static.keys():
            name = _name(template, static)
        else:
            self.templates.append(template)
        kind = attachment.type or mime.guess_type(attachment.name if name is None else name)
        if not mime.is_type(kind):
            raise Unrenderable(Reason(f"{kind!r} is not the media type of a file", missing=False))
        self.parts.append(FilePart(kind, mime.base64_lines(attachment.content), name))

    def render(self, values: Mapping[str, object]) -> list[str]:
        """The names that are templates. Raise Unrenderable."""
        return [_name(template, values) for template in self.templates]


def _name(template: Template, values: Mapping[str, object]) -> str:
    name = template.render(values).strip()
    for wrong, text in (
        (not name, "is empty"),
        (FORBIDDEN.search(name) is not None, "has a line break or NUL"),
        ("/" in name or "\\" in name, "is a path: a name cannot hold / or \\"),
        (len(name) > LONGEST_NAME, f"is longer than {LONGEST_NAME} characters"),
    ):
        if wrong:
            raise Unrenderable(Reason(f"{template.where}: the name of a file {text}", missing=False))
    return "".join(c if c.isprintable() else "_" for c in name)
