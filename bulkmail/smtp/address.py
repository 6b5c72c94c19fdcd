"""Mailboxes: the only form in which an address reaches the wire.

A `Mailbox` is canonical (unneeded quotes gone, domain in lower-case A-labels), so that `==` means the same
mailbox as far as SMTP lets us know, and it is valid however it was constructed: there is none with CR, LF,
NUL or an unquoted space. Lists are mostly plain ASCII, so one compiled pattern decides the majority;
everything else takes the slow road, which is there to accept the unusual and to say what is wrong with the
rest. RFC 5321 sections 4.1.2, 4.1.3 and 4.5.3.1; RFC 6531 (SMTPUTF8); RFC 5891 (IDNA 2008) with UTS 46.
"""

from __future__ import annotations

import ipaddress
import unicodedata
from dataclasses import dataclass
from typing import Any

from bulkmail.smtp import grammar

MAX_LOCAL = 64  # octets, RFC 5321 section 4.5.3.1.1
MAX_DOMAIN = 253  # octets as written; 255 on the wire of the DNS, RFC 1035 section 2.3.4
MAX_LABEL = 63
MAX_MAILBOX = 254  # a path has 256 octets with its brackets, RFC 5321 section 4.5.3.1.3

# What people paste around an address. Line ends are not among it: they are never silently dropped (I1).
_OUTER_SPACE = " \t\u00a0\ufeff"


