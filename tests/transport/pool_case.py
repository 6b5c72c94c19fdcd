"""A pool that dials a `Net`, the host MX and a whole transaction with it."""

from __future__ import annotations

from smtp_peer import CONTENT, SENDER, Net, approach, rcpt, route

from bulkmail.smtp.command import Data, EndOfData
from bulkmail.transport.dead import DeadAddresses
from bulkmail.transport.dial import Dialer
from bulkmail.transport.pool import Pool

MX = route(("mx.a.test", ["192.0.2.1"]))
TRANSACTION = [SENDER, rcpt("ann"), Data(), EndOfData(CONTENT)]


def make_pool(net: Net, per_host: int = 2, **limits: float) -> Pool:
    dialer = Dialer(approach(), dead=DeadAddresses(), connect=net.connect)
    return Pool(dialer, per_host=per_host, **limits)  # type: ignore[arg-type]
