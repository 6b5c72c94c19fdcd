"""The values of a campaign file that are more than text: routes, secrets, hosts, paths, numbers.

Each has a parser from what the file holds to a frozen value, and an annotated type that gives pydantic the
parser and editors the JSON Schema. A parser's ValueError is what the user reads, so it says what to write
instead, and never repeats what may be a secret.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from bulkmail.campaign import units
from bulkmail.campaign.yaml_marks import Scalar, reason
from bulkmail.errors import ConfigError, Problem
from bulkmail.smtp.address import Mailbox, domain_to_ascii

VIA_CHOICES = (
    "sandbox (a rehearsal, nothing leaves this machine), mx (straight to the recipients' mail exchangers), "
    "smtp://USER@HOST:587 or smtps://USER@HOST:465 (a relay)"
)


@dataclass(frozen=True, slots=True)
class Via:
    """The way out: `mx`, `sandbox`, or one relay. `host` is "" and `port` 0 but for a relay."""

    kind: Literal["mx", "sandbox", "relay"]
    host: str = ""
    port: int = 0
    user: str = ""
    implicit_tls: bool = False

    def __str__(self) -> str:
        if self.kind != "relay":
            return self.kind
        scheme = "smtps" if self.implicit_tls else "smtp"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{self.user + '@' if self.user else ''}{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret by reference: `{env: NAME}` or `{file: path}`. Neither repr nor str shows its value (P4)."""

    kind: Literal["env", "file"]
    name: str
    _value: str | None = field(repr=False, compare=False)
    missing: str = field(default="", compare=False)  # why it cannot be had, or ""

    def reveal(self) -> str:
        """The value. Raises ConfigError where the variable or the file is not there."""
        if self._value is None:
            raise ConfigError(Problem(self.name if self.kind == "file" else "", 0, 0, "", self.missing))
        return self._value

    def __str__(self) -> str:
        return f"{{{self.kind}: {self.name}}}"


_SCHEME = re.compile(r"(smtps?)://(.*)", re.IGNORECASE | re.DOTALL)
_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:/?#\s]+)(?::(?P<port>[0-9]{1,5}))?/?")


def parse_via(text: str) -> Via:
    """Raises ValueError, which repeats nothing of a URL: there may be a password in it."""
    word = text.strip()
    if word in ("mx", "sandbox"):
        return Via(word)  # type: ignore[arg-type]  # narrowed by the line above
    match = _SCHEME.fullmatch(word)
    if match is None:
        told = "that is no way out" if "@" in word or "/" in word else f"{word!r} is no way out"
        raise ValueError(f"{told}: write {VIA_CHOICES}")
    scheme = match[1].lower()
    login, at, place = match[2].rpartition("@")
    if ":" in login:
        raise ValueError(
            "a password does not belong into the file: write "
            f"via: {scheme}://USER@HOST:PORT and beside it password: {{env: NAME}} or {{file: PATH}}"
        )
    where = _HOST_PORT.fullmatch(place)
    if where is None or (at and not login):
        raise ValueError(f"a relay is written {scheme}://HOST:PORT or {scheme}://USER@HOST:PORT")
    user = unquote(login)
    if any(ord(character) < 32 or ord(character) == 127 for character in user):
        raise ValueError("a user name cannot hold control characters")
    number = port(where["port"] or ("465" if scheme == "smtps" else "587" if user else "25"))
    return Via("relay", parse_host(where["host"].strip("[]")), number, user, scheme == "smtps")


def port(text: str) -> int:
    """1 to 65535. Raises ValueError."""
    if not re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) or not 0 < int(text) < 65536:
        raise ValueError(f"{text!r} is not a port: 1 to 65535")
    return int(text)


