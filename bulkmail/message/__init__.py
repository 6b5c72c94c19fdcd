"""Message: from templates and one row to the bytes that are sent. No networks, lists or journals.

Keys that sign are in `signing_key`: only who signs pays for the import.
"""

from bulkmail.message.author import Author
from bulkmail.message.composer import Composer
from bulkmail.message.content import Content, Source, read_content
from bulkmail.message.draft import Attachment, Draft, MailingList, Unsubscribe
from bulkmail.message.letter import Letter
from bulkmail.message.template import Reason, TemplateProblem, Unrenderable
from bulkmail.message.token import Tokens

__all__ = [
    "Attachment",
    "Author",
    "Composer",
    "Content",
    "Draft",
    "Letter",
    "MailingList",
    "Reason",
    "Source",
    "TemplateProblem",
    "Tokens",
    "Unrenderable",
    "Unsubscribe",
    "read_content",
]
