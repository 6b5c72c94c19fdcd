"""aiosmtplib: so many tasks with a client each, connected once, as is advised for parallel sending.

(One client sends its messages one after another, whoever asks for them.)
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version

import aiosmtplib

from .by_hand import letters
from .job import Count, Job, Sent
from .material import REVERSE_PATH


def send(job: Job) -> Sent:
    count = Count()
    asyncio.run(_send(job, count))
    return count.sent(version=version("aiosmtplib"))


async def _send(job: Job, count: Count) -> None:
    letter, numbers = letters(job), iter(range(job.messages))

    async def session() -> None:
        client = aiosmtplib.SMTP(
            hostname=job.host,
            port=job.port,
            local_hostname="peer.example",
            start_tls=job.tls,
            validate_certs=False,
        )
        async with client:
            options = ["BODY=8BITMIME"] if client.supports_extension("8bitmime") else []
            for number in numbers:
                to = job.forward_paths(number)
                refused, _ = await client.sendmail(REVERSE_PATH, to, letter(number), mail_options=options)
                count.accepted.append(len(to) - len(refused))

    with count:
        async with asyncio.TaskGroup() as sessions:
            for _ in range(job.connections):
                sessions.create_task(session())
