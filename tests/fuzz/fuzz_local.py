"""Targets of what is decided by text and numbers that others wrote: refusals, who a host belongs to, what was
kept of a site, and what a running campaign is asked.
"""

from __future__ import annotations

import json
import math
import struct
from contextlib import suppress

from fuzz_files import FOLDER, YAML, _places, _written
from fuzz_smtp import SAID
from fuzz_target import same, target

from bulkmail.campaign.learning import Learning
from bulkmail.campaign.listening import REQUEST, understood
from bulkmail.campaign.profile import built_in, profile_of
from bulkmail.delivery.classify import replies
from bulkmail.delivery.meaning import Consequence
from bulkmail.delivery.provider import Providers
from bulkmail.delivery.retold import in_words, retold
from bulkmail.delivery.stated_wait import stated_wait
from bulkmail.errors import ConfigError, StoreError
from bulkmail.journal import SiteFile
from bulkmail.journal.learned import EXPIRY
from bulkmail.smtp import EnhancedStatus
from bulkmail.transport.stage import Stage

STAGES = (*Stage,)
MAYBE = "an address may be suppressed for that"
REFUSALS = (
    b"5.1.1 user unknown", b"4.7.1 greylisted, try again in 00:05:00", b"try again in 300 seconds", b"wait",
    b"retry after 5 min 30 s", b"mailbox full", b"blocked see https://a.test/b?c=1", b"spamhaus", b"4.7.28 ",
    b"<ann@a.test>", b"ann@a.test:", b"550-5.1.1 ", b"#5.7.1 ", b"[192.0.2.1]", b"(", b"<", b"@", b"://",
    b"/", b" (119 seconds left)", b"rate limit", b"9" * 7, b":", b".", b",", b"a", b" ",
)  # fmt: skip


@target(seeds=tuple(b"\7\x96" + text for text in REFUSALS[:8]), words=(*REFUSALS, *SAID[10:]), longest=8192)
def refusal(data: bytes) -> None:
    """Stage, code, then whatever the text: one reading, in whatever letters; an address is only ever
    suppressed for a 5yz to RCPT or the end of data; a wait is finite; it can be told again."""
    stage, code, text = STAGES[data[:1][0] % len(STAGES)] if data else STAGES[0], 400, data[2:]
    if len(data) > 1:
        code += data[1] % 200
    enhanced = EnhancedStatus.parse(text)
    if enhanced is not None and enhanced.klass != code // 100:
        enhanced = None
    reading = replies().read(stage, code, enhanced, text, "mx.a.test")
    same(replies().read(stage, code, enhanced, text.upper(), "mx.a.test"), reading, "in capitals")
    if reading.consequence is Consequence.SUPPRESS:
        assert code >= 500, MAYBE
        assert stage in (Stage.RCPT, Stage.END_OF_DATA), MAYBE
    wait = stated_wait(text)
    same(stated_wait(text.upper()), wait, "another wait in capitals")
    assert wait is None or 0 <= wait < 1e10, wait
    again = retold(
        stage.value, code, str(enhanced) if enhanced else None, text.decode("latin-1"), "mx.a.test"
    )
    assert in_words("bounced", again).isprintable()


PROVIDERS = Providers(built_in().values())


@target(
    seeds=(b"aspmx.l.google.com", b"a-test.mail.protection.outlook.com~3", b"192.0.2.1", b"2001:db8::1"),
    words=(b".", b"google.com", b"~", b"com", b"co.uk", b":", b"1", b"-", b"xn--", b"\xff"),
    longest=300, examples=100,
)  # fmt: skip
def provider(data: bytes) -> None:
    """Every name belongs to somebody, and all sites of a first exchanger to the same one."""
    name = data[:255].decode("latin-1").lower()
    one = PROVIDERS.of(name)
    same(PROVIDERS.of(name.partition("~")[0] + "~another"), one, "another provider for another site")
    if one.name not in PROVIDERS.profiles:
        assert not one.shape, one
        assert name.partition("~")[0].endswith(one.name), one


@target(
    seeds=(b'edition: "1"\nproviders:\n  acme:\n    mx: [acme.test]\n    message_rate: 10/s\n',
           b"extends: built-in\nproviders: { google: { connections: 2, retry: { first: 1m } } }\n"),
    words=(b"extends: ", b"built-in", b"providers:\n", b"  google: ", b"mx: [", b"connections: ",
    b"message_rate: ", b"10/s", b"0/day", b"edition: ", *YAML),
    examples=60,
)  # fmt: skip
def profile(data: bytes) -> None:
    """Providers of whom each has the end of a name, or ConfigError whose problems name places in the file."""
    try:
        found = profile_of(_written("providers.yaml", data))
    except ConfigError as error:
        _places(error, data)
        return
    assert all(one.suffixes for one in found.values())


@target(
    seeds=(b'{"do": "pause"}\n', b'{"do": ["top"], "x": 1}', b"[" * 3000),
    words=(b'{"do": ', b'"cancel"', b"}", b"\n", b"[", b"{", b'"\\ud800"', b"9" * 4400, b"1e999", b"\xff"),
    longest=8192, examples=100,
)  # fmt: skip
def order(data: bytes) -> None:
    """Whatever a running campaign is asked: a request that can be answered, an empty one for what is none."""
    line = data.partition(b"\n")[0]
    request = understood(data)
    assert not request or len(line) <= REQUEST
    json.dumps({"error": f"{request.get('do')!r}"}, ensure_ascii=False).encode()


SITES = FOLDER / "sites.db"
with SiteFile.open(SITES) as made, made.writing() as db:
    db.executemany("INSERT INTO learned VALUES ('mx.a.test', ?, 7.0, 1.0, 9e9)", [(kind,) for kind in EXPIRY])
GOOD = SITES.read_bytes()


@target(
    seeds=tuple(b"\0" + struct.pack(">d", value) for value in (1.0, 0.0, -1.0, 1e300, math.inf, 0.5)),
    words=(b"\0", b"\1", b"\x0d\0\0\0", b"\xff" * 4, b"mx.a.test", struct.pack(">d", math.inf)),
    longest=600, examples=60,
)  # fmt: skip
def known(data: bytes) -> None:
    """What was kept of a site, with whatever number, or (first octet odd) with octets of the file changed:
    limits that are at least one, or StoreError."""
    broken, said = bool(data) and data[0] & 1 == 1, data[1:]
    whole = GOOD
    if broken:
        at = int.from_bytes(said[:2], "big") % len(GOOD)
        whole = (GOOD[:at] + said[2:] + GOOD[at + len(said[2:]) :])[: len(GOOD)]
    for path in FOLDER.glob("sites.db*"):
        path.unlink()
    SITES.write_bytes(whole)
    with suppress(StoreError), SiteFile.open(SITES) as file:
        if not broken:
            (value,) = struct.unpack(">d", said[:8].ljust(8, b"\0"))
            if math.isnan(value):
                return  # SQLite has none
            with file.writing() as db:
                db.execute("UPDATE learned SET value = ?", (value,))
        learning = Learning(file, now=lambda: 1.0)
        found, pace = learning.recall("mx.a.test"), learning.recall_pace("mx.a.test")
        counts = (found.recipients, found.messages, found.size, *pace)
        assert all(count is None or count > 0 for count in counts), counts
