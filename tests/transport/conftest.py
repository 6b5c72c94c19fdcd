"""An empty network, and a certificate authority that all tests here share."""

from __future__ import annotations

import pytest
import trio
from smtp_peer import Net, willing
from tls_authority import Authority


@pytest.fixture
async def net(nursery: trio.Nursery) -> Net:
    """Somebody willing lives at 192.0.2.1."""
    net = Net(nursery)
    net.at("192.0.2.1", willing)
    return net


@pytest.fixture(scope="session")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def authority(trusted: Authority) -> Authority:
    """The one that is trusted, asked for nothing yet."""
    trusted.asked_for.clear()
    return trusted
