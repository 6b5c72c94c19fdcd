"""TCP as `dial` has it: what the kernel says of an address that cannot be had."""

from __future__ import annotations

import errno
import socket

import pytest

from bulkmail.transport.race import connect_tcp, race


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        return int(nobody.getsockname()[1])


async def test_a_refused_connection_is_an_error_of_the_system(closed_port: int) -> None:
    """T1."""
    with pytest.raises(ConnectionRefusedError) as refused:
        await connect_tcp("127.0.0.1", closed_port)
    assert refused.value.errno == errno.ECONNREFUSED


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["127.0.0.1", "127.0.0.2"]])
async def test_a_race_that_nobody_wins_says_why_of_each(closed_port: int, addresses: list[str]) -> None:
    """T1."""
    result = await race(addresses, closed_port, connect_tcp, limit_s=60, stagger_s=60)
    reasons = {address: error.errno for address, error in result.failures.items()}
    assert (result.stream, reasons) == (None, dict.fromkeys(addresses, errno.ECONNREFUSED))
