"""Certificates of the sandbox: an authority of its own, one certificate per host name, chosen by SNI.

Keys are made when first needed; contexts are kept for a bounded number of names. What is broken on purpose
(`untrusted`, `wrong-name`, `expired`) is a certificate like the others with that one fault.
"""

from __future__ import annotations

import datetime
import ssl
from functools import lru_cache
from weakref import WeakKeyDictionary

import trustme

_CONTEXTS = 512
_LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


class Authority:
    """Issues server contexts. `pem` is what a client must trust."""

    def __init__(self) -> None:
        self._ca = trustme.CA(organization_name="bulkmail sandbox")
        self._nobody: trustme.CA | None = None
        self.pem: bytes = self._ca.cert_pem.bytes()
        self.server = lru_cache(_CONTEXTS)(self._make)  # (host name, kind of behaviour.TLS_KINDS)
        self._asked: WeakKeyDictionary[ssl.SSLObject | ssl.SSLSocket, str] = WeakKeyDictionary()

    def sni(self, tls: ssl.SSLObject) -> str | None:
        """The name that the client hello asked for (S6)."""
        return self._asked.get(tls)

    def _make(self, name: str, kind: str) -> ssl.SSLContext:
        if kind == "untrusted":
            self._nobody = self._nobody or trustme.CA(organization_name="nobody")
            certificate = self._nobody.issue_cert(name)
        elif kind == "wrong-name":
            certificate = self._ca.issue_cert(f"not-{name}")
        elif kind == "expired":
            certificate = self._ca.issue_cert(name, not_after=_LONG_AGO)
        else:
            certificate = self._ca.issue_cert(name)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)

        def by_name(tls: ssl.SSLObject | ssl.SSLSocket, asked: str | None, _: ssl.SSLContext) -> None:
            if asked is not None:
                self._asked[tls] = asked
                if asked != name:
                    tls.context = self.server(asked, kind)

        context.sni_callback = by_name
        return context
