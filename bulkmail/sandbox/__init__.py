"""An internet in a box on loopback: DNS and mail exchangers that behave and misbehave.

world = World.default()                      # or World(), and say what there is
world.domain("a.test").refuse("bob").greylist("carol")
async with serve(world) as sandbox:          # sandbox.dns, sandbox.smtp_port, sandbox.ca_pem_path
    ...
world.ledger.copies                          # what arrived
"""

from __future__ import annotations

from bulkmail.sandbox.ledger import Ledger, Received, Session
from bulkmail.sandbox.names import Domain, Host
from bulkmail.sandbox.provider import Provider
from bulkmail.sandbox.serve import Running, Sandbox, serve
from bulkmail.sandbox.world import World

__all__ = [
    "Domain",
    "Host",
    "Ledger",
    "Provider",
    "Received",
    "Running",
    "Sandbox",
    "Session",
    "World",
    "serve",
]
