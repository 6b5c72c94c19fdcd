"""The foreign mail servers by name. Each is an async context manager:

    async with postfix(tmp_path, "127.0.1.1", port, ["a.test"], tls=True) as server:
        ...  # send to server.address and server.port
        await server.settled(1000)
        server.messages(), server.log_entries()

All take the same arguments, write nothing outside of a temporary folder, and may share one port on different
addresses. Each raises NotInstalled where it cannot run.
"""

from __future__ import annotations

from foreign_aiosmtpd import aiosmtpd
from foreign_exim import exim
from foreign_opensmtpd import opensmtpd
from foreign_postfix import postfix
from foreign_server import Delivered, ForeignServer, LogEntry, NotInstalled

SERVERS = {"postfix": postfix, "exim": exim, "opensmtpd": opensmtpd, "aiosmtpd": aiosmtpd}

__all__ = [
    "SERVERS",
    "Delivered",
    "ForeignServer",
    "LogEntry",
    "NotInstalled",
    "aiosmtpd",
    "exim",
    "opensmtpd",
    "postfix",
]
