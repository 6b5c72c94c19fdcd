"""One connection to one host: commands go out in groups, replies come back in order.

How it thinks: `ClientProtocol` knows what may be said and which reply is whose, `Course` knows what may be
written now and until when to wait, the stream moves octets. Here the three meet in one loop: write what may
be written, read until something more may be written, until nothing is unanswered. One cancel scope holds one
deadline, moved when replies arrive, not when bytes do.

What ends the conversation is put into the Flight beside the replies that came before it, because those
replies are verdicts on recipients and must not be lost with the connection. Whatever happened, a connection
is usable again only if its protocol is idle; a cancelled or failed exchange closes it for good.
"""

from __future__ import annotations

import math
import ssl
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from functools import partial

import trio

from bulkmail.errors import ConnectionLost, ConversationEnded, RemoteProtocolError, ReplyTimeout, TlsRefused
from bulkmail.smtp import command as smtp
from bulkmail.smtp.client import IN_ONE_BREATH, ClientProtocol, Said
from bulkmail.smtp.extension import Extensions
from bulkmail.smtp.heard import Heard
from bulkmail.transport.approach import Demand, Source, TimeLimits, TlsInfo
from bulkmail.transport.duplex import push_while_reading
from bulkmail.transport.endings import lost
from bulkmail.transport.flight import BLOCK, Course, Flight, blocks
from bulkmail.transport.said import closes, ends_message
from bulkmail.transport.stream import Transport, transport
from bulkmail.transport.tls import describe, handshake

AT_ONCE = 4 * BLOCK  # octets for one system call; more of them only take memory
LAST_WORDS = 5.0  # seconds to read what a peer said before it closed; it is here already, or never will be


