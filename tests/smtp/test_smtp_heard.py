"""What other hosts said makes reading faster, and nothing else: each is read as if it were the first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bulkmail.errors import RemoteProtocolError
from bulkmail.smtp import ClientProtocol, Ehlo
from bulkmail.smtp.heard import KNOWN, Heard
from bulkmail.smtp.reply import Reply, ReplyReader

LINES = (
    b"250 2.1.0 ok\r\n", b"250 2.1.0 ok\n", b"250 ok\r\n", b"550 2.1.0 ok\r\n", b"550 5.1.1 no\r\n",
    b"250-2.1.0 ok\r\n", b"354 go\r\n", b"25", b"250 queued as 1\r\n", b"no reply\r\n",
)  # fmt: skip


def read(reader: ReplyReader, pieces: list[bytes]) -> tuple[list[Reply], list[bool], str]:
    found: list[Reply] = []
    smooth: list[bool] = []
    try:
        for piece in pieces:
            found += reader.feed(piece)
            smooth.append(reader.smooth)
    except RemoteProtocolError as failure:
        return found, smooth, str(failure)
    return found, smooth, ""


@given(st.lists(st.lists(st.lists(st.sampled_from(LINES), max_size=6).map(b"".join), max_size=5), max_size=6))
def test_who_shares_what_was_heard_reads_as_if_alone(conversations: list[list[bytes]]) -> None:
    heard = Heard()
    for pieces in conversations:
        assert read(ReplyReader(heard), pieces) == read(ReplyReader(), pieces)


def test_hosts_that_announce_the_same_have_the_same_extensions_whatever_their_name() -> None:
    def announced(heard: Heard, *lines: bytes) -> ClientProtocol:
        client = ClientProtocol(heard)
        client.receive(b"220 welcome\r\n")
        client.send(Ehlo("out.test"))
        client.receive(Reply.of(250, *lines).encode())
        return client

    heard = Heard()
    one, other, third, refused = (
        announced(heard, b"a.test", b"SIZE 1000", b"PIPELINING"),
        announced(heard, b"b.test", b"SIZE 1000", b"PIPELINING"),
        announced(heard, b"c.test", b"SIZE 1001", b"PIPELINING"),
        announced(heard, b"PIPELINING"),
    )
    assert one.extensions is other.extensions
    assert [each.extensions.size for each in (one, third, refused)] == [1000, 1001, None]
    assert not refused.extensions.pipelining


def test_what_is_remembered_is_bounded() -> None:
    heard = Heard()
    for number in range(3 * KNOWN):
        client = ClientProtocol(heard)
        client.receive(b"220 %d welcome\r\n" % number)
        client.send(Ehlo("out.test"))
        client.receive(b"250-a.test\r\n250 SIZE %d\r\n" % (number + 1))
        ReplyReader(heard).feed(b"250 %d\r\n" % number * 2)
    kept = (heard.known, heard.good, heard.enhanced, heard.announced)
    assert [0 < len(each) <= KNOWN for each in kept] == [True] * 4
