"""Fixtures for tests against mail servers that others wrote.

Where a server cannot run, its tests are skipped with the reason; with BULKMAIL_REQUIRE_FOREIGN=1 they fail.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from servers import SERVERS, ForeignServer, NotInstalled

Start = Callable[..., AbstractAsyncContextManager[ForeignServer]]


@pytest.fixture
def foreign_address() -> Callable[[], str]:
    """Gives addresses of 127.0.0.0/8, another with each call, that no other test process is given."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    numbers = iter(range(1, 255))
    return lambda: f"127.{100 + worker % 100}.{os.getpid() % 250 + 1}.{next(numbers)}"


@pytest.fixture
def foreign_port() -> int:
    """A port that was free on all addresses a moment ago: the servers share it, each on its own address."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def start_foreign(
    tmp_path: Path, foreign_address: Callable[[], str], foreign_port: int
) -> AsyncIterator[Callable[..., Any]]:
    """`server = await start_foreign("postfix", ["a.test"], tls=True)`: runs until the test ends."""
    async with AsyncExitStack() as stack:

        async def start(name: str, domains: list[str], **options: Any) -> ForeignServer:
            try:
                return await stack.enter_async_context(
                    SERVERS[name](tmp_path, foreign_address(), foreign_port, domains, **options)
                )
            except NotInstalled as reason:
                if os.environ.get("BULKMAIL_REQUIRE_FOREIGN") == "1":
                    raise
                pytest.skip(str(reason))

        yield start
