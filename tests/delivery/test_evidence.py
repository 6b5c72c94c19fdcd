"""What a refusal proves of where the mail came from: its address, that one's name, its family."""

from __future__ import annotations

import pytest

from bulkmail.delivery.classify import classify
from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.evidence import is_nameless, is_proof, refuses_ipv6
from bulkmail.delivery.meaning import Consequence
from bulkmail.delivery.sources import BLOCKED_S, SUSPECT, Sources
from bulkmail.dns.routes import Host, Route
from bulkmail.smtp import Reply
from bulkmail.transport.approach import Source
from bulkmail.transport.stage import Stage

GUIDELINES = (  # Gmail, as quoted on the NANOG list, 2014-01-15
    "5.7.1 [2001:db8::1 19] Our system has detected that this message does not meet IPv6 sending guidelines "
    "regarding PTR records and authentication."
)
NO_PTR = (  # Gmail, as in sisimai's Rhost/Google.pm
    "5.7.25 [2001:db8::1] The IP address sending this message does not have a PTR record setup, or the "
    "corresponding forward DNS entry does not point to the sending IP."
)
UNSIGNED = (  # Exchange Online, from memory: no source was found
    "4.7.26 Service does not accept messages sent over IPv6 [2001:db8::1] unless they pass either SPF or "
    "DKIM validation (message not signed)"
)
NO_NAME = "5.7.1 Client host rejected: cannot find your reverse hostname, [2001:db8::1]"  # Postfix


def said(code: int, text: str, stage: Stage = Stage.RCPT) -> Disposition:
    return classify(stage, Reply.of(code, text))


@pytest.mark.parametrize(
    ("code", "text", "of_ipv6", "nameless"),
    [
        (550, GUIDELINES, True, True),
        (550, NO_PTR, True, True),
        (450, UNSIGNED, True, False),
        (450, NO_NAME.replace("5.7.1", "4.7.1"), True, True),
        (554, NO_NAME, True, True),
        (554, "5.7.1 Client host [IPv6:2001:db8::1] blocked using zen.spamhaus.org", False, False),
        (550, "5.1.1 <ipv6@a.test>: no such user", False, False),
        (550, "5.1.1 no such user, see our PTR of IPv6", False, False),
        (550, "5.7.1 <ptr@a.test>: relaying denied", False, False),
        (452, "4.2.2 over quota", False, False),
        (421, "4.7.0 Too many messages", False, False),
    ],
)
def test_a_refusal_for_the_family_or_the_name_of_our_address_is_told_from_others(
    code: int, text: str, of_ipv6: bool, nameless: bool
):
    fate = said(code, text)
    assert fate.reply is not None
    assert (refuses_ipv6(fate), is_nameless(fate.reply)) == (of_ipv6, nameless)


@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.END_OF_DATA])
@pytest.mark.parametrize("text", [NO_PTR, NO_NAME, GUIDELINES])
def test_nobody_bounces_because_our_address_has_no_name(stage: Stage, text: str):
    fate = said(550, text, stage)
    assert (fate.fate, fate.consequence, fate.refuses_us) == (Fate.DEFERRED, Consequence.SUSPEND, True)


@pytest.mark.parametrize(
    ("text", "stage", "proof"),
    [
        ("5.7.1 blocked", Stage.RCPT, False),
        ("5.7.1 blocked", Stage.MAIL, True),
        ("5.7.1 Client host [192.0.2.1] blocked using zen.spamhaus.org", Stage.RCPT, True),
        ("5.7.1 Client host [2001:db8::1] blocked using zen.spamhaus.org", Stage.RCPT, True),
        ("5.7.1 blocked, for <bob@192.0.2.1>", Stage.RCPT, False),
        ("5.1.1 no such user at 192.0.2.1", Stage.RCPT, False),
    ],
)
def test_one_refusal_is_enough_where_nobody_in_particular_was_asked_for_or_an_address_is_named(
    text: str, stage: Stage, proof: bool
):
    assert is_proof(said(550, text, stage)) == proof


# --- what is believed of a source ---------------------------------------------------------------------------

ONE, TWO = Source("192.0.2.1", "out1.acme.test"), Source("192.0.2.2", "out2.acme.test")
SITE = "mx.a.test"
DOUBTFUL, PLAIN = (
    said(550, "5.7.1 blocked"),
    said(550, "5.7.1 Client host [192.0.2.1] blocked using sbl.test"),
)
TAKEN = Disposition(Fate.DELIVERED, Scope.MESSAGE, Stage.END_OF_DATA)


def test_what_may_be_meant_of_a_recipient_is_believed_of_the_source_after_some_in_a_row():
    sources = Sources([ONE, TWO])
    found = [sources.blocked_by([DOUBTFUL], ONE, SITE) for _ in range(SUSPECT)]
    assert found == [None] * (SUSPECT - 1) + [DOUBTFUL]
    assert sources.blocked_by([DOUBTFUL] * SUSPECT, TWO, SITE) == DOUBTFUL


def test_a_recipient_who_was_taken_says_that_the_others_were_meant():
    sources = Sources([ONE, TWO])
    assert sources.blocked_by([DOUBTFUL] * 9 + [TAKEN], ONE, SITE) is None
    for _ in range(5):
        assert sources.blocked_by([DOUBTFUL] * (SUSPECT - 1), ONE, SITE) is None
        sources.welcome(ONE, SITE)


def test_a_plain_word_is_believed_at_once_whoever_else_was_taken():
    sources = Sources([ONE, TWO])
    assert sources.blocked_by([TAKEN, PLAIN], ONE, SITE) is PLAIN
    way = Route("a.test", (Host(10, SITE, ("198.51.100.1",)),), SITE)
    assert sources.block(ONE, way, PLAIN, 0.0) == BLOCKED_S
