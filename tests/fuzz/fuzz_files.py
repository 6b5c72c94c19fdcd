"""Targets of what users write: campaign files, lists, suppressions, and the log that a crash may have
left.
"""

from __future__ import annotations

import atexit
import io
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

from fuzz_target import HERE, same, target

from bulkmail.campaign import config, csv_plain
from bulkmail.campaign.csv_source import read_csv
from bulkmail.campaign.json_source import read_jsonl
from bulkmail.campaign.listing import ListSpec
from bulkmail.campaign.text_file import encoding_of
from bulkmail.campaign.yaml_data import load_data
from bulkmail.cli.suppress import Complaints, listed
from bulkmail.errors import ConfigError, StoreError
from bulkmail.journal.log_file import LogName, encode_lines
from bulkmail.journal.records import Intent, Mark, Record
from bulkmail.journal.roll import parse_row
from bulkmail.journal.suppressions import suppression_key
from bulkmail.journal.tail import Tail
from bulkmail.sandbox import file as sandbox_file

MEMORY = Path("/dev/shm")
# a few small files, each written thousands of times
FOLDER = Path(tempfile.mkdtemp(prefix="bulkmail-fuzz-", dir=MEMORY if MEMORY.is_dir() else None))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
SPEC = ListSpec(["x"])


def _text(data: bytes) -> io.TextIOWrapper:
    encoding, errors = encoding_of(data[:1024])
    return io.TextIOWrapper(io.BytesIO(data), encoding, errors, newline="")


def _told(data: bytes, *, plain: bool) -> object:
    """Every row and complaint with its line, in order, or what is wrong with the whole."""
    shapes: dict[str, tuple[str, ...]] = {}

    def shape(columns: Sequence[str]) -> str:
        shapes["7"] = tuple(columns)
        return "7"

    try:
        batches = list(read_csv(_text(data), SPEC, "x.csv", shape if plain else None))
    except ConfigError as error:
        return str(error)
    rows = [row for batch in batches for row in batch.rows]
    for batch in batches:
        if batch.plain is not None:
            columns = batch.plain.columns
            for place, line in enumerate(batch.plain.lines):
                row = batch.plain.row(place)
                rows.append((line, row))
                same(parse_row(batch.plain.texts[place], columns["email"][place], shapes), row, "as stored")
    bad = [one for batch in batches for one in batch.bad]
    places = [line for line, _ in rows] + [one.line for one in bad]
    assert len(places) == len(set(places)), "two rows begin on one line"
    for _, row in rows:
        for text in (*row, *row.values()):
            text.encode()  # no half of a surrogate pair gets through
    return sorted(rows, key=lambda row: row[0]), sorted(bad, key=lambda one: one.line)


CSV = (
    b"email,name\n", b"email\n", b"email;name;x\n", b"sep=;\n", b",", b";", b"\t", b'"', b'""', b"\n",
    b"\r\n", b"\r", b"a@a.test", b"Ann",
    b'"a@a.test","A, A"\n', b"\x1f", b"\x1e", b"\x1d", b"\0", b"\xff", "é".encode(), b"\xef\xbb\xbf",
    b"\xff\xfe", b"\x85", "\u2028".encode(),
    b" ", b"a@a.test,A\n" * 40, b'"\n"', b"\xc2\x85",
)  # fmt: skip


@target(
    seeds=(b"email,name\na@a.test,A\nb@a.test,B\n", b'email;x\r\n"a@a.test";"1\n2"\r\n',
    "email,x\na@a.test,é\n".encode("utf-16")),
    words=CSV, longest=4096, examples=150,
)  # fmt: skip
def csv(data: bytes) -> None:
    """Rows, each with a line of its own and all of it text, or ConfigError; by column the same as one by one,
    wherever a chunk ends."""
    one_by_one = _told(data, plain=False)
    same(_told(data, plain=True), one_by_one, "by column otherwise")
    chunk = csv_plain._CHUNK
    try:
        csv_plain._CHUNK = 1 + crc32(data) % 40
        same(_told(data, plain=True), one_by_one, f"in chunks of {csv_plain._CHUNK} otherwise")
    finally:
        csv_plain._CHUNK = chunk


