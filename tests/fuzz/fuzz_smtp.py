"""Targets of the wire: what servers say to us, and what clients say to the sandbox."""

from __future__ import annotations

from fuzz_target import cuts, same, target

from bulkmail.delivery.classify import classify
from bulkmail.delivery.disposition import Fate
from bulkmail.errors import RemoteProtocolError
from bulkmail.smtp import (
    Auth,
    AuthResponse,
    Bdat,
    Chunk,
    ClientProtocol,
    Data,
    Ehlo,
    EndOfData,
    Envelope,
    Extensions,
    Mail,
    Mailbox,
    Message,
    Rcpt,
    Refused,
    Reply,
    ReplyReader,
    ServerProtocol,
    StartTls,
    State,
    Whole,
    canonical,
    parse_command,
    paths_of,
    stuff,
    unstuff,
)
from bulkmail.smtp.reply import MAX_LINE, MAX_REPLY
from bulkmail.transport.stage import Stage

CODES = (b"220 ", b"250-", b"250 ", b"354 ", b"334 ", b"421 ", b"451 4.7.1 ", b"550 5.1.1 ", b"235 ", b"999 ")
SAID = (
    *CODES, b"\r\n", b"\n", b"\r", b"\0", b"\x1b[2J", b"\xff\xfe", b"2.0.0 Ok", b"try again in 300 seconds",
    b"250",
    b"250 2.1.5 Ok\r\n", b"250 2.1.5 Ok\r\n" * 80, b"x" * 2030, b"HTTP/1.1 400 Bad\r\n", b"<html>",
    b"too many recipients",
)  # fmt: skip
KEYWORDS = (
    b"PIPELINING", b"SIZE ", b"SIZE 0", b"8BITMIME", b"SMTPUTF8", b"CHUNKING", b"STARTTLS",
    b"AUTH PLAIN LOGIN",
    b"AUTH=LOGIN", b"ENHANCEDSTATUSCODES", b"DSN", b"LIMITS RCPTMAX=5 MAILMAX=", b"RCPTDOMAINMAX=1",
    b"99999999999999999999999",
)  # fmt: skip
EVERYTHING = b"".join(b"250-%b\r\n" % word for word in KEYWORDS[:11]) + b"250 OK\r\n"


def heard(pieces: list[bytes]) -> tuple[list[Reply], bool]:
    """The replies of a stream in these pieces, and whether a violation ended it."""
    reader, found = ReplyReader(), []
    try:
        for piece in [*pieces, b""]:
            found += reader.feed(piece)
            held = len(reader._held) + sum(map(len, reader._lines))
            assert reader.failure is not None or held < MAX_REPLY + MAX_LINE, held
    except RemoteProtocolError:
        return found, True
    return found, False


@target(
    seeds=(EVERYTHING, b"550-5.7.1 a\r\n550 5.7.1 b\r\n220 x\r\n"), words=SAID, longest=8192, examples=150
)
def reply(data: bytes) -> None:
    """Replies or RemoteProtocolError, alike under every split; encode∘decode is the identity; what is shown
    of one is a printable line; a refusal is never taken for success."""
    whole = heard([data])
    for pieces in cuts(data)[1:]:
        same(heard(pieces), whole, "another split reads otherwise")
    for one in whole[0]:
        same(ReplyReader().feed(one.encode()), [one], "encoded and read again")
        assert one.text.isascii(), one.text
        assert one.text.isprintable(), one.text
        for stage in (Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.END_OF_DATA):
            fate = classify(stage, one).fate
            assert (fate is Fate.DELIVERED) == (one.code < 300), (stage, one, fate)


@target(
    seeds=(b"\n".join(KEYWORDS),),
    words=(*KEYWORDS, b"\n", b" ", b"=", b"\t", b"\xff", b"size 10"),
    examples=100,
)
def ehlo(data: bytes) -> None:
    """Never raises; in any case of letters the same; numbers are positive, mechanisms in capitals."""
    lines = data.replace(b"\r", b"").split(b"\n")
    found = Extensions.announced_by(lines)
    same(Extensions.announced_by([line.lower() for line in lines]), found, "in small letters")
    numbers = (found.size, found.limits.mailmax, found.limits.rcptmax, found.limits.rcptdomainmax)
    assert all(number is None or number > 0 for number in numbers), numbers
    assert all(name == name.upper() and not set(name) & set("\r\n ") for name in found.auth), found.auth
    assert found.size is None or found.announces_size


ANN = Mailbox.parse("ann@a.test")
TWO = paths_of(["bob@a.test", "cat@a.test"])
WHOLE = Whole(ANN, TWO, (b"hello\r\n",))


def _ready() -> ClientProtocol:
    client = ClientProtocol()
    client.receive(b"220 mx\r\n")
    client.send(Ehlo("c.test"))
    client.receive(b"250-mx\r\n" + EVERYTHING)
    return client


def _client(way: int) -> ClientProtocol:
    """Somewhere in a conversation, with something unanswered."""
    if way == 0:
        return ClientProtocol()
    if way == 1:
        client = ClientProtocol()
        client.receive(b"220 mx\r\n")
        client.send(Ehlo("c.test"))
        return client
    client = _ready()
    bob, cat = (Rcpt(Mailbox.parse(name)) for name in ("bob@a.test", "cat@a.test"))
    said: list[object] = []
    if way == 2:
        said = [StartTls()]
    elif way == 3:
        said = [Auth("PLAIN", b"\0a\0b")]
    elif way == 4:
        said = [Mail(ANN), bob, cat, Data()]
    elif way == 5:
        client.send(Envelope(ANN, TWO))
        client.receive(b"250 a\r\n250 b\r\n550 c\r\n354 go\r\n")
        said = [EndOfData(b"hello\r\n.\r\n"), Envelope(ANN, TWO, reset=True)]
    elif way == 6:
        said = [WHOLE, WHOLE._replace(reset=True), WHOLE._replace(reset=True)]
    elif way == 7:
        said = [Mail(ANN), bob, Bdat(b"hello\r\n", False), Bdat(b"", True)]
    for one in said:
        client.send(one)  # type: ignore[arg-type]
    return client


