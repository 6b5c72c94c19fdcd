"""A certificate authority of our own, and hosts that offer STARTTLS with its certificates."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme
from smtp_peer import Peer, approach, route

from bulkmail.transport.approach import TlsPolicy, make_contexts
from bulkmail.transport.dial import DeadAddresses, Dialer

OPPORTUNISTIC, REQUIRED, VERIFIED = TlsPolicy.OPPORTUNISTIC, TlsPolicy.REQUIRED, TlsPolicy.VERIFIED
MX = route(("mx.a.test", ["127.0.0.1"]))


class Authority:
    """A certificate authority that our verifying context trusts, and certificates by it."""

    def __init__(self, path: Path) -> None:
        self._ca = trustme.CA()
        self._ca.cert_pem.write_to_path(str(path / "ca.pem"))
        self.contexts = make_contexts(str(path / "ca.pem"))
        self.asked_for: list[str | None] = []

    def server(self, *names: str, ca: trustme.CA | None = None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (ca or self._ca).issue_cert(*names).configure_cert(context)
        context.sni_callback = lambda _, name, __: self.asked_for.append(name)
        return context

    def dialer(self, port: int, tls: TlsPolicy, **other: object) -> Dialer:
        verifying, lax = self.contexts
        return Dialer(
            approach(port, tls, verifying=verifying, lax=lax, **other),
            dead=DeadAddresses(),
        )


async def rest(peer: Peer) -> None:
    """Whatever comes, until QUIT."""
    while True:
        match await peer.hear():
            case "QUIT":
                return await peer.say("221 bye")
            case "DATA":
                await peer.say("354 go")
                await peer.hear_content()
                await peer.say("250 taken")
            case _:
                await peer.say("250 ok")


def starttls(context: ssl.SSLContext, *after: str):
    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING", "STARTTLS", "SIZE 1000")
        match await peer.hear():
            case "STARTTLS":
                await peer.say("220 go")
                await peer.start_tls(context)
                await peer.answer_ehlo("PIPELINING", *after)
                await rest(peer)
            case "QUIT":
                await peer.say("221 bye")
            case _:
                await peer.say("250 ok")
                await rest(peer)

    return host
