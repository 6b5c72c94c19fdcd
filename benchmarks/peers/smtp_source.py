"""Postfix's smtp-source: one process, many sessions, one message for all. It builds nothing and has no TLS.

Its manual: "No SMTP command pipelining support". With -d it keeps each session for the next message. The
numbers of its recipients begin anew with each message.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time

from .foreign import environment, unpacked
from .job import Job, Missing, Sent
from .material import REVERSE_PATH, constant_message


def send(job: Job) -> Sent:
    if job.recipients % job.per_message:
        raise Missing(f"smtp-source sends whole transactions: a multiple of {job.per_message} recipients")
    program = unpacked("postfix", "usr", "sbin", "smtp-source")
    libraries = unpacked("postfix", "usr", "lib", "postfix")
    with tempfile.NamedTemporaryFile() as file:
        file.write(constant_message().replace(b"\r\n", b"\n"))  # it writes the ends of lines itself
        file.flush()
        command = [program, "-d", "-M", "peer.example", "-f", REVERSE_PATH, "-t", "p@d.example"]
        command += ["-s", min(job.connections, job.messages), "-m", job.messages, "-r", job.per_message]
        command += ["-F", file.name, f"inet:{job.host}:{job.port}"]
        began = time.perf_counter()
        process = subprocess.Popen(list(map(str, command)), env=environment(libraries))
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:  # it stops at the first refusal
        raise RuntimeError(f"it ended with {process.returncode}")
    return Sent(job.messages, job.recipients, seconds, usage.ru_utime + usage.ru_stime, {})