class AddressError(ValueError):
    """This text is not an address. `str()` is the reason, for people."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """local@domain, both as on the wire. Raises `AddressError` if constructed from anything not canonical."""

    local: bytes  # a dot-string, or a quoted string where it needs the quotes; UTF-8 where not ASCII
    domain: bytes  # lower-case A-labels, or an address literal such as b"[192.0.2.1]"

    def __post_init__(self) -> None:
        try:
            local, domain = self.local.decode(), self.domain.decode("ascii")
        except UnicodeDecodeError:
            raise AddressError("not UTF-8") from None
        if (_canonical_local(local), _canonical_domain(domain)) != (self.local, self.domain):
            raise AddressError("not in canonical form")
        _check_length(self.local, self.domain)

    @classmethod
    def parse(cls, text: str) -> Mailbox:
        """The mailbox that `text` names, outer blanks stripped. Raises `AddressError`."""
        text = text.strip(_OUTER_SPACE)
        plain = grammar.PLAIN_MAILBOX.fullmatch(text)
        if plain is not None:
            local, domain = plain.groups()
            if len(local) <= MAX_LOCAL and len(domain) <= MAX_LABEL:
                # The pattern has proved what __post_init__ would check again, at twice the price.
                return cls.trusted(local.encode("ascii"), domain.lower().encode("ascii"))
        local, domain = _split(text)
        return cls(_canonical_local(local), _canonical_domain(domain))

    @classmethod
    def trusted(cls, local: bytes, domain: bytes) -> Mailbox:
        """Without any check: both are canonical, and who calls this has proved it."""
        mailbox = object.__new__(cls)
        object.__setattr__(mailbox, "local", local)
        object.__setattr__(mailbox, "domain", domain)
        return mailbox

    @property
    def wire(self) -> bytes:
        """As it stands between the angle brackets of a path."""
        return b"%b@%b" % (self.local, self.domain)

    @property
    def smtputf8(self) -> bool:
        """Whether it can only be used where SMTPUTF8 is offered (RFC 6531)."""
        return not self.local.isascii()

    def __str__(self) -> str:
        return self.wire.decode()

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor, so that a pickle cannot make an invalid one either.
        return (type(self), (self.local, self.domain))


def domain_to_ascii(text: str) -> bytes:
    """The domain in lower-case A-labels. Raises `AddressError`.

    A-labels are taken as they are: names registered under older rules exist, and the DNS is their judge.
    """
    if not text:
        raise AddressError("nothing after the @")
    if not text.isascii():
        import idna  # here, because its tables are large and most lists never need them

        try:
            text = idna.encode(text, uts46=True, std3_rules=True).decode("ascii")
        except UnicodeError as error:
            raise AddressError(f"the domain is not a valid international name: {error}") from None
    if grammar.DOMAIN.fullmatch(text) is None:
        raise AddressError(_what_is_wrong_with_domain(text))
    labels = text.split(".")
    if any(len(label) > MAX_LABEL for label in labels):
        raise AddressError(f"a label of the domain has more than {MAX_LABEL} octets")
    if len(text) > MAX_DOMAIN:
        raise AddressError(f"the domain has more than {MAX_DOMAIN} octets")
    if labels[-1].isdigit():
        raise AddressError("the domain ends in a number; an IP address is written in brackets: [192.0.2.1]")
    return text.lower().encode("ascii")


def _split(text: str) -> tuple[str, str]:
    if grammar.CONTROL.search(text):
        raise AddressError("a control character (such as a line end) in the address")
    if not text:
        raise AddressError("the address is empty")
    if "<" in text and text.endswith(">"):
        raise AddressError("only the address itself, without a name and < >")
    quoted = grammar.QUOTED_STRING.match(text)
    local, at, domain = text.rpartition("@") if quoted is None else _split_behind(text, quoted.end())
    if not at:
        raise AddressError("no @ in the address")
    if quoted is None and "@" in local:
        raise AddressError("more than one @ in the address")
    return local, domain


def _split_behind(text: str, end: int) -> tuple[str, str, str]:
    if text[end : end + 1] not in ("", "@"):
        raise AddressError("something stands between the closing quote and the @")
    return text[:end], text[end : end + 1], text[end + 1 :]


def _canonical_local(text: str) -> bytes:
    """The local part as UTF-8, quoted only where it must be."""
    # RFC 6532 section 3.1: NFC, so that one mailbox does not have two spellings
    text = unicodedata.normalize("NFC", text)
    quoted = grammar.QUOTED_STRING.fullmatch(text)
    if quoted is not None:
        content = grammar.QUOTED_PAIR.sub(r"\1", quoted[1])
        if grammar.UTF8_DOT_STRING.fullmatch(content) is not None:
            text = content
        else:
            text = '"' + content.replace("\\", "\\\\").replace('"', '\\"') + '"'
    elif grammar.UTF8_DOT_STRING.fullmatch(text) is None:
        raise AddressError(_what_is_wrong_with_local(text))
    return text.encode()


def _canonical_domain(text: str) -> bytes:
    if not text.startswith("["):
        return domain_to_ascii(text)
    literal = grammar.ADDRESS_LITERAL.fullmatch(text)
    try:
        if literal is None:
            raise ValueError
        if literal[1]:
            return b"[IPv6:%b]" % ipaddress.IPv6Address(literal[2]).compressed.encode("ascii")
        return b"[%b]" % str(ipaddress.IPv4Address(literal[2])).encode("ascii")
    except ValueError:
        raise AddressError("not an address literal: [192.0.2.1] or [IPv6:2001:db8::1]") from None


def _check_length(local: bytes, domain: bytes) -> None:
    if len(local) > MAX_LOCAL:
        raise AddressError(f"more than {MAX_LOCAL} octets before the @")
    if len(local) + 1 + len(domain) > MAX_MAILBOX:
        raise AddressError(f"the address has more than {MAX_MAILBOX} octets")


def _what_is_wrong_with_local(text: str) -> str:
    if not text:
        return "nothing before the @"
    if " " in text:
        return "a space before the @"
    if text.startswith(".") or text.endswith(".") or ".." in text:
        return "dots before the @ must stand between other characters"
    if '"' in text:
        return "a stray quote before the @"
    return "a character before the @ that is not allowed there without quotes"


def _what_is_wrong_with_domain(text: str) -> str:
    if " " in text:
        return "a space in the domain"
    if text.startswith(".") or text.endswith(".") or ".." in text:
        return "dots in the domain must stand between labels"
    if "_" in text:
        return "an underscore in the domain"
    if any(label.startswith("-") or label.endswith("-") for label in text.split(".")):
        return "a label of the domain begins or ends with a hyphen"
    return "a character in the domain that is not allowed there"
