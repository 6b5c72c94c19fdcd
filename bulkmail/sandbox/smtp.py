"""One connection to a sandbox host: acts out what `Answers` and the host's manner say.

Replies gather until nothing of what was read is left, then leave in one write: the client's flights stay
visible, and so does whether it pipelines. A malformed reply ends the talking: the host reads on and says no
more, as nobody could say what a further reply would answer.
"""

from __future__ import annotations

import math
from typing import NoReturn

import trio

from bulkmail.sandbox.answers import Answers, Event
from bulkmail.sandbox.authority import Authority
from bulkmail.sandbox.behaviour import Said
from bulkmail.sandbox.flights import as_command, stage_of_event
from bulkmail.sandbox.names import Host
from bulkmail.sandbox.provider import Admission
from bulkmail.sandbox.stream import Wire
from bulkmail.sandbox.world import World
from bulkmail.smtp import Message, Refused, Reply, ServerProtocol, State

_NOTHING = Said()


class _Over(Exception):
    """The conversation ends here, by our will."""


class Conversation:
    """From the accepted connection to its end; `run` returns when it is over and leaves the closing to it."""

    def __init__(self, world: World, host: Host, wire: Wire, authority: Authority, *, shared: bool) -> None:
        self._world, self._wire, self._authority = world, wire, authority
        # A shared address is told from a host's own in the ledger by the name it has there.
        sites = (host.name,) if shared else world.sites_of(host)
        self._before = world.ledger.open_at(host.name) if host.manner.max_connections is not None else 0
        self.session, self._presence = world.ledger.connected(host.name, sites, wire.is_open, wire.client)
        self._protocol = ServerProtocol(extensions=host.manner.announces(encrypted=False))
        self._answers = Answers(world, host, self.session, self._protocol, shared=shared)
        self._out = bytearray()
        self._withheld = 0  # RCPT replies among `_out`
        self._fresh = True  # the next command opens a new flight
        self._keeps = world.ledger.keep == "memory"
        self._provider = provider = host.manner.provider
        self._admission: Admission | Said | None = None
        if provider is not None:
            self._admission = provider.admit(wire.client, wire.is_open, trio.current_time())

    @property
    def _host(self) -> Host:
        return self._answers.host

    async def run(self) -> None:
        reset = False
        try:
            await self._converse()
        except _Over as over:
            reset = bool(over.args and over.args[0])
        except trio.BrokenResourceError:
            pass
        finally:
            self._left()
            self._wire.close(reset=reset)

    async def _converse(self) -> None:
        host = self._host
        said = self._said("CONNECT")
        if said is not None and (said.close or said.stall):
            await self._act(said, Reply.of(220), b"")
        if host.manner.implicit_tls:
            await self._start_tls()
        await self._greet()
        protocol, wire, manner = self._protocol, self._wire, host.manner
        while True:
            event = protocol.next_event()
            if event is not None:
                await self._answer(event)
                continue
            if protocol.state is State.CLOSED:
                await self._end()
            if not self._holds_back():
                await self._flush()
            data = await (wire.receive() if manner.idle_s is None else self._patiently(manner.idle_s))
            if not data:
                raise _Over
            if protocol.state is State.CONTENT:
                await self._body()
            elif manner.flushes_input and b"\n" in data:
                data = data[: data.index(b"\n") + 1]  # what was sent ahead is thrown away (X9)
            protocol.receive_data(data)

    async def _patiently(self, seconds: float) -> bytes:
        """What comes, but between transactions only for so long (G9)."""
        patience = seconds if self._protocol.state is State.READY else math.inf
        with trio.move_on_after(patience):
            return await self._wire.receive()
        self._out += self._host.manner.idle_reply
        return await self._end()

    def _holds_back(self) -> bool:
        """Whether replies wait for more: an unfinished line says that its flight is not all here."""
        if 0 < self._withheld < self._host.manner.withhold:
            return True
        return self._protocol.buffered and self._protocol.state is not State.CONTENT

    async def _greet(self) -> None:
        manner = self._host.manner
        most = manner.max_connections
        if most is not None and self._before >= most:
            reply: Reply | Said = Said(raw=manner.max_connections_reply)
        elif isinstance(self._admission, Said):
            reply = self._admission
        else:
            reply = Reply.of(220, f"{self._host.name} ESMTP bulkmail sandbox")
        said = self._said("GREETING") or (reply if isinstance(reply, Said) else _NOTHING)
        usual = reply if isinstance(reply, Reply) else Reply.of(421)
        code = said.code
        words = usual.encode() if said.raw is None else said.raw
        if code is not None and code // 100 == 3:  # no greeting can be that: nobody knows what follows (G3)
            self._out += words
            await self._mute()
        self._protocol.greet(usual if code is None else Reply.of(code))
        await self._act(said, usual, words)

    # --- answering --------------------------------------------------------------------------------------

    async def _answer(self, event: Event) -> None:
        stage = stage_of_event(event, in_content=self._protocol.state is State.CONTENT)
        if self._provider is not None:
            self._provider.heard(self.session.client, trio.current_time())
        if self._keeps:
            if self._fresh:
                self.session.flights.append([])
                self._fresh = False
            self.session.flights[-1].append(as_command(stage, event))
        said = (
            None
            if isinstance(event, Refused) or not self._host.manner.said
            else self._departure(stage, event)
        )
        if said is None:
            self._give(event, self._answers.usual(event))
            if self._out_over:
                await self._end()
        else:
            await self._depart(said, event)
        if stage == "STARTTLS" and self._protocol.state is State.TLS:
            await self._start_tls()
        elif stage == "QUIT":
            await self._end()
        elif stage == "RCPT":
            self._withheld += 1
        else:
            self._withheld = 0

    _out_over = False  # a 421 was said, or the recipient's verdict closes

    def _give(self, event: Event, answer: Reply | Said) -> None:
        """The usual answer, or a recipient's verdict, into what is to be sent."""
        if isinstance(answer, Reply):
            self._out += self._protocol.reply(answer)
            self._out_over = answer.code == 421
            return
        words = answer.raw or b""
        self._protocol.reply(Reply.of(answer.code or 250))
        self._out += words
        self._out_over = answer.close or answer.code == 421

    async def _depart(self, said: Said, event: Event) -> None:
        """Something else than usual at this stage."""
        code = said.code
        acted = said.raw is None or said.acted or (said.close and said.accepted)
        acted = acted or (code is not None and code < 400) or (said.raw == b"" and not said.close)
        usual = self._answers.usual(event) if acted else Reply.of(250)
        if isinstance(usual, Said):
            words, real = usual.raw or b"", Reply.of(usual.code or 250)
        else:
            words, real = usual.encode(), usual
        if said.raw is not None:
            words = said.raw
            real = real if code is None or said.acted else Reply.of(code)
        self._protocol.reply(real)
        await self._act(said, real, words)

    async def _act(self, said: Said, real: Reply, words: bytes) -> None:
        """Say `words` with everything that goes with them: delay, extra words, an end."""
        if said.delay_s:
            await self._flush()
            await trio.sleep(said.delay_s)
        if said.endless:
            await self._say_endlessly(said)
        if said.stall:
            await self._mute()
        self._out += words + said.extra
        if said.close or words.startswith(b"421") or (real.code == 421 and said.raw is None):
            await self._end(reset=said.reset)
        if said.raw and said.code is None:
            await self._mute()
        if said.deaf:
            await self._flush()
            while self._wire.is_open():  # noqa: ASYNC110  nothing tells us but looking: we must not read
                await trio.sleep(0.5)
            raise _Over

    def _departure(self, stage: str, event: Event) -> Said | None:
        if (
            stage == "END_OF_DATA"
            and isinstance(event, Message)
            and self._protocol.state is not State.CONTENT
        ):
            return self._said("BDAT") or self._said(stage)  # the last chunk is both
        return self._said(stage)

    def _said(self, stage: str) -> Said | None:
        host = self._host
        said = host.manner.said.get(stage)
        if said is None or not self._world.holds(said, host.name, stage):
            return None
        return said

    async def _body(self) -> None:
        """Some of the content has come (X7)."""
        said = self._said("BODY")
        if said is not None:
            await self._act(said, Reply.of(250), said.raw or b"")

    # --- the ways to go on, or not ----------------------------------------------------------------------

    async def _flush(self) -> None:
        if self._out:
            data, self._out = bytes(self._out), bytearray()
            self._fresh, self._withheld = True, 0
            pace = self._host.manner.seconds_per_byte
            await (self._wire.drip(data, pace) if pace else self._wire.send(data))

    async def _end(self, *, reset: bool = False) -> NoReturn:
        """Nothing is said behind this. The peer may connect again as soon as it reads the last reply."""
        self._left()
        await self._flush()
        raise _Over(reset)

    def _left(self) -> None:
        self._world.ledger.left(self.session, self._presence)
        if isinstance(self._admission, Admission):
            self._admission.end()

    async def _mute(self) -> None:
        """Listen, and never speak again."""
        await self._flush()
        while await self._wire.receive():
            pass
        raise _Over

    async def _say_endlessly(self, said: Said) -> None:
        words = b"250-and so on and so forth\r\n" * 64 if said.endless == "lines" else b"250 " + b"x" * 4092
        while True:
            await self._wire.send(words)
            words = words if said.endless == "lines" else b"x" * 4096
            await trio.lowlevel.checkpoint()

    async def _start_tls(self) -> None:
        host = self._host
        kind = host.manner.tls
        if kind == "extra":
            self._out += b"250 2.0.0 said in clear text\r\n"  # and would be believed after TLS (S2)
        await self._flush()
        if kind == "broken":
            # Only behind the client hello: sooner, it would be bytes after the 220 (S2). The client closes
            # first: a reset would overtake what it has not read.
            await self._wire.receive()
            await self._wire.send(b"\r\nthis is not TLS\r\n")
            await self._mute()
        await self._wire.start_tls(self._authority.server(host.name, kind))
        session, tls = self.session, self._wire.tls
        assert tls is not None
        session.tls, session.sni = True, self._authority.sni(tls)
        if self._protocol.state is State.TLS:
            self._protocol.start_tls()
            self._answers.forget()
        self._answers.named(session.sni)
