"""What this machine lacks is nobody's answer: not cached, nobody charged, asked again."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Callable, Iterator

import pytest
import trio
import trio.testing
from dns_responder import Responder

from bulkmail.dns.resolver import Answer, Resolver, Status
from bulkmail.dns.routes import Route, Routes
from bulkmail.dns.shortage import in_words, is_shortage
from bulkmail.errors import LocalResourceError


@pytest.fixture
def exhausted() -> Iterator[Callable[[], Callable[[], None]]]:
    """Call it, and this process can open nothing more until what it returned is called."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    def relieve() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    def exhaust() -> Callable[[], None]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))  # those that are open stay so
        return relieve

    yield exhaust
    relieve()


async def test_without_descriptors_no_domain_is_blamed_and_the_next_question_is_asked(
    names: Responder, resolver: Resolver, exhausted: Callable[[], Callable[[], None]]
) -> None:
    """T6."""
    names.add("a.test", "MX 10 mx.a.test.")
    names.add("mx.a.test", "A 192.0.2.1")
    routes = Routes(resolver, allow_private=True)
    relieve = exhausted()
    with pytest.raises(LocalResourceError, match=r"^cannot ask for names: Too many open files$"):
        await routes.route("a.test")
    relieve()
    route = await routes.route("a.test")
    assert isinstance(route, Route)
    assert route.hosts[0].addresses == ("192.0.2.1",)


async def test_those_who_waited_for_a_question_that_could_not_be_asked_ask_themselves(
    names: Responder, resolver: Resolver, exhausted: Callable[[], Callable[[], None]]
) -> None:
    """T6, D10."""
    names.add("a.test", *(f"MX 10 a-rather-long-name-for-a-host-{number}.test." for number in range(100)))
    names.gate = trio.Event()
    answers: list[Answer] = []

    async def first() -> None:
        with pytest.raises(LocalResourceError):
            await resolver.mx("a.test")
        relieve()

    async def ask() -> None:
        answers.append(await resolver.mx("a.test"))

    async with trio.open_nursery() as callers:
        callers.start_soon(first)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(5):
            callers.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        relieve = exhausted()  # the answer is too long for a datagram, and TCP wants a socket of its own
        names.gate.set()
    assert [answer.status for answer in answers] == [Status.FOUND] * 5
    assert [transport for _, _, transport in names.asked] == ["udp", "udp", "tcp"]


@pytest.mark.parametrize(
    ("code", "address", "ours"),
    [
        (errno.EMFILE, "192.0.2.53", True),
        (errno.ENOBUFS, "2001:db8::53", True),
        (errno.EADDRNOTAVAIL, "192.0.2.53", True),
        (errno.EADDRNOTAVAIL, "2001:db8::53", False),
        (errno.EAFNOSUPPORT, "2001:db8::53", False),
        (errno.ENETUNREACH, "192.0.2.53", False),
        (errno.ECONNREFUSED, "192.0.2.53", False),
    ],
)
def test_a_machine_without_ipv6_lacks_nothing_that_waiting_would_bring(
    code: int, address: str, ours: bool
) -> None:
    """T6."""
    assert is_shortage(OSError(code, os.strerror(code)), address) is ours


def test_what_failed_is_said_without_the_address_that_trio_adds() -> None:
    told = OSError(errno.ECONNREFUSED, "Error connecting to ('192.0.2.1', 25): Connection refused")
    assert [in_words(error) for error in (told, socket.gaierror(-2, "Name or service not known"))] == [
        "Connection refused",
        "Name or service not known",
    ]
