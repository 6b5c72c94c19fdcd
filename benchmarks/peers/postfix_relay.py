"""A Postfix daemon that relays everything to the other side.

Set up as TUNING_README, CONNECTION_CACHE_README and TLS_README advise for much mail to one place: the job's
limits of recipients and concurrency, connections kept for the next message, also within TLS. Without TLS that
is left to Postfix (on demand): a new one cost less CPU here than passing one on; with TLS twice as much.

It starts without a queue manager; the queue is filled; then master is told that there is one.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import signal
from pathlib import Path

from .daemon import deliver, free_port, running, submit, workplace
from .foreign import environment, unpacked
from .job import Job, Missing, Sent

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
myhostname = peer.example
inet_interfaces = all
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
smtpd_peername_lookup = no
local_header_rewrite_clients =
smtpd_client_connection_count_limit = 0
in_flow_delay = 0
default_process_limit = 200
relayhost = [{host}]:{port}
smtp_dns_support_level = disabled
smtp_destination_recipient_limit = {recipients}
smtp_destination_concurrency_limit = {connections}
initial_destination_concurrency = {connections}
smtp_connection_cache_on_demand = yes
smtp_connection_cache_destinations = {cached}
smtp_connection_reuse_count_limit = 0
smtp_tls_security_level = {tls}
smtp_tls_connection_reuse = yes
"""

# service type private unpriv chroot wakeup maxproc command
MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
tlsmgr unix - - n 1000? 1 tlsmgr
tlsproxy unix - - n - 0 tlsproxy
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
smtp unix - - n - - smtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
"""
QUEUE_MANAGER = "qmgr unix n - n 300 1 qmgr\n"

QUEUES = "active bounce corrupt defer deferred flush hold incoming private saved trace"
NOT_SENT = re.compile(r"^.* status=(?!sent\b).*$", re.MULTILINE)


def send(job: Job) -> Sent:
    tree = unpacked("postfix")
    try:
        owner, drop = pwd.getpwnam("postfix"), grp.getgrnam("postdrop")
    except KeyError:
        raise Missing("there is no account postfix: run tests/foreign/install.sh") from None
    if os.geteuid() != 0:
        raise Missing("Postfix runs only where root starts it")
    with workplace() as folder:
        _make_folders(folder, owner.pw_uid, drop.gr_gid)
        main = MAIN.format(
            tree=tree,
            folder=folder,
            host=job.host,
            port=job.port,
            recipients=job.per_message,
            connections=job.connections,
            cached=job.host if job.tls else "",
            tls="encrypt" if job.tls else "none",
        )
        (folder / "etc" / "main.cf").write_text(main)
        os.utime(folder / "etc" / "main.cf", (0, 0))  # what is new would be read again for a while
        port, services = free_port(), folder / "etc" / "master.cf"
        services.write_text(MASTER.format(port=port))
        command = [tree / "usr/lib/postfix/sbin/master", "-c", folder / "etc"]
        with running(command, environment(tree / "usr/lib/postfix"), port) as master:
            submit_s = submit(job, port)

            def release() -> None:
                with services.open("a") as file:
                    file.write(QUEUE_MANAGER)
                os.kill(master, signal.SIGHUP)

            sent = deliver(job, folder / "log" / "maillog", release, _read)
    return sent._replace(more={"submit_s": submit_s})


def _read(log: str) -> tuple[int, str]:
    failed = NOT_SENT.search(log)
    return log.count(" status=sent "), failed[0] if failed else ""


def _make_folders(folder: Path, owner: int, drop: int) -> None:
    """As post-install would make them: the daemons work as the owner, others may drop and knock."""
    queue, data = folder / "queue", folder / "data"
    for place in (queue, data, queue / "pid", folder / "etc", folder / "log"):
        place.mkdir(mode=0o755)
    os.chown(data, owner, -1)
    for name in QUEUES.split():
        (queue / name).mkdir(mode=0o700)
        os.chown(queue / name, owner, -1)
    for name, mode in (("maildrop", 0o730), ("public", 0o710)):
        (queue / name).mkdir()
        os.chown(queue / name, owner, drop)
        (queue / name).chmod(mode)
