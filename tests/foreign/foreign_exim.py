"""Exim from Debian: one daemon that delivers into a maildir as soon as it has accepted.

Held, it puts everything into its queue (`queue_only`), and nobody runs that.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import trustme
from foreign_server import (
    Delivered,
    ForeignServer,
    LogEntry,
    NotInstalled,
    certify,
    library_path,
    make_maildir,
    running,
    split_trace,
    unpacked,
    workplace,
)

# Without root once the port is open: a configuration that is not Debian's own would lose it on the way to a
# delivery anyway. smtp_accept_max_nonmail and the like stay as they are: that is how Exim is met in the wild.
CONFIGURATION = """\
exim_path = {exim}
primary_hostname = {hostname}
local_interfaces = {address}
daemon_smtp_ports = {port}
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
pid_file_path = {folder}/spool/exim.pid
keep_environment = LD_LIBRARY_PATH
add_environment = PATH=/usr/bin:/bin
deliver_drop_privilege = true
never_users =
message_logs = false
split_spool_directory = true
queue_only = {hold}
timezone = UTC
host_lookup =
rfc1413_query_timeout = 0s
helo_allow_chars = _
smtp_accept_max = 200
smtp_accept_max_per_connection = 0
smtp_accept_queue = 0
smtp_accept_queue_per_connection = 0
smtp_connect_backlog = 200
queue_run_max = 20
recipients_max = 1000
accept_8bitmime = true
smtputf8_advertise_hosts = *
chunking_advertise_hosts = *
pipelining_advertise_hosts = *
acl_smtp_rcpt = rcpt
domainlist ours = {domains}
{tls}

begin acl
rcpt:
{refuse}
  accept domains = +ours
  deny message = relay not permitted

begin routers
ours:
  driver = accept
  domains = +ours
  transport = maildir

begin transports
maildir:
  driver = appendfile
  maildir_format
  directory = {maildir}
  user = Debian-exim
  group = Debian-exim
  create_directory = false
  return_path_add
  envelope_to_add
  message_prefix =
  message_suffix =

begin retry
* * F,1h,1m
"""

TLS = """\
tls_advertise_hosts = *
tls_certificate = {chain}
tls_privatekey = {key}
"""
REFUSE = "  deny recipients = {}\n       message = 5.1.1 User unknown"

STATUS = {"=>": "delivered", "->": "delivered", "**": "bounced", "==": "deferred"}
DELIVERY = re.compile(r"^\S+ \S+ (\S+) (=>|->|\*\*|==) (?:\S+ <([^>]*)>|(\S+@\S+?):?) ", re.MULTILINE)
REFUSAL = re.compile(r" rejected RCPT <([^>]*)>")


@asynccontextmanager
async def exim(
    tmp_path: Path,
    address: str,
    port: int,
    domains: Collection[str],
    *,
    hostname: str = "mx.exim.test",
    tls: bool = False,
    ca: trustme.CA | None = None,
    refuse: Collection[str] = (),
    hold: bool = False,
    under: Path | None = None,
) -> AsyncIterator[ForeignServer]:
    """Exim on `address`:`port`, taking mail for `domains`; 550 5.1.1 for the addresses in `refuse`.

    With `hold` it only queues. Everything that it writes is below a new folder, in `under` if that is given.
    """
    binary = unpacked("exim4-daemon-light", "usr", "sbin", "exim4")
    try:
        owner = pwd.getpwnam("Debian-exim")
    except KeyError as error:
        raise NotInstalled(f"{error}: run tests/foreign/install.sh") from None
    async with workplace("exim", tmp_path, under) as folder:
        (folder / "spool").mkdir(mode=0o750)
        for place in ("spool", "log"):
            os.chown(folder / place, owner.pw_uid, owner.pw_gid)
        maildir = make_maildir(folder / "mail", owner.pw_uid, owner.pw_gid)
        certificate = certify(folder, hostname, ca) if tls else None
        if certificate is not None:  # Exim reads its key after it has dropped its privileges
            os.chown(certificate.key, owner.pw_uid, owner.pw_gid)
            tls_lines = TLS.format(chain=certificate.chain, key=certificate.key)
        else:
            tls_lines = "tls_advertise_hosts ="
        configuration = folder / "exim.conf"
        configuration.write_text(
            CONFIGURATION.format(
                exim=binary,
                folder=folder,
                maildir=maildir,
                hostname=hostname,
                address=address,
                port=port,
                domains=" : ".join(domains),
                refuse="\n".join(REFUSE.format(refused) for refused in refuse),
                tls=tls_lines,
                hold="true" if hold else "false",
            )
        )
        server = ForeignServer(
            name="exim",
            hostname=hostname,
            address=address,
            port=port,
            ca_pem=certificate.ca_pem if certificate else "",
            folder=folder,
            log=folder / "log" / "mainlog",
            maildir=maildir,
            read_message=_read_message,
            read_log=_read_log,
            show_queue=(binary, "-C", configuration, "-bpr"),
            read_queue=_read_queue,
        )
        command = [binary, "-C", configuration, "-bdf", *([] if hold else ["-q30s"])]
        async with running(command, server, environment={"LD_LIBRARY_PATH": library_path()}):
            yield server


def _read_message(stored: bytes) -> Delivered:
    trace, content = split_trace(stored, (b"return-path", b"envelope-to", b"received"))
    return Delivered(tuple(address.strip() for address in trace[b"envelope-to"].decode().split(",")), content)


def _read_log(text: str) -> list[LogEntry]:
    entries = [
        LogEntry(full or bare, queue_id, STATUS[sign])
        for queue_id, sign, full, bare in DELIVERY.findall(text)
    ]
    entries += [LogEntry(address, "", "refused") for address in REFUSAL.findall(text)]
    return entries


def _read_queue(shown: str) -> list[tuple[str, ...]]:
    """A line for the message, then a line for each recipient ("D" before those who have it); blank lines."""
    messages = shown.strip().split("\n\n") if shown.strip() else []
    return [tuple(line.split()[-1] for line in message.splitlines()[1:]) for message in messages]
