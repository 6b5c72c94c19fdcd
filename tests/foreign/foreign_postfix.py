"""Postfix from Debian: master with smtpd, cleanup, qmgr and virtual, in a tree of its own.

Held, it has no queue manager, so that everything stays in the queue in which it was put.
"""

from __future__ import annotations

import grp
import json
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

# inet_interfaces stays at "all": Postfix refuses addresses that no interface lists, such as 127.0.0.2; the
# listener has its address in master.cf.
# Delivered by virtual(8) as nobody into one maildir: one file for each recipient, who is named in it.
MAIN = """\
compatibility_level = 3.6
command_directory = {tree}/usr/sbin
daemon_directory = {tree}/usr/lib/postfix/sbin
shlib_directory = {tree}/usr/lib/postfix
queue_directory = {folder}/queue
data_directory = {folder}/data
meta_directory = {folder}/etc
mail_owner = postfix
setgid_group = postdrop
import_environment = MAIL_CONFIG TZ LC_ALL LD_LIBRARY_PATH PATH
maillog_file_prefixes = {folder}
maillog_file = {folder}/log/maillog
myhostname = {hostname}
inet_interfaces = all
inet_protocols = ipv4
mynetworks =
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
virtual_mailbox_domains = {domains}
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_mailbox_limit = 0
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = {refuse} permit
smtpd_peername_lookup = no
local_header_rewrite_clients =
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
smtpd_recipient_limit = 1000
message_size_limit = 50000000
default_process_limit = 100
virtual_destination_concurrency_limit = 20
in_flow_delay = 0
{tls}
"""

TLS = """\
smtpd_tls_security_level = may
smtpd_tls_cert_file = {chain}
smtpd_tls_key_file = {key}
smtpd_tls_session_cache_database =
"""

# service type private unpriv chroot wakeup maxproc command
MASTER = """\
{address}:{port} inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
"""
QUEUE_MANAGER = "qmgr unix n - n 300 1 qmgr\n"

QUEUES = "active bounce corrupt defer deferred flush hold incoming private saved trace"
STATUS = {"sent": "delivered", "deferred": "deferred", "bounced": "bounced", "expired": "bounced"}
DELIVERY = re.compile(r" postfix/(?:virtual|error|qmgr)\[\d+\]: (\w+): to=<([^>]*)>,.* status=(\w+)")
REFUSAL = re.compile(r" postfix/smtpd\[\d+\]: (\w+): reject: RCPT from .* to=<([^>]*)>")


@asynccontextmanager
async def postfix(
    tmp_path: Path,
    address: str,
    port: int,
    domains: Collection[str],
    *,
    hostname: str = "mx.postfix.test",
    tls: bool = False,
    ca: trustme.CA | None = None,
    refuse: Collection[str] = (),
    hold: bool = False,
    under: Path | None = None,
) -> AsyncIterator[ForeignServer]:
    """Postfix on `address`:`port`, taking mail for `domains`; 550 5.1.1 for the addresses in `refuse`.

    With `hold` it only queues. Everything that it writes is below a new folder, in `under` if that is given.
    """
    tree = unpacked("postfix")
    try:
        owner, drop = pwd.getpwnam("postfix"), grp.getgrnam("postdrop")
    except KeyError as error:
        raise NotInstalled(f"{error}: run tests/foreign/install.sh") from None
    nobody = pwd.getpwnam("nobody")
    async with workplace("postfix", tmp_path, under) as folder:
        _make_queue(folder, owner.pw_uid, drop.gr_gid)
        maildir = make_maildir(folder / "mail" / "all", nobody.pw_uid, nobody.pw_gid)
        certificate = certify(folder, hostname, ca) if tls else None
        etc = folder / "etc"
        etc.mkdir()
        refused = " ".join(f"{{ {address} = 550 5.1.1 User unknown }}" for address in refuse)
        main = MAIN.format(
            tree=tree,
            folder=folder,
            hostname=hostname,
            domains=" ".join(domains),
            uid=nobody.pw_uid,
            gid=nobody.pw_gid,
            refuse=f"check_recipient_access inline:{{ {refused} }}" if refuse else "",
            tls=TLS.format(chain=certificate.chain, key=certificate.key) if certificate else "",
        )
        (etc / "main.cf").write_text(main)
        # what was changed just now would be read again and again, for a second and a half
        os.utime(etc / "main.cf", (0, 0))
        services = MASTER.format(address=address, port=port) + ("" if hold else QUEUE_MANAGER)
        (etc / "master.cf").write_text(services)
        server = ForeignServer(
            name="postfix",
            hostname=hostname,
            address=address,
            port=port,
            ca_pem=certificate.ca_pem if certificate else "",
            folder=folder,
            log=folder / "log" / "maillog",
            maildir=maildir,
            read_message=_read_message,
            read_log=_read_log,
            show_queue=(tree / "usr/sbin/postqueue", "-c", etc, "-j"),
            read_queue=_read_queue,
        )
        command = [tree / "usr/lib/postfix/sbin/master", "-c", etc]
        environment = {"LD_LIBRARY_PATH": library_path(tree / "usr/lib/postfix")}
        async with running(command, server, environment=environment):
            yield server


def _make_queue(folder: Path, owner: int, drop: int) -> None:
    """As post-install would make it: qmgr and cleanup work as the owner, others may drop and knock."""
    queue, data = folder / "queue", folder / "data"
    for place in (queue, data, queue / "pid", folder / "mail"):
        place.mkdir(mode=0o755)
    os.chown(data, owner, -1)
    for name in QUEUES.split():
        (queue / name).mkdir(mode=0o700)
        os.chown(queue / name, owner, -1)
    for name, mode in (("maildrop", 0o730), ("public", 0o710)):
        (queue / name).mkdir()
        os.chown(queue / name, owner, drop)
        (queue / name).chmod(mode)


def _read_message(stored: bytes) -> Delivered:
    trace, content = split_trace(stored, (b"return-path", b"x-original-to", b"delivered-to", b"received"))
    return Delivered((trace[b"x-original-to"].decode(),), content)


def _read_log(text: str) -> list[LogEntry]:
    entries = [
        LogEntry(address, queue_id, STATUS[status]) for queue_id, address, status in DELIVERY.findall(text)
    ]
    entries += [LogEntry(address, "", "refused") for _, address in REFUSAL.findall(text)]
    return entries


def _read_queue(shown: str) -> list[tuple[str, ...]]:
    messages = map(json.loads, shown.splitlines())
    return [tuple(to["address"] for to in message["recipients"]) for message in messages]
