"""An Exim daemon that relays everything to the other side, signing where the scenario says so.

Set up as its specification advises for much mail to few hosts: a split spool; what is received is routed at
once but only queued, so that Exim knows what waits for the host and goes on with that over a connection it
has, also within TLS; then a queue runner for each connection. Without routing ahead (`queue_only`) a shared
message cost three times the CPU with TLS; two-phase runs (`-qq`) cost more than all, 14 ms a message.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess

from .daemon import deliver, free_port, running, submit, workplace
from .foreign import environment, unpacked
from .job import Job, Missing, Sent
from .material import DKIM_DOMAIN, DKIM_SELECTOR

CONFIGURATION = """\
exim_path = {exim}
primary_hostname = peer.example
local_interfaces = 127.0.0.1
daemon_smtp_ports = {own_port}
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
pid_file_path = {folder}/spool/exim.pid
keep_environment = LD_LIBRARY_PATH
add_environment = PATH=/usr/bin:/bin
deliver_drop_privilege = true
never_users =
message_logs = false
split_spool_directory = true
timezone = UTC
host_lookup =
rfc1413_query_timeout = 0s
queue_smtp_domains = *
queue_run_max = 0
remote_max_parallel = {connections}
smtp_accept_max = 200
smtp_accept_max_per_connection = 0
recipients_max = 10000
tls_advertise_hosts =
acl_smtp_rcpt = accept

begin routers
relay:
  driver = manualroute
  route_list = * {host}
  self = send
  transport = smtp

begin transports
smtp:
  driver = smtp
  port = {port}
  max_rcpt = {recipients}
  connection_max_messages = 0
  multi_domain = true
  hosts_try_dane =
  {tls}
  {dkim}

begin retry
* * F,1h,1m
"""
ENCRYPTED = "hosts_require_tls = *\n  tls_verify_hosts =\n  tls_try_verify_hosts =\n  hosts_noproxy_tls ="
PLAIN = "hosts_avoid_tls = *"
DKIM = "dkim_domain = {domain}\n  dkim_selector = {selector}\n  dkim_private_key = {key}"

DELIVERED = re.compile(r" (?:=>|->) ")
NOT_DELIVERED = re.compile(r"^.* (?:\*\* |== (?!.*first-pass only)).*$", re.MULTILINE)


def send(job: Job) -> Sent:
    binary = unpacked("exim4-daemon-light", "usr", "sbin", "exim4")
    try:
        owner = pwd.getpwnam("Debian-exim")
    except KeyError:
        raise Missing("there is no account Debian-exim: run tests/foreign/install.sh") from None
    if os.geteuid() != 0:
        raise Missing("Exim runs only where root starts it")
    with workplace() as folder:
        for place in (folder / "spool", folder / "log"):
            place.mkdir(mode=0o750)
            os.chown(place, owner.pw_uid, owner.pw_gid)
        key = folder / "dkim.pem"
        if job.scenario == "signed":
            shutil.copy(job.key, key)
            os.chown(key, owner.pw_uid, owner.pw_gid)
        configuration = folder / "exim.conf"
        own_port = free_port()
        configuration.write_text(
            CONFIGURATION.format(
                exim=binary,
                folder=folder,
                own_port=own_port,
                host=job.host,
                port=job.port,
                recipients=job.per_message,
                connections=job.connections,
                tls=ENCRYPTED if job.tls else PLAIN,
                dkim=DKIM.format(domain=DKIM_DOMAIN, selector=DKIM_SELECTOR, key=key)
                if job.scenario == "signed"
                else "",
            )
        )
        exim, around = [binary, "-C", configuration], environment()
        with running([*exim, "-bdf"], around, own_port):
            submit_s = submit(job, own_port)

            def release() -> None:
                for _ in range(job.connections):
                    subprocess.run([*map(str, exim), "-q"], env=around, check=True)

            sent = deliver(job, folder / "log" / "mainlog", release, _read)
    return sent._replace(more={"submit_s": submit_s})


def _read(log: str) -> tuple[int, str]:
    failed = NOT_DELIVERED.search(log)
    return len(DELIVERED.findall(log)), failed[0] if failed else ""
