"""The benchmarks' sink counts and keeps what it was sent, however the network cut it."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sink
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lacking import lacks
from sink_client import Talk, every_octet, talk

MAIL = b"MAIL FROM:<a@b.test>\r\n"
RCPT = b"RCPT TO:<c@d.test>\r\n"
HELD = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    try:
        sink.built("sink")
    except sink.CannotBuild as reason:
        lacks(str(reason))


@pytest.fixture
def mx() -> Iterator[sink.Sink]:
    with sink.running() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kept").mkdir()
    return tmp_path / "kept"


def dotted(content: bytes) -> bytes:
    """As a client sends it behind DATA: stuffed and ended. `content` ends with CRLF."""
    lines = content.split(b"\r\n")
    return b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines) + b".\r\n"


def test_a_message_by_data_arrives_as_it_was(folder: Path) -> None:
    content = b"Subject: x\r\n\r\n.\r\n..two\r\nbare\n.\nlf\r.\rcr\r\n.end\r\n"
    with sink.running(keep=folder) as mx, talk(mx) as client:
        client.send(MAIL, RCPT, b"RCPT TO:<e@f.test>\r\n", b"DATA\r\n")
        assert client.codes(4) == [250, 250, 250, 354]
        assert client.said(*every_octet(dotted(content))) == [250]
    (message,) = sink.kept(folder)
    assert (message.mail, message.forward_paths, message.content) == (
        b"FROM:<a@b.test>",
        (b"c@d.test", b"e@f.test"),
        content,
    )


def test_chunks_are_put_together(folder: Path) -> None:
    content = b"\r\n.\r\nQUIT\r\n" * 50
    with sink.running(keep=folder) as mx, talk(mx) as client:
        client.send(MAIL + RCPT + b"BDAT 100\r\n" + content[:100] + b"BDAT 450 LAST\r\n" + content[100:])
        assert client.codes(4) == [250, 250, 250, 250]
        assert client.said(b"%sBDAT 0\r\nBDAT 0 LAST\r\n" % (MAIL + RCPT), replies=4) == [250] * 4
    assert [message.content for message in sink.kept(folder)] == [content, b""]


@HELD
@given(st.lists(st.binary(max_size=40)), st.data())
def test_how_the_octets_were_cut_makes_no_difference(
    folder: Path, contents: list[bytes], data: st.DataObject
) -> None:
    """Messages with DATA and with BDAT in turn, all in a row, cut anywhere."""
    folder = Path(os.path.join(folder, str(len(list(folder.iterdir())))))
    folder.mkdir()
    contents = [b"." * (i % 3) + content + b"\r\n" for i, content in enumerate(contents)]
    with sink.running(keep=folder) as mx, talk(mx) as client:
        for i, content in enumerate(contents):
            if i % 2:
                stream, replies = MAIL + RCPT + b"BDAT %d LAST\r\n" % len(content) + content, 3
            else:
                assert client.said(MAIL + RCPT + b"DATA\r\n", replies=3) == [250, 250, 354]
                stream, replies = dotted(content) + b"RSET\r\n", 2
            cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
            pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
            assert client.said(*pieces, replies=replies) == [250] * replies
    assert [message.content for message in sink.kept(folder)] == contents
    assert mx.counts().octets == sum(map(len, contents))


def test_nonsense_is_refused(mx: sink.Sink) -> None:
    with talk(mx, greet=False) as client:
        said = [
            (MAIL, 503),
            (b"EHLO\r\n", 501),
            (b"EHLO a.test\r\n", 250),
            (RCPT, 503),
            (b"DATA\r\n", 503),
            (b"BDAT 5 LAST\r\nQUIT\n", 503),
            (b"MAIL FROM:a@b.test\r\n", 501),
            (b"MAIL FROM:<a@b.test> SIZE=1 BODY=BINARYMIME\r\n", 555),
            (b"MAIL FROM:<a@b.test> SIZE=999999999999\r\n", 552),
            (b"MAIL FROM:<\xc3\xa9@b.test>\r\n", 553),
            (b"MAIL FROM:<a@b.test> BODY=8BITMIME SIZE=7\r\n", 250),
            (MAIL, 503),
            (b"RCPT TO:<>\r\n", 501),
            (b"RCPT TO:<c>\r\n", 501),
            (b"RCPT TO:<c d@e.test>\r\n", 501),
            (b"RCPT TO:<c@d.test> NOTIFY=NEVER\r\n", 555),
            (b"RCPT TO:<\xc3\xa9@d.test>\r\n", 553),
            (b'RCPT TO:<"c> d"@e.test>\r\n', 250),
            (b"BDAT 1\r\nx", 250),
            (RCPT, 503),
            (b"DATA\r\n", 503),
            (b"RSET\r\n", 250),
            (b"MAIL FROM:<> SMTPUTF8\r\n", 250),
            (b"RCPT TO:<\xc3\xa9@d.test>\r\n", 250),
            (b"BARE\n", 500),
            (b"\r\n", 500),
            (b"HELO a.test\r\n", 250),
            (b"MAIL FROM:<> BODY=8BITMIME\r\n", 555),
            (b"NOOP\r\n", 250),
            (b"QUIT\r\n", 221),
        ]
        assert [(line, client.said(line)[0]) for line, _ in said] == said
        assert client.rest() == b""
    assert mx.counts().transactions == 0


@pytest.mark.parametrize("line", [b"x" * 5000, b"BDAT x\r\n", b"BDAT 5 FIRST\r\n", b"BDAT\r\n"])
def test_what_leaves_no_next_command_ends_the_connection(mx: sink.Sink, line: bytes) -> None:
    with talk(mx) as client:
        client.send(line)
        assert client.rest()[:1] == b"5"


def test_tls_forgets_what_was_before(mx: sink.Sink) -> None:
    with talk(mx) as client:
        assert client.said(MAIL) == [250]
        client.start_tls(ssl.create_default_context(cafile=str(mx.ca)))
        assert client.said(RCPT, MAIL, b"EHLO a.test\r\n", replies=3) == [503, 503, 250]
        assert client.said(b"STARTTLS\r\n", MAIL, RCPT, b"BDAT 3 LAST\r\nabc", b"QUIT\r\n", replies=5) == [
            *(503, 250, 250, 250),
            221,
        ]
        assert client.rest() == b""
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sock.version() == "TLSv1.3"
    counts = mx.counts()
    assert (counts.tls, counts.transactions) == (1, 1)


def test_what_comes_behind_starttls_in_the_clear_is_not_believed(mx: sink.Sink) -> None:
    with talk(mx) as client:
        assert client.said(b"STARTTLS\r\n" + MAIL + RCPT + b"BDAT 3 LAST\r\nabc") == [220]
        client.sock.shutdown(socket.SHUT_WR)
        assert b"250" not in client.rest()
    assert mx.counts().transactions == 0


def test_what_is_not_offered_is_not_there() -> None:
    with sink.running(chunking=False, pipelining=False, starttls=False) as mx, talk(mx) as client:
        client.send(b"EHLO a.test\r\n")
        offered = []
        while not offered or not offered[-1].startswith(b"250 "):
            offered.append(client.line())
        assert [line[4:] for line in offered[1:]] == [
            *(b"SIZE 104857600", b"8BITMIME"),
            *(b"SMTPUTF8", b"ENHANCEDSTATUSCODES"),
        ]
        assert client.said(b"STARTTLS\r\n", b"BDAT 0 LAST\r\n", replies=2) == [500, 500]


def test_a_client_that_does_not_wait_is_noted() -> None:
    with sink.running(pipelining=False) as mx, talk(mx) as client:
        assert client.said(MAIL + RCPT, replies=2) == [250, 250]
        assert mx.counts().early == 1
        assert client.said(b"DATA\r\nSubject: too early\r\n\r\n.\r\n", replies=2) == [354, 250]
        assert mx.counts().early == 2
        assert client.said(MAIL) == [250]
        assert client.said(b"BDAT 1 LAST\r\nx") == [503]
        assert mx.counts().early == 2


@pytest.mark.parametrize("tls", [False, True])
def test_a_client_that_does_not_read_is_not_read_from_and_loses_nothing(mx: sink.Sink, tls: bool) -> None:
    """Far more replies than the sockets hold, written while none is read, on several connections at once."""
    many = 400_000
    context = ssl.create_default_context(cafile=str(mx.ca))
    with talk(mx) as one, talk(mx) as other:
        for client in (one, other):
            if tls:
                client.start_tls(context)
                assert client.said(b"EHLO a.test\r\n") == [250]
            assert client.said(MAIL) == [250]
            flood(client, RCPT * many + b"RSET\r\n", many + 1)
        assert other.said(b"NOOP\r\n") == [250]
    assert mx.counts().rcpts == 2 * many


def flood(client: Talk, data: bytes, replies: int) -> None:
    """Write until the socket takes no more, only then read; and so on."""
    client.sock.setblocking(False)
    sent, lines, tail = 0, 0, b""
    view = memoryview(data)
    while lines < replies:
        try:
            while sent < len(data):
                sent += client.sock.send(view[sent : sent + 1_000_000])
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        try:
            part = client.sock.recv(1_000_000)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            continue
        assert part
        lines += part.count(b"\n")
        tail = (tail + part)[-200:]
    assert tail.endswith(b"250 2.0.0 Ok\r\n")
    client.sock.settimeout(60)


def test_many_connections_at_once(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with sink.running(ledger=ledger, unique=True) as mx:
        sockets = [socket.create_connection((mx.host, mx.port), timeout=60) for _ in range(400)]
        clients = [Talk(sock) for sock in sockets]
        for client in clients:
            client.send(b"EHLO a.test\r\n" + MAIL)
        for i, client in enumerate(clients):
            client.send(b"RCPT TO:<c%d@d.test>\r\nBDAT 5 LAST\r\nab" % i)
        for client in clients:
            client.send(b"cde")
        assert {tuple(client.codes(5)) for client in clients} == {(220, 250, 250, 250, 250)}
        assert mx.counts().open == len(clients)
        for sock in sockets:
            sock.close()
    assert sorted(ledger.read_text().split()) == sorted(f"c{i}@d.test" for i in range(400))


def test_each_message_has_an_id_of_its_own_where_asked() -> None:
    with sink.running(unique=True) as mx, talk(mx) as client:
        client.send((MAIL + RCPT + b"BDAT 1 LAST\r\nx") * 50)
        ids = {reply for reply in client.replies(150) if b"queued as " in reply}
    assert len(ids) == 50


def test_the_ledger_holds_who_got_it_and_nobody_else(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with sink.running(ledger=ledger) as mx, talk(mx) as client:
        client.send(MAIL + RCPT + b"RSET\r\n" + MAIL + b"RCPT TO:<e@f.test>\r\nRCPT TO:<e>\r\n")
        client.send(b"BDAT 1 LAST\r\nx" + MAIL + RCPT)
        assert client.codes(9)[-1] == 250
    assert ledger.read_text() == "e@f.test\n"
    counts = mx.counts()
    assert (counts.rcpts, counts.recipients, counts.refused) == (3, 1, 1)


def test_it_ends_with_whoever_started_it() -> None:
    """A process that starts a sink and is killed takes the sink with it."""
    code = (
        "import sink, sys\nwith sink.running() as mx:\n print(mx.pid, mx.port, flush=True)\n sys.stdin.read()"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(sink.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        _, port = map(int, process.stdout.readline().split())
        with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
            assert sock.recv(100).startswith(b"220 ")
            process.kill()
            assert sock.recv(100) == b""
