"""OpenSMTPD from Debian, in a chroot: its spool, its control socket and its helpers have fixed paths.

The chroot is the tree that install.sh unpacked (the daemon, the libraries it is linked to, and a shell that
deliveries go through) with an account file of its own, so that the machine needs neither its users nor its
folders, nor the same libraries.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import trustme
from foreign_server import (
    Delivered,
    ForeignServer,
    LogEntry,
    NotInstalled,
    certify,
    make_maildir,
    running,
    split_trace,
    unpacked,
    workplace,
)

SMTPD, QUEUE, VMAIL = 901, 902, 903
PASSWD = f"""\
root:x:0:0:root:/:/bin/sh
opensmtpd:x:{SMTPD}:{SMTPD}::/var/lib/opensmtpd/empty:/bin/false
opensmtpq:x:{QUEUE}:{QUEUE}::/var/lib/opensmtpd/empty:/bin/false
vmail:x:{VMAIL}:{VMAIL}::/mail:/bin/false
nobody:x:65534:65534::/:/bin/false
"""
GROUP = f"root:x:0:\nopensmtpd:x:{SMTPD}:\nopensmtpq:x:{QUEUE}:\nvmail:x:{VMAIL}:\nnogroup:x:65534:\n"

# Whoever it is for, the user is vmail; the server writes the envelope's recipient into Delivered-To.
CONFIGURATION = """\
{tls}
table domains {{ {domains} }}
table vmail {{ "@" = "vmail" }}
{refuse}
smtp limit max-mails 100000
smtp limit max-rcpt 1000
smtp max-message-size 50M
listen on {address} port {port} {listen} hostname {hostname}
action "box" maildir "/mail" virtual <vmail>
{reject}
match from any for domain <domains> action "box"
"""
TLS = 'pki "{hostname}" cert "/chain.pem"\npki "{hostname}" key "/key.pem"'
REFUSE = "table refused {{ {} }}"

STATUS = {"Ok": "delivered", "TempFail": "deferred", "PermFail": "bounced"}
DELIVERY = re.compile(r"mda delivery evpid=(\w+) .*?to=<([^>]*)> rcpt=<([^>]*)> .*?result=\"?(\w+)")
REFUSAL = re.compile(r"failed-command command=\"rcpt to:<([^>]*)>", re.IGNORECASE)


@asynccontextmanager
async def opensmtpd(
    tmp_path: Path,
    address: str,
    port: int,
    domains: Collection[str],
    *,
    hostname: str = "mx.opensmtpd.test",
    tls: bool = False,
    ca: trustme.CA | None = None,
    refuse: Collection[str] = (),
) -> AsyncIterator[ForeignServer]:
    """OpenSMTPD on `address`:`port`, taking mail for `domains`; 550 for the addresses in `refuse`."""
    tree = unpacked("opensmtpd")
    async with workplace("opensmtpd", tmp_path) as folder:
        root = folder / "root"
        _make_root(root, tree)
        maildir = make_maildir(root / "mail", VMAIL, VMAIL)
        certificate = certify(root, hostname, ca) if tls else None
        configuration = root / "etc" / "smtpd.conf"
        configuration.write_text(
            CONFIGURATION.format(
                tls=TLS.format(hostname=hostname) if tls else "",
                listen=f'tls pki "{hostname}"' if tls else "",
                domains=_listed(domains),
                refuse=REFUSE.format(_listed(refuse)) if refuse else "",
                reject="match from any for rcpt-to <refused> reject" if refuse else "",
                address=address,
                port=port,
                hostname=hostname,
            )
        )
        configuration.chmod(0o600)
        server = ForeignServer(
            name="opensmtpd",
            hostname=hostname,
            address=address,
            port=port,
            ca_pem=certificate.ca_pem if certificate else "",
            folder=folder,
            log=folder / "log" / "console",
            maildir=maildir,
            read_message=_read_message,
            read_log=_read_log,
        )
        async with running(["/usr/sbin/chroot", root, "/usr/sbin/smtpd", "-d"], server):
            yield server


def _make_root(root: Path, tree: Path) -> None:
    shutil.copytree(tree, root, symlinks=True)
    for name, text in {"passwd": PASSWD, "group": GROUP, "hosts": "127.0.0.1 localhost\n"}.items():
        (root / "etc" / name).write_text(text)
    for place in ("tmp", "dev", "run", "var/spool/smtpd", "var/lib/opensmtpd/empty"):
        (root / place).mkdir(parents=True, exist_ok=True)
    (root / "var/run").symlink_to("/run")
    # Whom it would trust as a client; it wants the file although it never is one.
    authorities = root / "etc/ssl/certs/ca-certificates.crt"
    authorities.parent.mkdir(parents=True, exist_ok=True)
    authorities.write_bytes(trustme.CA().cert_pem.bytes())
    (root / "tmp").chmod(0o1777)
    (root / "var/spool/smtpd").chmod(0o711)
    try:
        os.mknod(root / "dev/null", 0o20666, os.makedev(1, 3))
    except PermissionError as error:
        raise NotInstalled(
            "opensmtpd needs a chroot with /dev/null, and no device may be made here"
        ) from error
    (root / "dev/null").chmod(0o666)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)


def _read_message(stored: bytes) -> Delivered:
    trace, content = split_trace(stored, (b"return-path", b"delivered-to", b"received"))
    return Delivered((trace[b"delivered-to"].decode(),), content)


def _read_log(text: str) -> list[LogEntry]:
    entries = [
        LogEntry(rcpt if rcpt != "-" else to, envelope[:8], STATUS[status])
        for envelope, to, rcpt, status in DELIVERY.findall(text)
    ]
    entries += [LogEntry(address, "", "refused") for address in REFUSAL.findall(text)]
    return entries