def parse_host(text: str) -> str:
    """A host's name as A-labels, or an IP address in its usual form. Raises ValueError."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return domain_to_ascii(text).decode("ascii")


def parse_ehlo(text: str) -> str:
    """A domain, or an address literal: `out1.acme.example`, `[192.0.2.1]` (RFC 5321 section 4.1.3)."""
    if text.startswith("[") and text.endswith("]"):
        literal = text[1:-1]
        return str(Mailbox.parse(f"x@[{literal}]").domain, "ascii")
    return domain_to_ascii(text).decode("ascii")


def source_address(text: str) -> str:
    """An IP address that connections may come from, in its usual form. Raises ValueError."""
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is no IP address: write one of this machine's, as 192.0.2.10") from None
    if address.is_unspecified or address.is_multicast:
        raise ValueError(f"mail cannot leave from {address}: write an address of this machine's")
    return str(address)


def parse_endpoint(text: str) -> tuple[str, int]:
    """`127.0.0.1:5300`, `[::1]:53`, or an address alone for port 53. Raises ValueError."""
    match = re.fullmatch(r"\[([^\]]+)\](?::([0-9]{1,5}))?|([^:]+)(?::([0-9]{1,5}))?|(.+)", text.strip())
    assert match is not None or not text.strip()
    address, number = (
        (match[1] or match[3] or match[5], match[2] or match[4] or "53") if match else ("", "53")
    )
    try:
        host = str(ipaddress.ip_address(address))
    except ValueError:
        raise ValueError(f"{text!r} is no IP address and port: write 127.0.0.1:5300 or [::1]:53") from None
    return host, port(number)


def source_text(text: str) -> str:
    """A list's path or glob made absolute, or `-` for standard input."""
    return "-" if text == "-" else str(absolute(text))


def campaign_name(text: str) -> str:
    """The name is part of file names and of Message-IDs. Raises ValueError."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", text, re.ASCII):
        raise ValueError(
            f"{text!r} cannot name files: write letters, digits, . _ and -, "
            "at most 100, the first a letter or a digit"
        )
    if text.lower().endswith(".sandbox"):  # its journal would be the rehearsal's of the campaign without it
        raise ValueError("a name cannot end in .sandbox: rehearsals are kept under that name")
    return str(text)


def parse_secret(value: object, environ: Mapping[str, str]) -> Secret:
    """`{env: NAME}` or `{file: path}`, read at once where it can be. Raises ValueError; echoes nothing."""
    usage = "a secret is not written into the file: write {env: NAME} or {file: PATH}"
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError(usage)
    ((kind, name),) = value.items()
    if kind not in ("env", "file") or not isinstance(name, str) or not name:
        raise ValueError(usage)
    if kind == "env":
        found = environ.get(name)
        return Secret(
            "env", name, found, "" if found is not None else f"the environment variable {name} is not set"
        )
    path = absolute(name)
    try:
        return Secret("file", str(path), path.read_text("utf-8").rstrip("\r\n"))
    except (OSError, UnicodeDecodeError) as error:
        return Secret("file", str(path), None, f"the secret in {path} cannot be read: {reason(error)}")


def absolute(text: str) -> Path:
    """A path, taken relative to the folder of the file it was written in."""
    try:
        path = Path(text).expanduser()
    except RuntimeError:  # ~somebody whom this machine does not know: a name like any other, as to a shell
        path = Path(text)
    folder = text.mark.folder if isinstance(text, Scalar) else Path()
    return Path(os.path.abspath(folder / path))


def boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


def bounded(
    low: float, kind: Callable[[str], Any], noun: str, *, most: float = math.inf
) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            number = kind(text) if re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", text, re.ASCII) else None
        except ValueError:
            number = None
        if number is None:
            raise ValueError(f"{text!r} is not {noun}")
        if number < low:
            raise ValueError(f"{text} is too small: at least {low:g}")
        if number > most:
            raise ValueError(f"{text} is too much: at most {most:g}")
        return number

    return parse


def positive_duration(text: str) -> float:
    seconds = units.parse_duration(text)
    if seconds <= 0:
        raise ValueError("must be longer than nothing")
    return seconds
