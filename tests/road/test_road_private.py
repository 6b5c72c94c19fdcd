"""Where mail is not to go unless the campaign says so: loopback and private addresses (D6)."""

from __future__ import annotations

import pytest

from bulkmail.errors import ConfigError


async def test_a_relay_on_loopback_is_refused_unless_it_is_meant(world, send, road):
    """D6."""
    via = f"smtp://127.0.0.1:{road.running.smtp_port}"
    refused = pytest.RaisesExc(ConfigError, match="allow_private")
    with pytest.RaisesGroup(refused, flatten_subgroups=True):
        await send("ann@a.test", via=via, allow_private="false")