WAYS = 9  # 8: nothing is unanswered


def _heard(way: int, pieces: list[bytes]) -> tuple[object, ...]:
    client = _client(way)
    asked, answers = client.unanswered, []
    for piece in pieces:
        try:
            for answer in client.receive(piece):
                place = next(at for at, one in enumerate(asked) if one is answer.command)
                answers += [(place, one) for one in answer.replies]
        except RemoteProtocolError:
            break
    broken = client.failure is not None
    if broken:
        assert not client.idle
        try:
            client.send(Mail(ANN))
        except RemoteProtocolError:
            pass
        else:
            raise AssertionError("something may be said after a violation")
    if client.idle:
        assert client.send(Mail(ANN)) == b"MAIL FROM:<ann@a.test>\r\n"
        return (answers, "idle", client.extensions)
    return answers, broken, client.closing, len(client.unanswered), client.extensions


@target(
    seeds=tuple(bytes([way]) + said for way in range(WAYS) for said in (EVERYTHING, b"250 a\r\n" * 9,
    b"421 bye\r\n")),
    words=SAID, longest=4096, examples=200,
)  # fmt: skip
def client(data: bytes) -> None:
    """The first octet says where the conversation stands, the rest is what the host says: answers, then
    RemoteProtocolError; alike under every split; nothing can be said after a violation."""
    way, said = (data[0] % WAYS, data[1:]) if data else (0, b"")
    whole = _heard(way, [said])
    for pieces in cuts(said)[1:]:
        same(_heard(way, pieces), whole, "another split means something else")


MOST = 1000  # octets of a message that the server takes


def _events(pieces: list[bytes]) -> list[object]:
    protocol = ServerProtocol(
        extensions=[word.decode() for word in KEYWORDS[:9] if word.strip() != b"SIZE"], max_message=MOST
    )
    protocol.greet(Reply.of(220, "mx"))
    found: list[object] = []
    for piece in pieces:
        protocol.receive_data(piece)
        while (event := protocol.next_event()) is not None:
            found.append(event)
            answer = _answer(event, len(found))
            told = protocol.reply(answer)
            same(ReplyReader().feed(told), [answer], "what the server says is one reply")
        held = len(protocol._buffer) + len(protocol._content)
        assert protocol.state is State.CLOSED or held < 2 * MOST + 12288 + 64, f"{held} octets are held"
    return [*found, protocol.state]


def _answer(event: object, number: int) -> Reply:
    """Every answer that there is, by turns, but for a 220 to STARTTLS: what follows it is TLS."""
    if isinstance(event, Refused):
        return event.reply
    if isinstance(event, Data):
        return Reply.of(354, "go") if number % 7 else Reply.of(451, "no")
    if isinstance(event, StartTls):
        return Reply.of(454, "no TLS")
    if isinstance(event, Auth | AuthResponse):
        return Reply.of(334, "") if number % 3 else Reply.of(235, "welcome")
    if isinstance(event, Ehlo):
        return Reply.of(250, "mx", "PIPELINING", "CHUNKING", "SMTPUTF8", "SIZE 500", "AUTH PLAIN")
    return Reply.of(250, "fine") if number % 5 else Reply.of(550, "no")


SPOKEN = (
    b"EHLO c.test\r\n", b"HELO c\r\n", b"MAIL FROM:<a@b.test>", b"RCPT TO:<\"q q\"@b.test>", b" SIZE=10",
    b"DATA\r\n", b"\r\n",
    b"\r\n.\r\n", b"\n.\n", b"\n.\r\n", b"BDAT 5\r\nhello", b"BDAT 3 LAST\r\nabc",
    b"BDAT 99999999999999999999 LAST\r\n", b"RSET\r\n",
    b"AUTH PLAIN AGEAYg==\r\n", b"*\r\n", b"QUIT\r\n", b"NOOP\r\n", b"VRFY x\r\n", b"STARTTLS\r\n",
    b"x" * 700, b"<", b">", b"..",
    b"<@a,@b:c@d.test>", b" SMTPUTF8", b" BODY=8BITMIME", "ü@b.test".encode(), b"\0", b"\xff", b"\r",
)  # fmt: skip


@target(
    seeds=(b"EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n.x\r\n.\r\nQUIT\r\n",
           b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<c@d.test>\r\nBDAT 5\r\nhelloBDAT 2 LAST\r\n\r\nRSET\r\n"),
    words=SPOKEN, longest=4096, examples=150,
)  # fmt: skip
def server(data: bytes) -> None:
    """Events for whatever a client says, alike under every split; each is answered by exactly one reply; what
    is held is bounded; a command decodes to what was encoded; content is stuffed and unstuffed to itself."""
    whole = _events([data])
    for pieces in cuts(data)[1:]:
        same(_events(pieces), whole, "another split says something else")
    for event in whole[:-1]:
        if isinstance(event, Message):
            content = canonical(event.content)
            same(unstuff(stuff(content)), content, "stuffed and unstuffed")
        elif isinstance(event, Mail | Rcpt | Ehlo):
            same(parse_command(event.encode()), event, "encoded and parsed again")
        elif not isinstance(event, Refused | Chunk):
            assert isinstance(whole[-1], State)
