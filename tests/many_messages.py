"""Thousands of messages of which no two are alike, for whoever verifies signatures.

The same ones with every run: what differs is drawn by a generator with a given seed. Names are of all
scripts, and of what no name should hold; the rest of a message is from nothing to some 100 kB of lines that
are blank, ragged, far too long or full of what quoted-printable has to escape.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from bulkmail.message import Composer
from bulkmail.message.draft import Attachment, Draft, MailingList, Unsubscribe
from bulkmail.message.signing_key import SigningKey
from bulkmail.message.token import Tokens

DATE = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
SECRET = "a secret of more than sixteen characters"
ALPHABETS = [
    string.ascii_letters,
    string.ascii_letters + " ",
    string.punctuation + '{}%#=?.\\"<>@,;:',
    "äöüßéèñçøåÆŁžšğı ",
    "Ελληνικά Русский עברית العربية हिन्दी ไทย 한국어 東京都 ",
    "👩‍👩‍👧‍👦🏳️‍🌈é\u200b\u200d\u00a0\u00ad\u202e\ufeff",
    " \t  .-=_",
]
LINES = ["", ".", "..", "From ", "-- ", " leading", "trailing   ", "=\t", "tabs\t\tand  blanks", "x" * 1200]

TEXT = (
    "Dear {{ name }},\n\n{{ story }}\n"
    "{% for line in story.split('\n') %}{{ loop.index }} {{ line }}\n{% endfor %}\n\n"
)
HTML = (
    "<html><head><style>p { margin: 0 }</style></head><body>\n<p>Dear {{ name }},</p>\n"
    '<a href="https://acme.test/{{ city | urlencode }}?t={{ token }}">{{ city }}</a>\n'
    "{% if story %}<pre>{{ story }}</pre>{% endif %}\n.</body></html>\n"
)
FOOT = '<p><a href="{{ unsubscribe_url }}">Leave</a>, {{ list.postal_address }}</p></body>'


def composers(keys: Sequence[SigningKey]) -> list[Composer]:
    """Drafts of several shapes, all signed with every one of `keys`."""
    shapes: list[dict[str, object]] = [
        {"text": TEXT},
        {"html": HTML, "preheader": "{{ name }} in {{ city }}"},
        {"text": TEXT, "html": HTML, "headers": {"X-City": "{{ city }}"}, "reply_to": "Büro <b@acme.test>"},
        {
            "html": HTML.replace("</body>", FOOT),
            "kind": "marketing",
            "list_": MailingList("weekly.acme.test", "Acme, 1 Main St"),
            "unsubscribe": Unsubscribe("https://u.acme.test/", "unsub@acme.test"),
            "reverse_path": "bounces+{{ token }}@acme.test",
        },
        {
            "text": "{{ story }}",
            "attachments": (Attachment("{{ file }}.txt", b"terms\r\n" * 50, "text/plain"),),
        },
    ]
    common: dict[str, object] = {
        "from_": "Acme News <news@acme.test>",
        "to": "{{ name }} <{{ email }}>",
        "reply_to": None,
        "subject": "{{ name }}: {{ city }}",
        "headers": {},
        "text": None,
        "html": None,
        "campaign": "many",
    }
    return [
        Composer(
            Draft(**(common | shape)),  # type: ignore[arg-type]
            date=DATE,
            tokens=Tokens(SECRET, "many"),
            keys=keys,
        )
        for shape in shapes
    ]


def people(seed: int, count: int) -> Iterator[tuple[int, str, dict[str, str]]]:
    """Id, address and fields of `count` people; other ones for each seed."""
    choose = random.Random(seed)
    for number in range(count):
        id = seed * count + number + 1
        fields = {"name": _line(choose, 60), "city": _line(choose, 30), "story": _story(choose)}
        fields["file"] = re.sub(r"[/\\]", "-", _line(choose, 10))
        yield id, f"user{id}@{choose.choice(['a.test', 'b.test', 'bücher.test'])}", fields


def _line(choose: random.Random, longest: int) -> str:
    length = choose.choice((0, 1, longest // 4, longest, 10 * longest if choose.random() < 0.1 else 5))
    return "".join(choose.choices(choose.choice(ALPHABETS), k=length)).replace("\t", " ")


def _story(choose: random.Random) -> str:
    most = choose.choice((0, 1, 5, 20, 60, 200))
    kinds = [choose.choice(LINES) if choose.random() < 0.3 else _line(choose, 60) for _ in range(most)]
    return choose.choice(("\n", "\r\n")).join(kinds)
