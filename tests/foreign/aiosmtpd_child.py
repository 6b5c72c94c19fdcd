"""aiosmtpd as a process of its own: `python aiosmtpd_child.py ADDRESS PORT JSON`.

What it accepts it writes into a maildir, the envelope's recipients in front, before it answers; and one line
of JSON for each recipient to the log.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
import sys
from pathlib import Path
from typing import Any, TextIO

from aiosmtpd.smtp import SMTP, Envelope, Session


class Mailbox:
    """Takes mail for some domains, but for the addresses in `refuse`."""

    def __init__(self, domains: list[str], refuse: list[str], maildir: Path, log: TextIO) -> None:
        self._domains, self._refuse, self._maildir, self._log = set(domains), set(refuse), maildir, log
        self._numbers = itertools.count(1)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self._refuse or address.rpartition("@")[2].lower() not in self._domains:
            self._note(address, "", "refused")
            return "550 5.1.1 User unknown"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        number = f"{next(self._numbers):06}"
        head = "X-Envelope-To: " + ", ".join(envelope.rcpt_tos) + "\n"
        content = envelope.original_content
        assert content is not None
        (self._maildir / "tmp" / number).write_bytes(head.encode() + content)
        (self._maildir / "tmp" / number).rename(self._maildir / "new" / number)
        for address in envelope.rcpt_tos:
            self._note(address, number, "delivered")
        return f"250 2.0.0 OK: {number}"

    def _note(self, address: str, number: str, status: str) -> None:
        print(json.dumps([address, number, status]), file=self._log, flush=True)


async def serve(address: str, port: int, given: dict[str, Any], log: TextIO) -> None:
    context = None
    if given["chain"]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(given["chain"], given["key"])
    mailbox = Mailbox(given["domains"], given["refuse"], Path(given["maildir"]), log)

    def session() -> SMTP:
        return SMTP(
            mailbox,
            data_size_limit=50_000_000,
            enable_SMTPUTF8=True,
            hostname=given["hostname"],
            tls_context=context,
            command_call_limit=1_000_000,
        )

    server = await asyncio.get_running_loop().create_server(session, address, port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    given = json.loads(sys.argv[3])
    with Path(given["log"]).open("a") as log:
        asyncio.run(serve(sys.argv[1], int(sys.argv[2]), given, log))