class Connection:
    """An SMTP conversation. One task at a time uses it."""

    def __init__(
        self,
        stream: trio.abc.Stream | Transport,
        *,
        host: str,
        address: str = "",
        port: int = 25,
        time_limits: TimeLimits | None = None,
        heard: Heard | None = None,
    ) -> None:
        """`stream`: just connected; the greeting is awaited by the first exchange, which may be empty."""
        self.host, self.address, self.port = host, address, port
        self.tls: TlsInfo | None = None
        self.lockstep = False  # PIPELINING is announced and does not work here (X9)
        self.messages = 0  # transactions whose end of data was answered
        self.transactions = 0  # begun, whatever became of them: what MAILMAX counts (RFC 9422)
        self.reused = False  # it came out of the pool: a loss before the first reply says nothing of the host
        self.opened_at = trio.current_time()
        self._limits = time_limits or TimeLimits()
        self._transport: Transport = transport(stream)
        self._stream: Transport = self._transport  # or TLS above it
        self._protocol = ClientProtocol(heard)  # what other hosts have said, too: connections may share it
        self._course = Course(self._limits, self.opened_at, owed=self._protocol.unanswered, host=host)
        self._watchdog: trio.CancelScope | None = None  # while something is waited for
        self._spoken = True  # just now, or it has to greet us: an answer cannot be here yet
        self._busy = False
        self._failure: ConversationEnded | None = None
        self.local_address = self._transport.local_address
        self.source: Source | None = None  # that it was asked to come from
        self.demand = Demand()  # that it meets

    def __repr__(self) -> str:
        state = "usable" if self.usable else f"ended: {self._failure}" if self._failure else "busy"
        return f"<Connection to {self.host} [{self.address}]:{self.port}, {state}>"

    @property
    def extensions(self) -> Extensions:
        return self._protocol.extensions

    @property
    def usable(self) -> bool:
        """Nothing unanswered, no byte left over, nothing failed, nobody cancelled in mid-command."""
        return self._failure is None and not self._busy and self._protocol.idle and not self._protocol.closing

    @property
    def quiet(self) -> bool:
        """Nothing came while nobody asked: no 421, no end of file, no reply too many (G8, G9)."""
        return self._stream.quiet()

    def expect(self) -> None:
        """Soon `quiet` will be asked: of many who say so beforehand, one looks for all."""
        self._stream.expect()

    @property
    def interrupted(self) -> Flight:
        """How far that had come of which no flight has told: for the caller who was cancelled."""
        return self._course.flight(self._failure)

    async def exchange(self, commands: Sequence[Said]) -> Flight:
        """Send `commands` and return when each has its reply, or when the conversation has ended.

        Content rides in the same call. An EndOfData whose DATA was refused is left out, with what follows.
        A 421 anywhere is a reply and ends the conversation. Raises LocalProtocolError for a command illegal
        now; then, and after a cancellation, the connection is closed and `interrupted` has the flight.
        """
        await self.say(commands)
        return await self.hear()

    async def say(self, commands: Sequence[Said]) -> None:
        """Write `commands`, as far as may be before an answer, behind what was said and is not answered yet.

        What came of them, or why they could not be written, is for `hear` to tell. Raises as `exchange`.
        """
        self._course.add(commands, trio.current_time())
        if self._failure is None:
            await self._done(self._write_group())

    async def hear(self, leaving: int = 0) -> Flight:
        """Return when of all that was said at most `leaving` commands are unanswered, or at the end.
        The flight tells of those that have their replies and were not told of before; after the end, of all.
        """
        if self._failure is None:
            await self._done(self._listen(leaving))
        if self._failure is None:
            return self._course.take(trio.current_time())
        await trio.lowlevel.checkpoint()
        flight = self._course.flight(self._failure)
        self._course = Course(self._limits, trio.current_time(), host=self.host)  # the old one is let go of
        return flight

    async def start_tls(self, context: ssl.SSLContext, *, implicit: bool = False) -> None:
        """Encrypt what follows, as the client of `host`: after the 220 to STARTTLS, or at once if `implicit`.

        Raises RemoteProtocolError if bytes had followed the 220 (S2), TlsRefused if the handshake fails, is
        not finished in time, or the certificate does not hold. The connection is then closed.
        """
        await self._done(self._encrypt(context, implicit=implicit))
        if self._failure is not None:
            raise self._failure

    async def quit(self, *, wait: bool = True) -> None:
        """QUIT and close; in between, unless told otherwise, `wait` a little for the 221.

        Whoever waits knows that the host has one connection less. Nothing else hangs on the answer, and
        Postfix does not wait for it (smtp_skip_quit_response). Raises nothing but Cancelled.
        """
        try:
            if self._failure is None and self._protocol.idle and not self._protocol.closing:
                if wait:
                    await self.exchange([smtp.Quit()])
                else:
                    self._stream.put(self._protocol.send(smtp.Quit()))
            if self._failure is None and not self._stream.push_last():
                with trio.move_on_after(self._limits.quit):
                    await self._stream.push_on()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # it has closed already
        finally:
            self.abandon()

    def abandon(self, why: str = "closed by us") -> None:
        """Close now, without a word; what has come by now is still heard (P2)."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, ConversationEnded):
            while self._course.unanswered and (octets := self._stream.receive_nowait()) is not None:
                self._heard(octets)
        self._fail(ConnectionLost(why))

    # --- the loop -----------------------------------------------------------------------------------------

    async def _done(self, step: Awaitable[None]) -> None:
        """If the conversation ends with it, `_failure` says why."""
        self._busy = True
        try:
            await step
            self._busy = False
        except (ConnectionLost, RemoteProtocolError, ReplyTimeout, TlsRefused) as ended:
            self._fail(ended)
        finally:
            if self._busy:
                self.abandon("interrupted by us")

    async def _encrypt(self, context: ssl.SSLContext, *, implicit: bool) -> None:
        if not implicit:
            self._protocol.start_tls()
        limit_s, speaks = self._limits.tls, not implicit  # EHLO takes the end of the handshake along
        self._stream = stream = await handshake(self._transport, context, self.host, limit_s, speaks=speaks)
        self.tls = describe(stream, context)

    async def _listen(self, leaving: int) -> None:
        self._course.listen(trio.current_time())
        while self._course.unanswered > leaving or self._course.pending:
            await self._read()
            await self._write_group()

    async def _write_group(self) -> None:
        """What may be written now; without an `await` as long as the kernel takes it."""
        waiting = 0
        pipelining = self._protocol.extensions.pipelining and not self.lockstep
        try:
            for command in self._course.permitted(pipelining=pipelining):
                if self._protocol.closing and not isinstance(command, smtp.Quit):
                    # A 421 that answered nothing: the host may say it at any time (RFC 5321 section 3.8).
                    raise ConnectionLost("the host is closing the connection")
                octets = self._protocol.send(command)
                if isinstance(command, IN_ONE_BREATH) or type(command) is smtp.Mail:
                    self.transactions += 1
                self._course.queued(command, len(octets))
                for block in (octets,) if len(octets) <= BLOCK else blocks(octets):
                    self._stream.put(block)
                    waiting += len(block)
                    if waiting >= AT_ONCE:
                        await self._push(waiting)
                        waiting = 0
            if waiting:
                await self._push(waiting)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as broken:
            await self._last_words(lost(broken))

    async def _push(self, octets: int) -> None:
        """Have the kernel take what was put, `octets` of text."""
        course, stream = self._course, self._stream
        before, now = stream.handed, trio.current_time()
        course.begins(octets, now)
        if stream.push():
            course.handed(octets, now)
            self._spoken = True
            return None
        self._moved(before)
        # Only where there is something to wait for: a cancel scope costs as much as a short message.
        try:
            with trio.CancelScope(deadline=course.deadline()) as self._watchdog:
                return await push_while_reading(stream, self._read, partial(self._moved, before))
        finally:
            self._watchdog = None
            course.handed(stream.handed - before, trio.current_time())
        raise ReplyTimeout(course.overdue(trio.current_time()))

    def _moved(self, before: int) -> None:
        self._course.took(self._stream.handed - before, trio.current_time())
        self._watch()

    async def _last_words(self, end: ConnectionLost) -> None:
        """Nothing more can be written. Read what the peer said before that (X7), then raise `end`."""
        with trio.move_on_after(LAST_WORDS), suppress(ConnectionLost, ReplyTimeout):
            while self._course.unanswered:
                await self._read()
        raise end

    async def _read(self) -> None:
        stream, course, spoken = self._stream, self._course, self._spoken
        self._spoken = False
        try:
            if course.brisk:
                # The others' turn, in which the peer may answer: then there is nothing to wait for.
                await trio.lowlevel.checkpoint()
                octets = stream.receive_nowait()
            elif (octets := None if spoken else stream.receive_nowait()) is not None:
                # what was read must not be lost because we are stopped here
                await trio.lowlevel.cancel_shielded_checkpoint()
            if octets is None:
                octets = await self._arrival()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as broken:
            raise lost(broken) from None
        self._heard(octets)

    def _heard(self, octets: bytes) -> None:
        if not octets:
            raise ConnectionLost("the host closed the connection")
        course, now = self._course, trio.current_time()
        for answer in self._protocol.receive(octets):
            command = course.answered(answer, now)
            if command is not None and ends_message(command):
                self.messages += 1
            if not answer.smooth and closes(answer.command, answer.reply):
                raise ConnectionLost(f"the host is closing: {answer.reply.text}")
        if self._protocol.failure is not None and course.unanswered:
            raise self._protocol.failure
        self._watch()

    async def _arrival(self) -> bytes:
        """What comes next, until the deadline of the course. Raises ReplyTimeout."""
        self._watch()
        # who reads while we write is under the writer's
        until = self._course.deadline() if self._watchdog is None else math.inf
        octets = await self._stream.arrival(until)
        if octets is None:
            raise ReplyTimeout(self._course.overdue(trio.current_time()))
        return octets

    def _watch(self) -> None:
        if self._watchdog is not None:
            self._watchdog.deadline = self._course.deadline()

    def _fail(self, failure: ConversationEnded) -> None:
        if self._failure is None:
            self._failure = failure
        self._busy = False
        self._transport.close()
