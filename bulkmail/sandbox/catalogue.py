# ruff: noqa: E501  (a table: one behaviour a line)
"""Every behaviour by name: one table for the YAML file, for `bulkmail sandbox --list` and for the labels of
the default world (`greylist.example` has the behaviour "greylist" with its default value).

A row says where it may stand (a domain, a host, both), what value it takes, which rows of the fault
catalogue it stages, and how it is said in the fluent API. Values arrive checked by `Row.read`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bulkmail.sandbox.behaviour import TLS_KINDS
from bulkmail.sandbox.names import Domain, Host
from bulkmail.sandbox.values import (
    MISSING,
    Reader,
    boolean,
    choice,
    count,
    flag,
    keyed,
    replies,
    reply,
    seconds,
    stage,
    text,
    texts,
    users,
    words,
)

Both = Domain | Host
EVERYWHERE, DOMAIN, HOST = "domain, host", "domain", "host"
CODES = {"554": b"554 5.3.2 No service here", "421": b"421 4.3.2 Busy, come back later"}


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    where: str
    reads: Reader
    default: Any  # the value of `true` or of a bare name; MISSING: a value must be given
    say: Callable[[Any, Any], object]  # (domain or host, value)
    help: str
    rows: str = ""  # of the fault catalogue

    def apply(self, target: Both, value: Any = MISSING) -> None:
        self.say(target, self.default if value is MISSING else value)


def _drop(target: Both, value: dict[str, Any]) -> None:
    target.drop(value.pop("stage"), **value)


def _each_host(target: Domain, change: Callable[[Host], object]) -> None:
    for host in target.hosts:
        change(host)


def _unresolvable(target: Domain, _: object) -> None:
    _each_host(target, lambda host: host.nxdomain())


def _servfail_hosts(target: Domain, _: object) -> None:
    _each_host(target, lambda host: host.servfail())


_ALL = (
    # --- DNS
    Row("nxdomain", EVERYWHERE, flag, True, lambda t, v: t.nxdomain(), "the name does not exist", "D2"),
    Row("servfail", EVERYWHERE, words, (), lambda t, v: t.servfail(*v), "SERVFAIL, for all or the listed query types", "D1"),
    Row("dns-timeout", EVERYWHERE, words, (), lambda t, v: t.dns_timeout(*v), "queries are never answered", "D1"),
    Row("no-mx", DOMAIN, flag, True, lambda t, v: t.no_mx(), "no MX; the domain itself has an address", "D3"),
    Row("mx-unresolvable", DOMAIN, flag, True, _unresolvable, "MX whose hosts do not exist", "D4"),
    Row("mx-servfail", DOMAIN, flag, True, _servfail_hosts, "MX whose hosts answer SERVFAIL", "D4"),
    Row("null-mx", DOMAIN, flag, True, lambda t, v: t.null_mx(), "`0 .`: takes no mail", "D5"),
    Row("mx-cname", DOMAIN, flag, True, lambda t, v: t.mx_alias(), "the MX is an alias", "D6"),
    Row("mx-ip", DOMAIN, text, "192.0.2.1", lambda t, v: t.host(v), "the MX is an IP literal", "D6"),
    Row("mx-localhost", DOMAIN, flag, True, lambda t, v: t.host("localhost"), "the MX is `localhost`", "D6"),
    Row("many-mx", DOMAIN, count, 300, lambda t, v: t.many_hosts(v), "hundreds of MX", "D8"),
    Row("malformed", EVERYWHERE, count, 1, lambda t, v: t.malformed(v), "unreadable records before the good ones", "D9"),
    Row("truncated", EVERYWHERE, flag, True, lambda t, v: t.truncated(), "UDP answers truncated: ask by TCP"),
    Row("ttl", EVERYWHERE, count, 300, lambda t, v: t.ttl(v), "seconds that DNS answers hold", "D10"),
    Row("cname", EVERYWHERE, text, MISSING, lambda t, v: t.cname(v), "the name is an alias of this one"),
    Row("no-address", HOST, flag, True, lambda t, v: t.no_address(), "neither A nor AAAA"),
    Row("addresses", HOST, texts, MISSING, lambda t, v: t.at(*v), "A and AAAA verbatim"),
    # --- TCP
    Row("refuse-connections", EVERYWHERE, flag, True, lambda t, v: t.refuse_connections(), "nobody listens", "T1"),
    Row("reset", EVERYWHERE, flag, True, lambda t, v: t.drop("CONNECT", reset=True), "accepted, then reset", "T1"),
    Row("dead-addresses", EVERYWHERE, count, 1, lambda t, v: t.set(dead_addresses=v), "addresses that refuse before the live one", "T1"),
    Row("black-hole", EVERYWHERE, flag, True, lambda t, v: t.black_hole(), "connecting is never answered", "T1"),
    Row("ipv6", EVERYWHERE, choice("accept", "refuse", "black hole"), "accept", lambda t, v: t.ipv6(v), "an AAAA (::1) as well", "T2"),
    Row("never-greets", EVERYWHERE, flag, True, lambda t, v: t.stall("GREETING"), "accepts and never greets", "T3"),
    Row("slow", EVERYWHERE, seconds, 10.0, lambda t, v: t.slow(v), "one octet every so many seconds", "T4"),
    Row("tarpit", EVERYWHERE, seconds, 60.0, lambda t, v: t.tarpit(v), "every reply late by so much", "P3"),
    Row("stops-reading", EVERYWHERE, stage, "DATA", lambda t, v: t.stop_reading(v), "after this stage nothing is read", "T5"),
    # --- greeting, EHLO, replies
    Row("blocked", EVERYWHERE, reply, CODES["554"], lambda t, v: t.greeting(v, close=True), "greets with 554", "G1"),
    Row("busy", EVERYWHERE, reply, CODES["421"], lambda t, v: t.greeting(v), "greets with 421", "G1 G2"),
    Row("greeting", EVERYWHERE, text, MISSING, lambda t, v: t.greeting(v.encode()), "these words as greeting", "G1 G3"),
    Row("greets-354", EVERYWHERE, flag, True, lambda t, v: t.greeting(b"354 go ahead"), "greets with 354", "G3"),
    Row("greets-http", EVERYWHERE, flag, True, lambda t, v: t.greeting(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), "greets as a web server", "G3"),
    Row("greets-binary", EVERYWHERE, flag, True, lambda t, v: t.greeting(bytes(range(256))), "greets with binary noise", "G3"),
    Row("no-ehlo", EVERYWHERE, reply, b"502 5.5.1 EHLO not implemented", lambda t, v: t.reply("EHLO", v), "EHLO refused, HELO works", "G4"),
    Row("mixed-codes", EVERYWHERE, stage, "MAIL", lambda t, v: t.reply(v, b"250-one\r\n550 two"), "multiline reply with different codes", "G5"),
    Row("endless-lines", EVERYWHERE, stage, "EHLO", lambda t, v: t.endless(v), "a reply of endless lines at this stage", "G5"),
    Row("endless-line", EVERYWHERE, stage, "EHLO", lambda t, v: t.endless(v, "line"), "one line that never ends", "G5"),
    Row("escapes", EVERYWHERE, flag, True, lambda t, v: t.reply("RCPT", b"550 5.1.1 \x1b[2J\x1b]0;x\x07 \xff\xfe no"), "terminal escapes and non-ASCII in replies", "G6"),
    Row("wrong-enhanced", EVERYWHERE, flag, True, lambda t, v: t.reply("RCPT", b"550 4.2.2 which is it"), "enhanced code against the reply's class", "G7"),
    Row("extra-reply", EVERYWHERE, stage, "END_OF_DATA", lambda t, v: t.extra(v), "one reply too many after this stage", "G8"),
    Row("missing-reply", EVERYWHERE, stage, "RCPT", lambda t, v: t.silent(v, times=1), "one reply too few at this stage", "G8"),
    Row("idle-421", EVERYWHERE, seconds, 1.0, lambda t, v: t.leave_idle(v), "421 after so long without a transaction", "G2 G9"),
    Row("idle-close", EVERYWHERE, seconds, 1.0, lambda t, v: t.leave_idle(v, b""), "closed after so long without a transaction", "G9"),
    # --- TLS
    Row("tls", EVERYWHERE, choice(*TLS_KINDS), MISSING, lambda t, v: t.tls(v), "STARTTLS: " + ", ".join(TLS_KINDS), "S1-S5"),
    Row("no-tls", EVERYWHERE, flag, True, lambda t, v: t.tls("none"), "STARTTLS not offered", "S1"),
    Row("tls-refused", EVERYWHERE, flag, True, lambda t, v: t.tls("refused"), "STARTTLS offered and refused", "S1"),
    Row("tls-extra", EVERYWHERE, flag, True, lambda t, v: t.tls("extra"), "bytes after the 220 to STARTTLS", "S2"),
    Row("tls-broken", EVERYWHERE, flag, True, lambda t, v: t.tls("broken"), "handshake fails", "S4"),
    Row("tls-untrusted", EVERYWHERE, flag, True, lambda t, v: t.tls("untrusted"), "a certificate of nobody's", "S5"),
    Row("tls-wrong-name", EVERYWHERE, flag, True, lambda t, v: t.tls("wrong-name"), "a certificate for another name", "S5"),
    Row("tls-expired", EVERYWHERE, flag, True, lambda t, v: t.tls("expired"), "a certificate of long ago", "S5"),
    Row("implicit-tls", HOST, flag, True, lambda t, v: t.set(implicit_tls=v), "TLS from the first octet (smtps)"),
    # --- transaction
    Row("reply", EVERYWHERE, replies, MISSING, lambda t, v: [t.reply(s, **a) for s, a in v.items()], "other words by stage: {MAIL: 451 later}", "G2 X1-X16"),
    Row("drop", EVERYWHERE, keyed("stage", stage=stage, reply=reply, times=count, after=count, accepted=boolean, reset=boolean), {"stage": "DATA"}, lambda t, v: _drop(t, dict(v)), "the connection is dropped at a stage", "X4 X7 X8"),
    Row("drop-body", EVERYWHERE, flag, True, lambda t, v: t.drop("BODY", reply=b"552 5.3.4 Too big"), "refused and dropped in mid-body", "X7"),
    Row("drop-before-accepting", EVERYWHERE, flag, True, lambda t, v: t.drop("END_OF_DATA", times=1), "dropped after the dot, message lost", "X8"),
    Row("drop-after-accepting", EVERYWHERE, flag, True, lambda t, v: t.drop("END_OF_DATA", times=1, accepted=True), "dropped after the dot, message taken", "X8"),
    Row("stall", EVERYWHERE, stage, "END_OF_DATA", lambda t, v: t.stall(v), "never answered at this stage"),
    Row("refuse-mail", EVERYWHERE, reply, b"550 5.7.1 Sender refused", lambda t, v: t.reply("MAIL", v), "MAIL refused, 503 to what stands behind it", "X3"),
    Row("refuse-data", EVERYWHERE, reply, b"451 4.3.0 No data now", lambda t, v: t.reply("DATA", v), "DATA refused", "X6"),
    Row("refuse-content", EVERYWHERE, reply, b"554 5.6.0 Content refused", lambda t, v: t.reply("END_OF_DATA", v), "refused after the dot"),
    Row("refuse-then-close", EVERYWHERE, reply, b"550 5.7.1 Go away", lambda t, v: t.reply("MAIL", v, close=True), "550 to MAIL, then closed", "X4"),
    Row("always-354", EVERYWHERE, flag, True, lambda t, v: t.set(always_354=v), "DATA answered 354 with every RCPT refused", "X2"),
    Row("rcpt-limit", EVERYWHERE, count, 5, lambda t, v: t.rcpt_limit(v), "452 4.5.3 after so many recipients", "X5"),
    Row("one-domain", EVERYWHERE, flag, True, lambda t, v: t.set(one_domain=v), "no second domain in a transaction"),
    Row("flushes-input", EVERYWHERE, flag, True, lambda t, v: t.set(flushes_input=v), "announces PIPELINING and flushes what was sent ahead", "X9"),
    Row("withhold", EVERYWHERE, count, 100, lambda t, v: t.withhold(v), "RCPT replies held back until so many stand"),
    Row("limits", EVERYWHERE, text, "RCPTMAX=50", lambda t, v: t.extensions(with_=(f"LIMITS {v}",)), "announces and holds LIMITS", "X10"),
    Row("size", EVERYWHERE, count, 1000, lambda t, v: t.extensions(with_=(f"SIZE {v}",)), "announces and holds SIZE", "X10"),
    Row("close-after", EVERYWHERE, count, 1, lambda t, v: t.close_after(v), "421 after so many messages", "X10"),
    Row("max-connections", EVERYWHERE, count, 1, lambda t, v: t.max_connections(v), "421 to more connections at once"),
    Row("without", EVERYWHERE, words, MISSING, lambda t, v: t.extensions(without=v), "extensions left out", "X11"),
    Row("no-pipelining", EVERYWHERE, flag, True, lambda t, v: t.extensions(without=("PIPELINING",)), "no PIPELINING"),
    Row("no-8bitmime", EVERYWHERE, flag, True, lambda t, v: t.extensions(without=("8BITMIME", "SMTPUTF8")), "no 8BITMIME, no SMTPUTF8", "X11"),
    Row("bdat-refused", EVERYWHERE, reply, b"502 5.5.1 BDAT not implemented", lambda t, v: t.reply("BDAT", v), "announces CHUNKING and refuses BDAT", "X12"),
    Row("refuse-rset", EVERYWHERE, reply, b"500 5.5.1 RSET refused", lambda t, v: t.reply("RSET", v), "RSET refused", "X16"),
    # --- relay
    Row("relay", HOST, flag, True, lambda t, v: t.set(relay=v), "takes mail for every domain"),
    Row("users", HOST, users, MISSING, lambda t, v: t.users(v), "{name: password}: AUTH is wanted"),
    Row("auth-without-tls", HOST, flag, True, lambda t, v: t.set(auth_without_tls=v), "AUTH also in clear text"),
    Row("quota", EVERYWHERE, keyed("messages", messages=count, refusals=count), MISSING, lambda t, v: t.quota(**v), "450 after so many messages in all"),
    # --- recipients, for a whole domain
    Row("greylist", DOMAIN, flag, True, lambda t, v: t.greylist(), "first time 450 4.7.1, then accepted", "X13"),
    Row("unknown", DOMAIN, flag, True, lambda t, v: t.refuse(), "550 5.1.1 to everybody"),
    Row("full", DOMAIN, flag, True, lambda t, v: t.mailbox_full(), "452 4.2.2 to everybody"),
    Row("later", DOMAIN, text, "30 seconds", lambda t, v: t.refuse("*", f"451 4.3.2 Try again in {v}".encode(), times=1), "451 once, with the time to wait", "X14"),
)  # fmt: skip
CATALOGUE: dict[str, Row] = {row.name: row for row in _ALL}
_LABELS = {"dead": "nxdomain", "nullmx": "null-mx", "nomx": "no-mx", "notls": "no-tls"}


def by_label(label: str) -> Row | None:
    """The behaviour that a first label of the default world asks for, if it works without a value."""
    label = re.sub(r"\d+$", "", label) if label not in CATALOGUE else label
    row = CATALOGUE.get(_LABELS.get(label, label))
    return row if row is not None and row.default is not MISSING and row.where != HOST else None