JSON = (
    b'{"email":"a@a.test"}\n', b'{"email":"a@a.test","x":', b"}\n", b"{", b"[", b"]", b"[1,{}]", b"null",
    b"true", b"1e999", b"-0", b"NaN",
    b'"\\ud800"', b'"\\u0000"', b",", b":", b'"', b"\\", b"\n", b"1" * 4400, b"[" * 300, b"\xff",
    b'{"a":' * 300, b"\xef\xbb\xbf",
)  # fmt: skip


@target(
    seeds=(b'{"email":"a@a.test","n":1.50,"deep":{"a":[1,null]}}\n{"email":"b@a.test"}\n',),
    words=JSON,
    longest=8192,
    examples=120,
)
def jsonl(data: bytes) -> None:
    """Rows of text or a reason, one for each line that is not blank, or ConfigError."""
    try:
        batches = list(read_jsonl(_text(data), SPEC, "x.jsonl"))
    except ConfigError:
        return
    rows = [row for batch in batches for row in batch.rows]
    places = [line for line, _ in rows] + [one.line for batch in batches for one in batch.bad]
    text = _text(data).read()
    lines = [number for number, line in enumerate(io.StringIO(text, newline=""), 1) if line.strip(" \t\r\n")]
    same(sorted(places), lines, "a line without a verdict, or with two")
    for _, row in rows:
        for cell in (*row, *row.values()):
            assert type(cell) is str
            cell.encode()
    json.dumps([row for _, row in rows])


def _written(name: str, data: bytes) -> Path:
    path = FOLDER / name
    path.write_bytes(data)
    return path


def _places(error: ConfigError, data: bytes) -> None:
    lines = len(data.decode("utf-8", "replace").splitlines()) + 1
    assert error.problems, "a ConfigError that tells of no problem"
    for problem in error.problems:
        assert 0 <= problem.line <= lines, problem
        assert problem.column >= 0, problem
        assert problem.text, problem


EXAMPLES = tuple(
    path.read_bytes() for path in sorted((HERE.parents[1] / "campaigns").glob("*/campaign.yaml"))
)
SMALL = (
    b'campaign: hello\nfrom: "Acme <n@a.example>"\nto: "R <n@a.example>"\nsubject: Hi\n'
    b"recipients: p.csv\ncontent: h.md\ndelivery: { via: sandbox }\n"
)
YAML = (
    b"campaign: ", b"from: ", b"to: ", b"subject: ", b"recipients: ", b"content: ", b"delivery: ",
    b"{ via: mx }", b"\n", b"  ", b"- ", b": ", b"{ ",
    b" }", b"[", b"]", b"&a ", b"*a", b"!!str ", b"!x", b"|\n", b">\n", b"'", b'"', b'"\\0"', b'"\\ud800"',
    b"${", b"${HOME}", b"${X:-y}", b"$$", b"<<: ", b"---\n", b"...\n", b"\0", b"\x1b", b"- " * 300,
    b"[" * 300, b"{a: " * 100,
    b"\t", b"#", b" # x", b"~", b"~nobody/", b"null", b"1h30m", b"9" * 30, b"-1", b"1e9", b"dkim: ",
    b"shaping: ", b"retry: ", b"schedule: ", b"{ file: x }", b"{ env: X }",
    b"resolvers: ", b"columns: ", b"where: ", b"seeds: ", b"exclude: ", b"headers: ", b"unsubscribe: ",
    b"list: ", b"tls: ", b"state: ", b"limit: ", b"attachments: ",
    b"reverse_path: ", b"% %", b"? ", b"\x85", "\u2028".encode(), b"\xef\xbb\xbf", b"\xff", b"smtp://u@h:1",
    b"a@b.test", b"true", b"on_missing: ", b"port: ",
)  # fmt: skip


@target(seeds=(SMALL, *EXAMPLES), words=YAML, longest=4096, examples=150)
def campaign(data: bytes) -> None:
    """A campaign, or ConfigError whose problems name places that are in the file."""
    path = _written("campaign.yaml", data)
    try:
        loaded = config.load(path, environ={"X": "x\ny", "HOME": "/nowhere"})
    except ConfigError as error:
        _places(error, data)
    else:
        config.missing_files(loaded)


@target(seeds=(b"items:\n  - { title: x, price: 9.90, hot: true }\n",), words=YAML, examples=80)
def data(data: bytes) -> None:
    """Values for templates, or ConfigError; what is a number prints as it was written."""
    try:
        load_data(_written("data.yaml", data))
    except ConfigError as error:
        _places(error, data)


