"""A newsletter with everything in it (fields, tokens, an embedded image, a signature), and its list."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import Any

SECRET = "a secret of tests, long enough"
ED25519 = base64.b64encode(bytes(range(32))).decode("ascii")  # RFC 8463's form of a key
PEOPLE = "email,first_name,city\nann@a.test,Ann,Lagos\nbob@a.test,Bob,Oslo\ncleo@b.test,Cleo,Lima\n"
HTML = """\
<!doctype html>
<html><head><title>News</title><style>p { color: #123456 }</style></head>
<body><p>Dear {{ first_name }}, greetings to {{ city }}.</p><img src="logo.png" alt="Acme">
<p><a href="{{ unsubscribe_url }}">Leave</a></p></body></html>
"""


def png() -> bytes:
    """One red pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixel = zlib.compress(b"\0\xff\0\0")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")


def newsletter(folder: Path, *, people: str = PEOPLE, html: str = HTML, **settings: Any) -> Path:
    """Write the campaign and what belongs to it; `settings` replace or add keys of the file. Its path."""
    (folder / "people.csv").write_text(people, "utf-8")
    (folder / "news.html").write_text(html, "utf-8")
    (folder / "logo.png").write_bytes(png())
    (folder / "secret").write_text(SECRET)
    (folder / "key").write_text(ED25519)
    tree: dict[str, Any] = {
        "campaign": "news",
        "from": "Acme News <news@acme.test>",
        "to": "{{ first_name }} <{{ email }}>",
        "subject": "{{ first_name }}, the news",
        "preheader": "Only for {{ city }}",
        "recipients": {"source": "people.csv"},
        "content": {"template": "news.html", "images": "embed"},
        "list": {"id": "news.acme.test"},
        "unsubscribe": {"url": "https://u.acme.test/", "secret": {"file": "secret"}},
        "delivery": {
            "via": "sandbox",
            "reverse_path": "bounces+{{ token }}@acme.test",
            "dkim": [{"domain": "acme.test", "selector": "s1", "key": {"file": "key"}}],
        },
    }
    tree |= settings
    file = folder / "campaign.yaml"
    file.write_text(json.dumps(tree, indent=1, ensure_ascii=False), "utf-8")
    return file


def plain(folder: Path, text: str, *, people: str = PEOPLE, **settings: Any) -> Path:
    """A campaign with a text template and a constant To; `settings` as above."""
    (folder / "people.csv").write_text(people, "utf-8")
    (folder / "hello.txt").write_text(text, "utf-8")
    tree: dict[str, Any] = {
        "campaign": "hello",
        "from": "Acme News <news@acme.test>",
        "to": "Readers <news@acme.test>",
        "subject": "Hello",
        "recipients": {"source": "people.csv"},
        "content": "hello.txt",
        "delivery": {"via": "sandbox"},
    }
    file = folder / "campaign.yaml"
    file.write_text(json.dumps(tree | settings, indent=1, ensure_ascii=False), "utf-8")
    return file
