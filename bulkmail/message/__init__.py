"""Message: from templates and one row to the bytes that are sent. No networks, lists or journals."""

from bulkmail.message.author import Author
from bulkmail.message.composer import Composer
from bulkmail.message.content import Content, Source, read_content
from bulkmail.message.draft import Draft
from bulkmail.message.template import Reason, TemplateProblem, Unrenderable

__all__ = [
    "Author",
    "Composer",
    "Content",
    "Draft",
    "Reason",
    "Source",
    "TemplateProblem",
    "Unrenderable",
    "read_content",
]
