"""What is remembered of a site, driven by given times."""

from __future__ import annotations

import pytest

from bulkmail.delivery.classify import classify
from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.meaning import Consequence
from bulkmail.delivery.shaping import Limits
from bulkmail.delivery.site import BELIEVED_S, STRIKES, UNLUCKY, Site
from bulkmail.delivery.sites import SITES, Sites
from bulkmail.smtp import Reply
from bulkmail.transport.stage import Stage

LOST = Disposition(Fate.DEFERRED, Scope.SESSION, Stage.RCPT, note="lost")


def test_a_site_keeps_its_pace_when_its_destination_has_ended():
    sites = Sites(Limits(message_rate=10.0))
    for _ in range(30):
        sites.of("mx.a.test", 0.0).messages.book(0.0)
    assert sites.of("mx.a.test", 0.0).messages.book(0.0) == pytest.approx(3.0)


def test_other_limits_hold_from_the_next_message_on_for_all_sites():
    sites, shares = Sites(Limits()), {"mx.a.test": Limits(1, 10.0, 5.0), "mx.b.test": Limits(2)}
    sites.limits_of = shares.__getitem__
    a, b = sites.of("mx.a.test", 0.0), sites.of("mx.b.test", 0.0)
    before = a.connections_limit(0.0), b.connections_limit(0.0), a.messages.book(0.0), a.messages.book(0.0)
    shares["mx.a.test"] = Limits(3, 20.0, 10.0)
    sites.limit_again()
    after = a.connections_limit(0.0), b.connections_limit(0.0), a.messages.book(0.0), a.messages.book(0.0)
    assert (before, after) == ((1, 2, 0.0, 0.1), (3, 2, 0.2, 0.25))


def test_what_was_learned_only_tightens_and_is_forgotten():
    site = Site("mx.a.test", Limits(recipients_per_transaction=100), 0.0)
    site.learn(0.0, recipients=20)
    assert [site.recipients_limit(now) for now in (1.0, BELIEVED_S + 1)] == [20, 100]


def test_a_few_strikes_in_a_row_and_no_fewer_hold_a_site():
    site = Site("mx.a.test", Limits(), 0.0)
    told = [site.met_trouble(LOST, 0.0) for _ in range(STRIKES - 1)]
    site.went_well()
    told += [site.met_trouble(LOST, 0.0) for _ in range(STRIKES)]
    assert told == [False] * (2 * STRIKES - 2) + [True]


@pytest.mark.parametrize(
    ("code", "text", "at_once"),
    [
        (554, "5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", True),
        (450, "4.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", False),
        (550, "5.7.1 blocked", False),
    ],
)
def test_a_plain_word_that_our_address_is_blocked_holds_a_site_at_once(code: int, text: str, at_once: bool):
    """What else is said to a RCPT may be meant of its recipient, and what is said with 4yz may pass."""
    site = Site("mx.a.test", Limits(), 0.0)
    assert site.met_trouble(classify(Stage.RCPT, Reply.of(code, text)), 0.0) == at_once


SPAM = Disposition(
    Fate.BOUNCED,
    Scope.MESSAGE,
    Stage.END_OF_DATA,
    Reply.of(554, "spam"),
    about_us=True,
    consequence=Consequence.PAUSE,
)


def test_a_site_that_refuses_what_we_send_is_asked_for_one_recipient_and_after_a_hold_once():
    site = Site("mx.a.test", Limits(recipients_per_transaction=100), 0.0)
    strikes = [(site.met_trouble(SPAM, 0.0), site.recipients_limit(0.0)) for _ in range(STRIKES)]
    site.hold(SPAM, 10.0)
    probe = site.recipients_limit(11.0), site.met_trouble(SPAM, 11.0)
    site.went_well(1, 1)
    taken = site.recipients_limit(12.0), site.met_trouble(SPAM, 12.0)
    assert strikes == [(False, 100)] * (STRIKES - 1) + [(True, 100)]
    assert (probe, taken) == ((1, True), (100, False))


def test_a_site_that_takes_what_we_send_may_refuse_it_for_some():
    """Three in a row are no wonder where one of four has a filter that does not like it."""
    site, told = Site("mx.a.test", Limits(), 0.0), []
    for _ in range(3):
        site.took_mail(whole=False)
        for _ in range(UNLUCKY - 1):
            site.struck += 1
            told.append(site.met_trouble(SPAM, 0.0))
    for _ in range(STRIKES):
        site.struck += 1
        told.append(site.met_trouble(SPAM, 0.0))
    assert told == [False] * (3 * (UNLUCKY - 1) + STRIKES - 1) + [True]


def test_one_refusal_of_the_whole_site_holds_it():
    assert Site("mx.a.test", Limits(), 0.0).met_trouble(LOST._replace(scope=Scope.SITE), 0.0)


@pytest.mark.parametrize("fate", [Fate.BOUNCED, Fate.IN_DOUBT, Fate.DEFERRED])
def test_those_who_were_not_tried_are_deferred_whatever_befell_the_others(fate):
    site = Site("mx.a.test", Limits(), 0.0)
    held_by = site.hold(LOST._replace(fate=fate), 10.0)
    assert (held_by.fate, held_by.scope, site.held(9.0), site.held(10.0)) == (
        Fate.DEFERRED,
        Scope.SITE,
        held_by,
        None,
    )


def test_what_was_open_when_a_site_was_given_up_is_no_strike_against_it():
    site = Site("mx.a.test", Limits(), 0.0)
    site.hold(LOST, 10.0)
    told = [site.met_trouble(LOST, 5.0) for _ in range(STRIKES)] + [site.met_trouble(LOST, 11.0)]
    assert told == [False] * (STRIKES + 1)


def test_a_site_that_is_worked_for_is_not_forgotten():
    sites = Sites(Limits())
    worked_for = sites.of("mx.a.test", 0.0)
    for number in range(2 * SITES):
        sites.of(f"mx{number}.test", 0.0)
        sites.keep(worked_for)
    assert sites.of("mx.a.test", 0.0) is worked_for


def test_a_site_that_was_left_alone_is_begun_with_one_message_at_a_time():
    site = Site("mx.a.test", Limits(), 0.0)
    for at_once in (1, 1, 2, 4):
        site.went_well(9, at_once)
    before = site.window(0.0), site.keeps_connections
    site.hold(LOST._replace(scope=Scope.SITE), 10.0)
    assert (before, (site.window(11.0), site.keeps_connections)) == ((8, True), (1, False))
