"""smtpproto on asyncio: so many sessions of one client, each kept for all its messages.

It takes messages of `email` and writes each by itself, the constant one too. It starts TLS wherever that is
offered; to measure it without, the announcement is hidden from it.
"""

from __future__ import annotations

import asyncio
import ssl
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from importlib.metadata import version

from smtpproto.client import AsyncSMTPSession
from smtpproto.protocol import SMTPClientProtocol

from .by_hand import message_builder
from .job import Count, Job, Sent
from .material import REVERSE_PATH, constant_message


class WithoutTls(SMTPClientProtocol):
    @property
    def extensions(self) -> frozenset[str]:
        return super().extensions - {"STARTTLS"}


def send(job: Job) -> Sent:
    count = Count()
    asyncio.run(_send(job, count))
    return count.sent(version=version("smtpproto"))


async def _send(job: Job, count: Count) -> None:
    numbers, build = iter(range(job.messages)), message_builder(SMTP)
    constant = message_from_bytes(constant_message(), _class=EmailMessage, policy=SMTP)
    context = ssl._create_unverified_context()

    async def session() -> None:
        session = AsyncSMTPSession(job.host, job.port, 30, 60, "peer.example", None, context)
        if not job.tls:
            session.protocol = WithoutTls()
        async with session:
            for number in numbers:
                to = job.forward_paths(number)
                message = constant if job.scenario == "shared" else build(number)
                await session.send_message(
                    message, sender=REVERSE_PATH, recipients=to
                )  # raises if one is refused
                count.accepted.append(len(to))

    with count:
        async with asyncio.TaskGroup() as sessions:
            for _ in range(job.connections):
                sessions.create_task(session())