WORLD = (
    b"unknown_domains: nxdomain\n", b"domains:\n", b"hosts:\n", b"  a.test: ", b"greylist\n",
    b"{ hosts: { mx.a.test: 10 } }\n", b"rcpt-limit: 5",
    b'recipients: { bob: unknown, "f*": "550 no" }', b"slow: 200ms", b"tls: broken", b'"*.a.test": ', b"~",
    b"[greylist, slow]", b"refuse: ", b"\n    ",
)  # fmt: skip


@target(
    seeds=(b"domains:\n  a.test: greylist\n  b.test: { hosts: { mx.b.test: 10 }, rcpt-limit: 5 }\n",),
    words=(*WORLD, *YAML[:40]),
    examples=80,
)
def sandbox(data: bytes) -> None:
    """A world, or ConfigError whose problems name places that are in the file."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    try:
        sandbox_file.read(text)
    except ConfigError as error:
        _places(error, data)


@target(
    seeds=(b"ann@a.test\n# x\nbob@b.test\n", b"email,reason\nann@a.test,asked\n",
    b'{"email":"a@a.test","reason":"x"}\n', "a@a.test\n".encode("utf-16")),
    words=(*CSV, b"#", b"reason", b'{"email":', b"ann@a.test\n"), longest=1024, examples=80,
)  # fmt: skip
def suppressions(data: bytes) -> None:
    """Whatever is imported: addresses with a key each, complaints, or ConfigError."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as spool:
        for name in ("list", "list.csv", "list.jsonl"):
            try:
                rows = list(listed(_written(name, data), Path(spool)))
            except ConfigError:
                continue
            complaints = Complaints()
            complaints_told = _Silent()
            for address, reason in complaints_told.valid(complaints, rows):
                suppression_key(address).encode()
                reason.encode()


class _Silent:
    def valid(self, complaints: Complaints, rows: list[tuple[str, str, str]]) -> list[tuple[str, str]]:
        complaints.count = 1000  # enough were told
        return list(complaints.valid(rows))


IDENTITY = "0123456789abcdef"
HEADER = LogName(FOLDER / "j", IDENTITY, 0, 1).header(1)
ENTRIES = [
    ([Record(1, 2, "delivered", 1.5, 250, "2.0.0", "ok", "end_of_data", "mx", "192.0.2.1")], [Intent(7, ((3,
    4), (6, 6)), "mx", "192.0.2.1", 1.5)], [5]),
    ([Record(3, 3, "deferred", 1.5, 451, None, "later", due=9.0)], [Intent(8, ((3, 3),), "mx", "192.0.2.1",
    1.5)], []),
]  # fmt: skip
LINES = b"".join(encode_lines(ENTRIES))  # type: ignore[arg-type]


@target(
    seeds=(b"\0" + HEADER + LINES, b"\1" + LINES.replace(LINES[:9], b""), b"\0" + HEADER + LINES + bytes(20)),
    words=(HEADER, LINES, bytes(8), b"\n", b"[[]]", b"[[],1]", b"null", b'"x"', b"[", b"]", b",", b"{}", b"1",
    b"-1", b"1e99", b"true",
           b"bulkmail log 3 x 0 1\n", b"bulkmail log " + b"9" * 4400, b"[[" * 600),
    longest=8192, examples=120,
)  # fmt: skip
def log(data: bytes) -> None:
    """A log of arbitrary octets, or (first octet odd) of arbitrary lines with a checksum that fits: entries,
    or StoreError."""
    signed, body = bool(data) and data[0] & 1 == 1, data[1:]
    if signed:
        body = HEADER + b"".join(b"%08x %b\n" % (crc32(line), line) for line in body.split(b"\n"))
    name = LogName(FOLDER / "j", IDENTITY, 0, 1)
    name.path(1).write_bytes(body)
    for read in (Tail.read, Tail.read_rest):
        tail = Tail(name.journal, IDENTITY, Mark(0, 1, 0))
        try:
            for entries, _ in read(tail):
                for _, _, closed in entries:
                    assert all(type(key) is int for key in closed), closed
        except StoreError:
            pass
        finally:
            tail.close()
