"""smtplib in threads: a connection each, kept for all messages; `sendmail` with many recipients.

smtplib waits for each reply before it sends the next command, whatever the host offers.
"""

from __future__ import annotations

import smtplib
import ssl
from concurrent.futures import ThreadPoolExecutor

from .by_hand import letters
from .job import Count, Job, Sent
from .material import REVERSE_PATH


def send(job: Job) -> Sent:
    letter, numbers = letters(job), iter(range(job.messages))  # `next` of a range is atomic
    count = Count()
    context = ssl._create_unverified_context()  # what `starttls` without a context does

    def session() -> None:
        with smtplib.SMTP(job.host, job.port, local_hostname="peer.example") as client:
            if job.tls:
                client.starttls(context=context)
            client.ehlo()
            options = ["BODY=8BITMIME"] if client.has_extn("8bitmime") else []
            for number in numbers:
                to = job.forward_paths(number)
                refused = client.sendmail(REVERSE_PATH, to, letter(number), options)
                count.accepted.append(len(to) - len(refused))

    with count, ThreadPoolExecutor(job.connections) as threads:
        for session_ in [threads.submit(session) for _ in range(job.connections)]:
            session_.result()
    return count.sent()
