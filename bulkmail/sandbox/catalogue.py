# ruff: noqa: E501  (a table: one behaviour a line)
"""Every behaviour by name: one table for the YAML file, for `bulkmail sandbox --list` and for the labels of
the default world (`greylist.example` has the behaviour "greylist" with its default value).

A row says where it may stand (a domain, a host, both), what value it takes, which rows of the fault
catalogue it stages, and how it is said in the fluent API. Values arrive checked by `Row.read`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bulkmail.sandbox.behaviour import TLS_KINDS
from bulkmail.sandbox.names import Domain, Host
from bulkmail.sandbox.policy import Greylist, Rate, Reputation
from bulkmail.sandbox.provider import Provider
from bulkmail.sandbox.values import (
    MISSING,
    Reader,
    boolean,
    choice,
    count,
    did_you_mean,
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
from bulkmail.sandbox.values_policy import (
    blocks,
    connections,
    greylist,
    rate,
    reputation,
    throttling,
)

Both = Domain | Host | Provider
EVERYWHERE, DOMAIN, HOST = "domain, host", "domain", "host"
PROVIDER = "provider"
SPOKEN = "provider, domain, host"  # what hosts say, of which a provider has several
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


def _change(said: Sequence[tuple[Row, Any]], provider: Provider) -> None:
    for row, value in said:
        row.apply(provider, value)


def _changes(value: Any) -> list[tuple[float, list[tuple[Row, Any]]]]:
    """{60s: {message-rate: 10/s}}: what is said of a provider so long after its first connection."""
    if not isinstance(value, dict) or not value:
        raise ValueError("a mapping of times to behaviours is wanted: {60s: {message-rate: 10/s}}")
    found = []
    for when, behaviours in value.items():
        if not isinstance(behaviours, dict):
            raise ValueError(f"{when}: a mapping of behaviours is wanted: {{message-rate: 10/s}}")
        found.append((seconds(when), [_changed(str(name), item) for name, item in behaviours.items()]))
    return found


def _changed(name: str, value: Any) -> tuple[Row, Any]:
    row = CATALOGUE.get(name.replace("_", "-"))
    if row is None or PROVIDER not in row.where or row.name == "changes":
        known = [row.name for row in CATALOGUE.values() if PROVIDER in row.where]
        raise ValueError(f"{name!r} is nothing that can change" + did_you_mean(name, known))
    if value is True and row.default is not MISSING:
        return row, row.default
    try:
        return row, row.reads(value)
    except ValueError as problem:
        raise ValueError(f"{name}: {problem}") from None


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
    Row("refuse-connections", SPOKEN, flag, True, lambda t, v: t.refuse_connections(), "nobody listens", "T1"),
    Row("reset", SPOKEN, flag, True, lambda t, v: t.drop("CONNECT", reset=True), "accepted, then reset", "T1"),
    Row("dead-addresses", SPOKEN, count, 1, lambda t, v: t.set(dead_addresses=v), "addresses that refuse before the live one", "T1"),
    Row("black-hole", SPOKEN, flag, True, lambda t, v: t.black_hole(), "connecting is never answered", "T1"),
    Row("ipv6", SPOKEN, choice("accept", "refuse", "black hole"), "accept", lambda t, v: t.ipv6(v), "an AAAA (::1) as well", "T2"),
    Row("never-greets", SPOKEN, flag, True, lambda t, v: t.stall("GREETING"), "accepts and never greets", "T3"),
    Row("slow", SPOKEN, seconds, 10.0, lambda t, v: t.slow(v), "one octet every so many seconds", "T4"),
    Row("tarpit", SPOKEN, seconds, 60.0, lambda t, v: t.tarpit(v), "every reply late by so much", "P3"),
    Row("stops-reading", SPOKEN, stage, "DATA", lambda t, v: t.stop_reading(v), "after this stage nothing is read", "T5"),
    # --- greeting, EHLO, replies
    Row("blocked", SPOKEN, reply, CODES["554"], lambda t, v: t.greeting(v, close=True), "greets with 554", "G1"),
    Row("busy", SPOKEN, reply, CODES["421"], lambda t, v: t.greeting(v), "greets with 421", "G1 G2"),
    Row("greeting", SPOKEN, text, MISSING, lambda t, v: t.greeting(v.encode()), "these words as greeting", "G1 G3"),
    Row("greets-354", SPOKEN, flag, True, lambda t, v: t.greeting(b"354 go ahead"), "greets with 354", "G3"),
    Row("greets-http", SPOKEN, flag, True, lambda t, v: t.greeting(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), "greets as a web server", "G3"),
    Row("greets-binary", SPOKEN, flag, True, lambda t, v: t.greeting(bytes(range(256))), "greets with binary noise", "G3"),
    Row("no-ehlo", SPOKEN, reply, b"502 5.5.1 EHLO not implemented", lambda t, v: t.reply("EHLO", v), "EHLO refused, HELO works", "G4"),
    Row("mixed-codes", SPOKEN, stage, "MAIL", lambda t, v: t.reply(v, b"250-one\r\n550 two"), "multiline reply with different codes", "G5"),
    Row("endless-lines", SPOKEN, stage, "EHLO", lambda t, v: t.endless(v), "a reply of endless lines at this stage", "G5"),
    Row("endless-line", SPOKEN, stage, "EHLO", lambda t, v: t.endless(v, "line"), "one line that never ends", "G5"),
    Row("escapes", SPOKEN, flag, True, lambda t, v: t.reply("RCPT", b"550 5.1.1 \x1b[2J\x1b]0;x\x07 \xff\xfe no"), "terminal escapes and non-ASCII in replies", "G6"),
    Row("wrong-enhanced", SPOKEN, flag, True, lambda t, v: t.reply("RCPT", b"550 4.2.2 which is it"), "enhanced code against the reply's class", "G7"),
    Row("extra-reply", SPOKEN, stage, "END_OF_DATA", lambda t, v: t.extra(v), "one reply too many after this stage", "G8"),
    Row("missing-reply", SPOKEN, stage, "RCPT", lambda t, v: t.silent(v, times=1), "one reply too few at this stage", "G8"),
    Row("idle-421", SPOKEN, seconds, 1.0, lambda t, v: t.leave_idle(v), "421 after so long without a transaction", "G2 G9"),
    Row("idle-close", SPOKEN, seconds, 1.0, lambda t, v: t.leave_idle(v, b""), "closed after so long without a transaction", "G9"),
    # --- TLS
    Row("tls", SPOKEN, choice(*TLS_KINDS), MISSING, lambda t, v: t.tls(v), "STARTTLS: " + ", ".join(TLS_KINDS), "S1-S5"),
    Row("no-tls", SPOKEN, flag, True, lambda t, v: t.tls("none"), "STARTTLS not offered", "S1"),
    Row("tls-refused", SPOKEN, flag, True, lambda t, v: t.tls("refused"), "STARTTLS offered and refused", "S1"),
    Row("tls-extra", SPOKEN, flag, True, lambda t, v: t.tls("extra"), "bytes after the 220 to STARTTLS", "S2"),
    Row("tls-broken", SPOKEN, flag, True, lambda t, v: t.tls("broken"), "handshake fails", "S4"),
    Row("tls-untrusted", SPOKEN, flag, True, lambda t, v: t.tls("untrusted"), "a certificate of nobody's", "S5"),
    Row("tls-wrong-name", SPOKEN, flag, True, lambda t, v: t.tls("wrong-name"), "a certificate for another name", "S5"),
    Row("tls-expired", SPOKEN, flag, True, lambda t, v: t.tls("expired"), "a certificate of long ago", "S5"),
    Row("implicit-tls", HOST, flag, True, lambda t, v: t.set(implicit_tls=v), "TLS from the first octet (smtps)"),
    # --- transaction
    Row("reply", SPOKEN, replies, MISSING, lambda t, v: [t.reply(s, **a) for s, a in v.items()], "other words by stage: {MAIL: 451 later}", "G2 X1-X16"),
    Row("drop", SPOKEN, keyed("stage", stage=stage, reply=reply, times=count, after=count, accepted=boolean, reset=boolean), {"stage": "DATA"}, lambda t, v: _drop(t, dict(v)), "the connection is dropped at a stage", "X4 X7 X8"),
    Row("drop-body", SPOKEN, flag, True, lambda t, v: t.drop("BODY", reply=b"552 5.3.4 Too big"), "refused and dropped in mid-body", "X7"),
    Row("drop-before-accepting", SPOKEN, flag, True, lambda t, v: t.drop("END_OF_DATA", times=1), "dropped after the dot, message lost", "X8"),
    Row("drop-after-accepting", SPOKEN, flag, True, lambda t, v: t.drop("END_OF_DATA", times=1, accepted=True), "dropped after the dot, message taken", "X8"),
    Row("stall", SPOKEN, stage, "END_OF_DATA", lambda t, v: t.stall(v), "never answered at this stage"),
    Row("refuse-mail", SPOKEN, reply, b"550 5.7.1 Sender refused", lambda t, v: t.reply("MAIL", v), "MAIL refused, 503 to what stands behind it", "X3"),
    Row("refuse-data", SPOKEN, reply, b"451 4.3.0 No data now", lambda t, v: t.reply("DATA", v), "DATA refused", "X6"),
    Row("refuse-content", SPOKEN, reply, b"554 5.6.0 Content refused", lambda t, v: t.reply("END_OF_DATA", v), "refused after the dot"),
    Row("refuse-then-close", SPOKEN, reply, b"550 5.7.1 Sender refused", lambda t, v: t.reply("MAIL", v, close=True), "550 to MAIL, then closed", "X4"),
    Row("always-354", SPOKEN, flag, True, lambda t, v: t.set(always_354=v), "DATA answered 354 with every RCPT refused", "X2"),
    Row("rcpt-limit", SPOKEN, count, 5, lambda t, v: t.rcpt_limit(v), "452 4.5.3 after so many recipients", "X5"),
    Row("one-domain", SPOKEN, flag, True, lambda t, v: t.set(one_domain=v), "no second domain in a transaction"),
    Row("flushes-input", SPOKEN, flag, True, lambda t, v: t.set(flushes_input=v), "announces PIPELINING and flushes what was sent ahead", "X9"),
    Row("withhold", SPOKEN, count, 100, lambda t, v: t.withhold(v), "RCPT replies held back until so many stand"),
    Row("limits", SPOKEN, text, "RCPTMAX=50", lambda t, v: t.extensions(with_=(f"LIMITS {v}",)), "announces and holds LIMITS", "X10"),
    Row("size", SPOKEN, count, 1000, lambda t, v: t.extensions(with_=(f"SIZE {v}",)), "announces and holds SIZE", "X10"),
    Row("close-after", SPOKEN, count, 1, lambda t, v: t.close_after(v), "421 after so many messages", "X10"),
    Row("max-connections", SPOKEN, count, 1, lambda t, v: t.max_connections(v), "421 to more connections at once"),
    Row("without", SPOKEN, words, MISSING, lambda t, v: t.extensions(without=v), "extensions left out", "X11"),
    Row("no-pipelining", SPOKEN, flag, True, lambda t, v: t.extensions(without=("PIPELINING",)), "no PIPELINING"),
    Row("no-8bitmime", SPOKEN, flag, True, lambda t, v: t.extensions(without=("8BITMIME", "SMTPUTF8")), "no 8BITMIME, no SMTPUTF8", "X11"),
    Row("bdat-refused", SPOKEN, reply, b"502 5.5.1 BDAT not implemented", lambda t, v: t.reply("BDAT", v), "announces CHUNKING and refuses BDAT", "X12"),
    Row("refuse-rset", SPOKEN, reply, b"500 5.5.1 RSET refused", lambda t, v: t.reply("RSET", v), "RSET refused", "X16"),
    # --- relay
    Row("relay", HOST, flag, True, lambda t, v: t.set(relay=v), "takes mail for every domain"),
    Row("users", HOST, users, MISSING, lambda t, v: t.users(v), "{name: password}: AUTH is wanted"),
    Row("auth-without-tls", HOST, flag, True, lambda t, v: t.set(auth_without_tls=v), "AUTH also in clear text"),
    Row("quota", SPOKEN, keyed("messages", messages=count, refusals=count), MISSING, lambda t, v: t.quota(**v), "450 after so many messages in all"),
    # --- providers: what all hosts of one hold each client address to; a domain or host alone is one, too
    Row("throttling", SPOKEN, throttling, (Rate(10.0), 5), lambda t, v: t.provider.allow(message_rate=v[0], connections=v[1]), "a rate of messages (10/s) and 5 connections at once; beyond them 451 and 421", "G2 X14"),
    Row("greylisting", SPOKEN, greylist, Greylist(), lambda t, v: t.provider.allow(greylist=v), "451 4.7.1 to whom it has not seen until he comes again after 5m", "X13 X14"),
    Row("reputation", SPOKEN, reputation, Reputation(), lambda t, v: t.provider.allow(reputation=v), "falls with unknown users, recovers with time: 451 at 5%, 550 5.7.1 at 15%"),
    Row("message-rate", SPOKEN, rate, MISSING, lambda t, v: t.provider.allow(message_rate=v), "so many messages (20/s, 1200/min): 451 beyond", "X14"),
    Row("recipient-rate", SPOKEN, rate, MISSING, lambda t, v: t.provider.allow(recipient_rate=v), "so many recipients: 452 beyond"),
    Row("connection-rate", SPOKEN, rate, MISSING, lambda t, v: t.provider.allow(connection_rate=v), "so many new connections: 421 beyond", "G2"),
    Row("connections", SPOKEN, connections, MISSING, lambda t, v: t.provider.connections(*v), "so many at once, at all hosts together: 421 beyond", "G2"),
    Row("blocks", SPOKEN, blocks, MISSING, lambda t, v: [t.provider.block(c, r) for c, r in v.items()], "550 5.7.1 to MAIL from these client addresses"),
    Row("together", SPOKEN, flag, True, lambda t, v: t.provider.allow(together=v), "the limits are for all clients together"),
    Row("changes", SPOKEN, lambda value: _changes(value), MISSING, lambda t, v: [t.provider.after(at, partial(_change, said)) for at, said in v], "{60s: {message-rate: 10/s}}: so long after the first connection"),
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
