"""`bulkmail probe`: what a host says, with the transcript, and what is wrong with it."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bulkmail.cli.common import print_json, print_table, printable
from bulkmail.cli.lookup import (
    EHLO,
    FINDINGS,
    asking,
    both_spellings,
    name_servers,
    read_by,
    resolver_option,
)

if TYPE_CHECKING:
    from bulkmail.smtp.command import Expn, Vrfy
    from bulkmail.smtp.reply import Reply
    from bulkmail.transport.certificate import Certificate
    from bulkmail.transport.inquiry import Line, Probed, Way

PORTS = {"starttls": 25, "implicit": 465, "none": 25}
# What the replies to VRFY and EXPN mean (RFC 5321 sections 3.5.3 and 7.3); others by their first digit.
MEANINGS = {
    250: "it exists",
    251: "it exists elsewhere",
    252: "the host does not say",
    502: "not offered here",
}
CLASSES = {2: "yes", 4: "not now", 5: "no"}


@click.command("probe")
@click.argument("host", callback=read_by("bulkmail.dns.asked", "host_of"))
@click.option("--port", type=click.IntRange(1, 65535), help="Default: 25; 465 with --tls implicit.")
@click.option(
    "--tls",
    "way",
    type=click.Choice(["starttls", "implicit", "none"]),
    default="starttls",
    show_default=True,
    help="Encrypt after STARTTLS, from the first octet, or not at all.",
)
@click.option(
    "--name",
    metavar="NAME",
    callback=read_by("bulkmail.dns.asked", "host_of"),
    help="Whom the certificate must be for. Default: HOST.",
)
@click.option(
    "--ca",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Trust these authorities (PEM) besides the system's.",
)
@click.option(
    "--ehlo", metavar="NAME", callback=EHLO, help="Our name in EHLO. Default: this machine's full name."
)
@click.option("--vrfy", metavar="ADDRESS", multiple=True, help="Ask whether ADDRESS exists; may be repeated.")
@click.option(
    "--expn", metavar="LIST", multiple=True, help="Ask who is on the mailing list LIST; may be repeated."
)
@click.option(
    "--timeout",
    metavar="DURATION",
    callback=read_by("bulkmail.campaign.config_values", "positive_duration"),
    default="60s",
    show_default=True,
    help="How long to wait for a connection, and for each reply.",
)
@resolver_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def command(
    host: tuple[str, int | None],
    port: int | None,
    way: Way,
    name: tuple[str, int | None] | None,
    ca: Path | None,
    ehlo: str | None,
    vrfy: tuple[str, ...],
    expn: tuple[str, ...],
    timeout: float,
    resolvers: tuple[tuple[str, int], ...],
    as_json: bool,
) -> int:
    """Talk to the mail server HOST and show what it says. No message is sent.

    HOST is a host name or an IP address, with or without :PORT. To find the hosts of a domain, see
    `bulkmail mx`. In the transcript, > is what we said, < what the host said, * what happened besides.

    Exit codes: 0 reached and nothing wrong; 3 something is wrong, such as no connection, no STARTTLS, or a
    certificate that does not verify; 2 wrong usage.
    """
    from bulkmail.campaign.host_name import default_ehlo
    from bulkmail.transport.approach import make_contexts
    from bulkmail.transport.inquiry import Inquiry, Probed
    from bulkmail.transport.probe import probe

    wanted, typed_port = host
    if port is not None and typed_port not in (None, port):
        raise click.UsageError(f"two different ports: {typed_port} with HOST, and --port {port}")
    try:
        verifying, lax = make_contexts(str(ca) if ca else None)
    except (OSError, ssl.SSLError) as error:
        raise click.BadParameter(f"{ca} cannot be used: {error}", param_hint="--ca") from error
    inquiry = Inquiry(
        host=wanted,
        port=port or typed_port or PORTS[way],
        name=name[0] if name else wanted,
        way=way,
        verifying=verifying,
        lax=lax,
        ehlo=ehlo or default_ehlo() or "",
        questions=_questions(vrfy, expn),
        limit_s=timeout,
    )
    found = asking(name_servers(resolvers), lambda resolver: probe(inquiry, resolver), result=Probed)
    if as_json:
        print_json(_as_json(found))
    else:
        _show(found)
    if found.address == "" and not _is_address(wanted):
        click.echo(f"If {wanted} is a mail domain: `bulkmail mx {wanted}` shows its hosts.", err=True)
    return FINDINGS if found.findings else 0


def _questions(vrfy: tuple[str, ...], expn: tuple[str, ...]) -> tuple[Vrfy | Expn, ...]:
    from bulkmail.smtp.command import Expn, Vrfy

    try:
        return (*map(Vrfy, vrfy), *map(Expn, expn))
    except ValueError as error:
        raise click.UsageError(f"--vrfy and --expn: {error}") from error


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _asked(question: Vrfy | Expn) -> str:
    return f"{type(question).__name__.upper()} {question.text}"


def _meaning(reply: Reply) -> str:
    return MEANINGS.get(reply.code) or CLASSES[reply.code // 100]


# --- JSON -------------------------------------------------------------------------------------------------


def _as_json(found: Probed) -> dict[str, Any]:
    tls = found.tls
    return {
        "host": found.host,
        "port": found.port,
        "addresses": list(found.addresses),
        "address": found.address or None,
        "greeting": found.greeting.text if found.greeting else None,
        "extensions": list(found.extensions),
        "tls": None
        if tls is None
        else {
            "version": tls.version,
            "cipher": tls.cipher,
            "verified": tls.verified,
            "problem": tls.note or None,
            "certificate": _certificate(found.certificate) if found.certificate else None,
        },
        "answers": [
            {"command": _asked(question), "code": reply.code, "reply": reply.text, "meaning": _meaning(reply)}
            for question, reply in found.answers
        ],
        "findings": [{"code": finding.code, "text": finding.text} for finding in found.findings],
        "transcript": [_line(line) for line in found.lines],
    }


def _certificate(certificate: Certificate) -> dict[str, Any]:
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "names": list(certificate.names),
        "not_before": certificate.not_before.isoformat(),
        "not_after": certificate.not_after.isoformat(),
        "key": certificate.key,
    }


# --- for people -------------------------------------------------------------------------------------------


def _line(line: Line) -> str:
    return f"{line.mark} {printable(line.text.decode('utf-8', 'backslashreplace'))}".rstrip()


def _show(found: Probed) -> None:
    for line in found.lines:
        click.echo(_line(line))
    if found.lines:
        click.echo()
    rows = [("host", f"{both_spellings(found.host)} port {found.port}")]
    rows += [("address", address) for address in found.addresses]
    if found.greeting is not None:
        rows.append(("greeting", found.greeting.text))
    if found.extensions:
        rows.append(("extensions", ", ".join(found.extensions)))
    if found.greeting is not None:
        rows.append(("TLS", _tls(found)))
    if found.certificate is not None:
        rows += _certificate_rows(found.certificate)
    rows += [(_asked(question), f"{_meaning(reply)}: {reply.text}") for question, reply in found.answers]
    rows += [("wrong", finding.text) for finding in found.findings] or [("nothing wrong", "")]
    print_table([(printable(head), printable(text)) for head, text in rows])


def _tls(found: Probed) -> str:
    if found.tls is None:
        return "none: this conversation was in clear text"
    verified = "verified" if found.tls.verified else f"not verified: {found.tls.note}"
    return f"{found.tls.version}, {found.tls.cipher}, certificate {verified}"


def _certificate_rows(certificate: Certificate) -> list[tuple[str, str]]:
    left = (certificate.not_after - datetime.now(UTC)).days
    until = f"{left} days left" if left >= 0 else f"expired {-left} days ago"
    return [
        ("certificate for", ", ".join(certificate.names) or "no name"),
        ("  subject", certificate.subject or "none"),
        ("  issuer", certificate.issuer),
        ("  valid", f"{certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d}, {until}"),
        ("  key", certificate.key),
    ]
