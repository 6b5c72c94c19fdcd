"""Messages composed a second on one core, beside the standard library's `email` building the same.

    python benchmarks/message.py [--seconds 0.5] [--json]

A 3 kB message of two parts, personal in its header and both bodies. Each peer runs warm, five times; the
figures are the median and the spread. Nothing is sent, so one process and no sink.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime

import jinja2

from bulkmail.message import Composer, Content, Draft, Source
from bulkmail.smtp.content import stuff

DATE = datetime(2026, 11, 21, tzinfo=UTC)
WORDS = "The first crocuses are out and the shop is open again on Saturdays from nine to five."
TEXT = "Dear {{ first_name }},\n\n" + f"{WORDS}\n" * 14 + "\nhttps://acme.example/?for={{ email }}\n"
HTML = (
    "<html><body><p>Dear {{ first_name }},</p>\n"
    + f"<p>{WORDS}</p>\n" * 15
    + '<p><a href="https://acme.example/?for={{ email }}">Yours</a></p></body></html>\n'
)
SUBJECT = "{{ first_name }}, your week"


def composer(text: str, html: str) -> Composer:
    return Composer(
        Draft(
            from_="Acme News <news@acme.example>",
            to="{{ first_name }} <{{ email }}>",
            reply_to=None,
            subject=SUBJECT,
            headers={"X-Team": "growth"},
            text=None,
            html=None,
            campaign="bench",
            content=Content(text=Source(text, "text"), html=Source(html, "html")),
        ),
        date=DATE,
    )


def peer(text: str, html: str) -> Callable[[str, dict[str, str]], bytes]:
    """The same with jinja2 and `email`, as one would write it by hand."""
    plain, rich = jinja2.Template(text), jinja2.Template(html, autoescape=True)
    subject = jinja2.Template(SUBJECT)

    def render(address: str, row: dict[str, str]) -> bytes:
        values = {**row, "email": address}
        message = EmailMessage(policy=policy.SMTP)
        message["From"] = "Acme News <news@acme.example>"
        message["To"] = f"{row['first_name']} <{address}>"
        message["Subject"] = subject.render(values)
        message["Date"] = format_datetime(DATE)
        message["Message-ID"] = f"<{hash(address)}@acme.example>"
        message["X-Team"] = "growth"
        message.set_content(plain.render(values))
        message.add_alternative(rich.render(values), subtype="html")
        return message.as_bytes()

    return render


def rate(render: Callable[[str, dict[str, str]], bytes], name: str, seconds: float) -> list[float]:
    """Messages a second in each of five runs, after one to warm up."""
    rates = []
    for _ in range(6):
        done, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds:
            for number in range(20):
                render(f"ann{done + number}@library.example", {"first_name": name})
            done += 20
        rates.append(done / elapsed)
    return rates[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=0.5, help="length of one run")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = []
    for kind, name, text, html in (
        ("ASCII", "Ann", TEXT, HTML),
        ("Latin", "Zoë", TEXT.replace("Saturdays", "Samstägen"), HTML.replace("Saturdays", "Samstägen")),
        (
            "Japanese",
            "山田",
            TEXT.replace(WORDS, "春の庭へようこそ。" * 4),
            HTML.replace(WORDS, "春の庭へようこそ。" * 4),
        ),
    ):
        c = composer(text, html)
        size = len(c.render("ann@library.example", {"first_name": name}))
        ours = rate(c.render, name, options.seconds)
        stuffed = rate(lambda a, row, c=c: stuff(c.render(a, row)), name, options.seconds)
        theirs = rate(peer(text, html), name, options.seconds)
        results.append(
            {
                "content": kind,
                "octets": size,
                "composed_per_s": round(statistics.median(ours)),
                "spread": f"{min(ours):.0f}-{max(ours):.0f}",
                "composed_and_stuffed_per_s": round(statistics.median(stuffed)),
                "email_per_s": round(statistics.median(theirs)),
                "ratio": round(statistics.median(ours) / statistics.median(theirs), 1),
            }
        )
    if options.json:
        json.dump(results, sys.stdout, indent=2)
        return
    columns = list(results[0])
    print("  ".join(f"{column:>14}" for column in columns))
    for row in results:
        print("  ".join(f"{row[column]!s:>{max(14, len(column))}}" for column in columns))


if __name__ == "__main__":
    main()
