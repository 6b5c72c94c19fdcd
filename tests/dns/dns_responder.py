"""A small authoritative DNS server on 127.0.0.1, UDP and TCP on one port, for tests of those who ask.

Real sockets, real messages (dnspython's). Its zone is a dict; besides it can fail, keep silent, hold its
answers until told, forge, and send bytes as they are. It remembers what it was asked.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rdtypes.ANY.MX  # loaded now: a test may take away the descriptors to load it with
import dns.rdtypes.IN.A
import dns.rrset
import trio

SOA = "ns.test. hostmaster.test. 1 7200 900 1209600 {minimum}"


@dataclass
class Clock:
    """A clock that a test moves: give it as `now`."""

    time: float = 1000.0

    def __call__(self) -> float:
        return self.time


@dataclass
class Responder:
    ttl: int = 300
    soa_ttl: int = 3600
    soa_minimum: int = 60
    zone: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    servfail: set[tuple[str, str]] = field(default_factory=set)
    silent: set[tuple[str, str]] = field(default_factory=set)
    raw: dict[tuple[str, str], Callable[[dns.message.Message], bytes]] = field(default_factory=dict)
    forged: list[Callable[[dns.message.Message], bytes]] = field(default_factory=list)
    forged_elsewhere: list[Callable[[dns.message.Message], bytes]] = field(default_factory=list)
    knows_edns: bool = True
    follows: bool = True  # puts the whole chain of CNAMEs into one response, as a recursive server does
    asked: list[tuple[str, str, str]] = field(default_factory=list)  # name, type, "udp" or "tcp"
    gate: trio.Event | None = None  # answers wait until it is set
    address: tuple[str, int] = ("", 0)

    def add(self, name: str, *records: str) -> None:
        """`add("a.test", "MX 10 mx.a.test.", "A 192.0.2.1")`"""
        for record in records:
            rdtype, _, rdata = record.partition(" ")
            self.zone.setdefault((name, rdtype), []).append(rdata)

    def count(self, name: str, rdtype: str) -> int:
        return sum(1 for asked in self.asked if asked[:2] == (name, rdtype))

    def respond(self, query: dns.message.Message, *, max_size: int) -> bytes | None:
        question = query.question[0]
        name, rdtype = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        if (name, rdtype) in self.silent:
            return None
        if (name, rdtype) in self.raw:
            return self.raw[name, rdtype](query)
        response = dns.message.make_response(query)
        if query.edns >= 0 and not self.knows_edns:
            response.use_edns(False)
            response.set_rcode(dns.rcode.FORMERR)
        elif (name, rdtype) in self.servfail:
            response.set_rcode(dns.rcode.SERVFAIL)
        else:
            self._fill(response, name, rdtype)
        return response.to_wire(max_size=max_size, prefer_truncation=True)

    def _fill(self, response: dns.message.Message, name: str, rdtype: str) -> None:
        while (name, "CNAME") in self.zone and rdtype != "CNAME" and len(response.answer) < 20:
            (target,) = self.zone[name, "CNAME"]
            response.answer.append(dns.rrset.from_text(f"{name}.", self.ttl, "IN", "CNAME", target))
            name = target.removesuffix(".")
            if not self.follows:
                return
        if (name, rdtype) in self.zone:
            rrset = dns.rrset.from_text(f"{name}.", self.ttl, "IN", rdtype, *self.zone[name, rdtype])
            response.answer.append(rrset)
            return
        if not any(owner == name for owner, _ in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        soa = SOA.format(minimum=self.soa_minimum)
        response.authority.append(dns.rrset.from_text("test.", self.soa_ttl, "IN", "SOA", soa))

    async def serve(self, *, task_status: trio.TaskStatus[Responder]) -> None:
        """Serve until cancelled; the port is the system's choice."""
        while True:
            (tcp,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            self.address = tcp.socket.getsockname()
            udp = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                await udp.bind(self.address)
                break
            except OSError:  # somebody has that UDP port: another pair
                udp.close()
                await tcp.aclose()
        with udp:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.serve_listeners, self._converse, [tcp])
                task_status.started(self)
                while True:
                    data, peer = await udp.recvfrom(4096)
                    nursery.start_soon(self._datagram, udp, data, peer)

    async def _datagram(self, udp: trio.socket.SocketType, data: bytes, peer: tuple[str, int]) -> None:
        query = self._noted(data, "udp")
        if self.gate is not None:
            await self.gate.wait()
        if self.forged_elsewhere:
            with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
                for forge in self.forged_elsewhere:
                    await elsewhere.sendto(forge(query), peer)
        for forge in self.forged:
            await udp.sendto(forge(query), peer)
        wire = self.respond(query, max_size=max(512, query.payload))
        if wire is not None:
            await udp.sendto(wire, peer)

    async def _converse(self, stream: trio.SocketStream) -> None:
        async with stream:
            data = await stream.receive_some()
            query = self._noted(data[2:], "tcp")
            wire = self.respond(query, max_size=65_535)
            if wire is not None:
                # Cut in the middle of the length, as a network may.
                packet = struct.pack("!H", len(wire)) + wire
                await stream.send_all(packet[:1])
                await stream.send_all(packet[1:])

    def _noted(self, data: bytes, transport: str) -> dns.message.Message:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        self.asked.append((name, dns.rdatatype.to_text(question.rdtype), transport))
        return query


def answer_to(query: dns.message.Message, *records: str) -> dns.message.Message:
    """A response with these records ("A 192.0.2.1") for the name that was asked for."""
    response = dns.message.make_response(query)
    name = query.question[0].name
    for record in records:
        rdtype, _, rdata = record.partition(" ")
        response.answer.append(dns.rrset.from_text(name, 300, "IN", rdtype, rdata))
    return response


def with_raw_answers(query: dns.message.Message, rdtype: str, *rdatas: bytes) -> bytes:
    """A response with answer records of `rdtype` whose RDATA are these octets, however wrong."""
    header = struct.pack("!HHHHHH", query.id, 0x8180, 1, len(rdatas), 0, 0)
    question = query.question[0]
    number = dns.rdatatype.from_text(rdtype)
    records = b"".join(struct.pack("!HHHIH", 0xC00C, number, 1, 300, len(rdata)) + rdata for rdata in rdatas)
    return header + question.name.to_wire() + struct.pack("!HH", question.rdtype, 1) + records
