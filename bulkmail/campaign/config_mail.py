"""The values of a campaign file whose form mail prescribes: header lines, addresses, names in the DNS, URIs.

Each is a parser from text to text, or to a frozen value. A parser's ValueError is what the user reads, so it
says what to write instead. Where `{{ token }}` may stand, nothing else of Jinja may: these values are made
for each message without a template engine.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, urlsplit

from bulkmail.message.author import Author
from bulkmail.message.unsubscribe import TOKEN
from bulkmail.smtp.address import Mailbox, domain_to_ascii

_JINJA = re.compile(r"\{\{|\{%|\{#")
# As long as a token may get, and a word that nobody writes: it stands for one while the rest is judged.
_WORD = "zq".ljust(34, "7")
# RFC 3986 section 2: what a URI is made of. The braces of {{ token }} are gone when this is asked.
_URI = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*", re.ASCII)
# What needs no %-codes before the @ of a mailto URI (RFC 6068 section 2)
_MAILTO = re.compile(rb"[A-Za-z0-9._~!$'*+-]+")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
# RFC 2919 section 3: a label and a name space, both dot-atoms of RFC 5322
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LIST_ID = re.compile(rf"{_ATOM}(?:\.{_ATOM})+", re.ASCII)


def one_line(text: str) -> str:
    """Text that may stand in a header. Raises ValueError (FAULTS.md I1)."""
    if re.search(r"[\r\n\0]", text):
        raise ValueError("must be one line: it becomes a header of the message")
    return str(text)


def subject(text: str) -> str:
    """One line that is not empty. Raises ValueError."""
    if not text.strip():
        raise ValueError("is empty: a message without a subject is taken for spam")
    return one_line(text)


def preheader(text: str) -> str:
    """One line. Raises ValueError."""
    if re.search(r"[\r\n\0]", text):
        raise ValueError("must be one line: mail programs show it behind the subject")
    return str(text)


def author_text(text: str) -> str:
    """`Name <local@domain>` or `local@domain`, the same for everybody; as it is. Raises ValueError."""
    if "{{" in text or "{%" in text:
        raise ValueError("this is the same for everybody: no {{ fields }} here")
    Author.parse(one_line(text))
    return str(text)


def author_template(text: str) -> str:
    """Like author_text(), or a template of one. What a template renders to is checked for each recipient."""
    return one_line(text) if "{{" in text or "{%" in text else author_text(text)


def address_text(text: str) -> str:
    """An address, as it is. Raises ValueError."""
    Mailbox.parse(text)
    return str(text)


def reverse_path(text: str) -> str:
    """An address, `{{ token }}` at most once and in its local part; in canonical form. Raises ValueError."""
    if text.strip() in ("", "<>"):
        raise ValueError("is empty, and bounce messages would be lost: write an address, or remove the key")
    plain, tokens = TOKEN.subn(_WORD, text)
    if _JINJA.search(plain):
        raise ValueError(
            "only {{ token }} can stand in a reverse-path: write bounces+{{ token }}@bounces.acme.example"
        )
    if tokens > 1:
        raise ValueError("{{ token }} stands here more than once: write it once")
    local, _, domain = plain.rpartition("@")
    if _WORD in domain:
        raise ValueError(
            "{{ token }} must stand before the @: write bounces+{{ token }}@bounces.acme.example"
        )
    if tokens and len(local.strip().encode()) > 64:
        room = 64 - len(_WORD)
        raise ValueError(
            f"a token has up to {len(_WORD)} characters, and 64 may stand before the @: "
            f"write at most {room} beside {{{{ token }}}}"
        )
    return str(Mailbox.parse(plain)).replace(_WORD, "{{ token }}")


def unsubscribe_url(text: str) -> str:
    """An https URL in ASCII, to which a token can be appended, or with `{{ token }}` once. ValueError."""
    plain, tokens = TOKEN.subn(_WORD, text.strip())
    if _JINJA.search(plain):
        raise ValueError("only {{ token }} can stand in this URL: write https://u.acme.example/{{ token }}")
    if tokens > 1:
        raise ValueError("{{ token }} stands here more than once: write it once")
    if not plain.isascii():
        raise ValueError(f"a URL in a header is ASCII: write {_ascii(plain).replace(_WORD, '{{ token }}')}")
    if not _URI.fullmatch(plain):
        raise ValueError("blanks, quotes and < > cannot stand in a URL: write them as %20, %22, %3C and %3E")
    try:
        parts = urlsplit(plain)
    except ValueError:  # a bracket that is not closed
        raise ValueError("this is no URL: write https://u.acme.example/") from None
    if parts.scheme.lower() != "https":
        raise ValueError("one-click unsubscription wants https (RFC 8058): write https://u.acme.example/")
    if not parts.hostname or "@" in parts.netloc:
        raise ValueError("a host is wanted, and no user: write https://u.acme.example/")
    if _WORD in parts.netloc:
        raise ValueError("{{ token }} cannot be part of the host: write https://u.acme.example/{{ token }}")
    if "#" in plain:
        raise ValueError("what stands behind a # never reaches the server: write the URL without it")
    if not tokens and parts.query and not plain.endswith(("=", "&")):
        raise ValueError(
            f"the token is appended to this: end it in =, or write {{{{ token }}}} where it belongs, as "
            f"https://{parts.netloc}/?who={{{{ token }}}}"
        )
    return plain.replace(_WORD, "{{ token }}")


def mailto(text: str) -> str:
    """The address that people unsubscribe at, in canonical form. Raises ValueError."""
    if _JINJA.search(text):
        raise ValueError(
            "one address for everybody is wanted, the token is for url: write unsub@acme.example"
        )
    if text.lower().startswith("mailto:"):
        raise ValueError(f"the address alone is wanted: write {text[7:].partition('?')[0]}")
    box = Mailbox.parse(text)
    if not _MAILTO.fullmatch(box.local):
        raise ValueError("it becomes a URI: write only letters, digits, and . _ + - before the @")
    return str(box)


def list_id(text: str) -> str:
    """A List-Id without its brackets (RFC 2919). Raises ValueError."""
    word = text.strip().lower()
    if inner := re.search(r"<(.*)>", word):
        raise ValueError(f"the identifier alone is wanted: write {inner[1]}")
    if "@" in word:
        raise ValueError(f"looks like an address, and has no @: write {word.replace('@', '.')}")
    if not _LIST_ID.fullmatch(word) or len(word) > 255:
        raise ValueError(
            f"{text!r} is no list identifier: write a name within a domain of yours, as weekly.acme.example"
        )
    return word


def domain(text: str) -> str:
    """A domain in A-labels. Raises ValueError."""
    if "@" in text:
        raise ValueError(f"a domain is wanted, not an address: write {text.rpartition('@')[2]}")
    return domain_to_ascii(text.strip().removesuffix(".")).decode("ascii")


def selector(text: str) -> str:
    """What stands before ._domainkey in the DNS (RFC 6376 section 3.1). Raises ValueError."""
    word, found, _ = text.lower().partition("._domainkey")
    if found:
        raise ValueError(f"what stands before ._domainkey is wanted: write {word}")
    if not re.fullmatch(rf"{_LABEL}(?:\.{_LABEL})*", text, re.ASCII) or len(text) > 63:
        raise ValueError(f"{text!r} is no selector: write letters, digits and -, as s1")
    return str(text)


def attachment_name(text: str) -> str:
    """A template of a file's name, without a folder. Raises ValueError."""
    if not text.strip():
        raise ValueError("is empty: write the name that people see, or remove the key")
    if not _JINJA.search(text) and re.search(r"[/\\]", text):
        raise ValueError(f"a name without a folder is wanted: write {Path(text.replace(chr(92), '/')).name}")
    return one_line(text)


def _ascii(url: str) -> str:
    """What to write for a URL that is not ASCII."""
    try:
        parts = urlsplit(url)
        host = domain_to_ascii(parts.hostname or "").decode("ascii")
    except ValueError:
        return "the host as xn--…, the rest with %-codes"
    return parts._replace(
        netloc=host, path=quote(parts.path, safe="/%"), query=quote(parts.query, safe="=&%")
    ).geturl()
