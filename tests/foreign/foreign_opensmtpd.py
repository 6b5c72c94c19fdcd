"""OpenSMTPD from Debian, in a chroot: its spool, its control socket and its helpers have fixed paths.

The chroot holds the daemon, the few libraries it is linked to, a shell (deliveries go through one) and an
account file of its own, so that the machine needs neither its users nor its folders.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import trustme
from foreign_server import (
    Delivered,
    ForeignServer,
    LogEntry,
    certify,
    library_path,
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
    programs = [tree / "usr/sbin/smtpd", *sorted((tree / "usr/libexec/opensmtpd").glob("mail.*"))]
    for program in programs:
        _install(program, root / program.relative_to(tree))
    _install(Path("/bin/sh").resolve(), root / "bin/sh")
    for library in _libraries([*programs, Path("/bin/sh")]):
        _install(library.resolve(), root / library.relative_to("/"))
    for name, text in {"passwd": PASSWD, "group": GROUP, "hosts": "127.0.0.1 localhost\n"}.items():
        path = root / "etc" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    for place in ("tmp", "dev", "var/run", "var/spool/smtpd", "var/lib/opensmtpd/empty"):
        (root / place).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    (root / "var/spool/smtpd").chmod(0o711)
    os.mknod(root / "dev/null", 0o20666, os.makedev(1, 3))
    (root / "dev/null").chmod(0o666)


def _install(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _libraries(programs: Iterable[Path]) -> set[Path]:
    """All shared objects that `programs` are linked to, the loader included."""
    listing = subprocess.run(
        ["ldd", *map(str, programs)],
        env={"PATH": os.defpath, "LD_LIBRARY_PATH": library_path()},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {Path(path) for path in re.findall(r"(?:=> |^\s+)(/\S+) \(", listing, re.MULTILINE)}


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
