"""The table of replies: how its rows are compared, and what no row can do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.delivery.classify import classify, replies
from bulkmail.delivery.disposition import Fate, Scope
from bulkmail.delivery.feedback import slows
from bulkmail.delivery.meaning import Consequence, Meaning
from bulkmail.delivery.replies import Row, Table
from bulkmail.delivery.stated_wait import stated_wait
from bulkmail.delivery.transaction import without_again
from bulkmail.smtp import Reply
from bulkmail.transport.stage import Stage

NEVER = Row.of({"says": "spam", "enhanced": "x.7.*"})


def reading(rows, code, text, *, stage=Stage.RCPT, enhanced=None, host=""):
    table = Table(tuple(map(Row.of, rows)), NEVER)
    reply = Reply.of(code, text, enhanced=enhanced)
    return table.read(stage, code, reply.enhanced, b" ".join(reply.lines), host).meaning


@pytest.mark.parametrize(
    ("says", "text", "fits"),
    [
        ("user unknown", "User  Unknown", True),
        ("user unknown", "<a@b.example>: user-unknown.", True),
        ("user unknown", "unknown user", False),
        ("user unknown", "superuser unknown", False),
        ("rate limit*", "you are rate-limited", True),
        ("rate limit", "you are rate-limited", False),
        ("mailbox * full", "mailbox of ann is full", True),
        ("mailbox * full", "mailbox full", True),
        ("mailbox * full", "full mailbox", False),
        ("spam", "<spam@b.example> unknown", False),
        ("spam", "[spam@b.example]: unknown", False),
        ("no such user", "no 550-5.1.1 such 550-5.1.1 user", True),
        ("doesn't exist", "it doesn't exist", True),
        ("later, never", "never", True),
    ],
)
def test_a_phrase_is_found_in_words(says, text, fits):
    assert (reading([{"class": "policy", "says": says}], 550, text) is Meaning.POLICY) == fits


@pytest.mark.parametrize(
    ("row", "fits"),
    [
        ({"enhanced": "5.1.1"}, True),
        ({"enhanced": "x.1.1"}, True),
        ({"enhanced": "5.1.*"}, True),
        ({"enhanced": "5.1.0-4"}, True),
        ({"enhanced": "4.1.1 5.1.2"}, False),
        ({"code": "550"}, True),
        ({"code": "4yz 5yz"}, True),
        ({"code": "4yz"}, False),
        ({"stage": "mail rcpt"}, True),
        ({"stage": "mail"}, False),
        ({"provider": "one.example two.example"}, True),
        ({"provider": "one.example"}, False),
    ],
)
def test_a_row_fits_where_all_that_it_names_does(row, fits):
    said = reading([{"class": "policy", **row}], 550, "no", enhanced="5.1.1", host="mx.two.example")
    assert (said is Meaning.POLICY) == fits


def test_the_first_row_that_fits_decides():
    rows = [{"class": "policy", "code": "451"}, {"class": "system", "code": "550"}, {"class": "network"}]
    assert reading(rows, 550, "no") is Meaning.SYSTEM


def test_a_row_with_a_word_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="host"):
        Row.of({"class": "policy", "host": "mail.ru"})


@pytest.mark.parametrize(
    ("text", "enhanced"),
    [("#5.1.0 Address rejected", (5, 1, 0)), ("no relay: 5.7.1 sorry", (5, 7, 1)), ("by 5.1.2.3", None)],
)
def test_an_enhanced_code_is_found_where_it_does_not_belong(text, enhanced):
    row = Row.of({"class": "policy", "enhanced": ".".join(map(str, enhanced or (5, 1, 2)))})
    said = Table((row,), NEVER).read(Stage.RCPT, 550, None, text.encode())
    assert (said.meaning is Meaning.POLICY) == (enhanced is not None)


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("greylisted for 00:05:00", 300.0),
        ("Greylisted, please retry in 4:59", 299.0),
        ("try again in 5 min", 300.0),
        ("retry after 300", 300.0),
        ("Greylisting in action, please come back later; retry=300", 300.0),
        ("please try again in 5 minutes 30 seconds", 330.0),
        ("You have been greylisted; wait at least 10 minutes", 600.0),
        ("try again in one hour", 3600.0),
        ("try again in 300s", 300.0),
        ("Try again later (119 seconds left)", 119.0),
        ("please retry later", None),
        ("try again 192.0.2.1", None),
        ("see rfc 2554 after retry", None),
        ("try again 2024-05-09", None),
        ("please try again in 2 days", 172_800.0),
        ("wait 1 day 2 hours", 93_600.0),
        ("come back in one day", 86_400.0),
        ("retry in 3 attempts", None),
        ("try again in 5 working days", None),
        ("try again after 14:30", None),
        ("retry after 14:30:00", None),
        ("retry after 00:05:00", 300.0),
    ],
)
def test_a_wait_is_read_as_real_ones_say_it(text, wait_s):
    """X14."""
    assert stated_wait(text.encode()) == wait_s


@pytest.mark.parametrize(
    ("code", "enhanced", "text", "meaning", "consequence"),
    [
        (451, "4.7.1", "Greylisted, try again in 5 minutes", Meaning.GREYLISTED, Consequence.SAME_SOURCE),
        (421, "4.7.28", "unusual rate of mail", Meaning.THROTTLED, Consequence.SLOW),
        (554, "5.7.1", "blocked using zen.spamhaus.org", Meaning.BLOCKED, Consequence.SUSPEND),
        (550, "5.7.26", "Unauthenticated email", Meaning.POLICY, Consequence.PAUSE),
        (550, "5.1.1", "User unknown", Meaning.UNKNOWN_USER, Consequence.SUPPRESS),
        (450, "4.1.1", "User unknown", Meaning.UNKNOWN_USER, Consequence.NONE),
        (550, "5.2.1", "account disabled", Meaning.DISABLED, Consequence.SUPPRESS),
        (552, "5.2.2", "mailbox full", Meaning.MAILBOX_FULL, Consequence.NONE),
        (450, "4.2.1", "rate limit of this mailbox", Meaning.THROTTLED, Consequence.NONE),
    ],
)
def test_a_meaning_has_its_consequence(code, enhanced, text, meaning, consequence):
    said = classify(Stage.RCPT, Reply.of(code, text, enhanced=enhanced))
    assert (said.meaning, said.consequence) == (meaning, consequence)


def test_a_block_is_of_the_source_and_failed_authentication_of_the_campaign():
    blocked = classify(Stage.RCPT, Reply.of(554, "5.7.1 blocked using zen.spamhaus.org"))
    dmarc = classify(Stage.END_OF_DATA, Reply.of(550, "5.7.26 DMARC"))
    assert (blocked.scope, dmarc.scope) == (Scope.SOURCE, Scope.CAMPAIGN)


OF_OURS = [
    # our own account, at a relay that has closed it
    ("550 Outgoing mail from your account has been suspended", "", "blocked"),
    ("550 Outgoing mail from <news@shop.example> has been suspended.", "", "blocked"),
    ("550 Your account has been suspended", "", "blocked"),
    ("550 5.2.1 Your account has been disabled from sending", "", "blocked"),
    ("550 5.7.1 Mail sent from this account has been disabled", "", "blocked"),
    # our domain: no other source would fare better
    ("550 5.7.1 Likely suspicious, due to the very low reputation of the sending domain", "", "blocked"),
    ("554 5.7.1 Sender address [news@shop.example] blocked using dbl.spamhaus.org", "", "blocked"),
    ("550 5.7.1 Your domain shop.example is blacklisted", "", "blocked"),
    # what is in the message
    ("554 5.7.1 Message contains a URL blocked by multi.surbl.org", "end_of_data", "content refused"),
    ("554 5.7.1 blocked using multi.uribl.com", "end_of_data", "content refused"),
    ("550 5.7.1 URL in message listed in dbl.spamhaus.org", "end_of_data", "content refused"),
]
QUOTA = [
    "550 5.4.5 Daily user sending limit exceeded",
    "550 Domain shop.example has exceeded the max emails per hour (500/500 (100%)) allowed.",
    "550 Domain shop.example has exceeded the max defers and failures per hour (5/5 (100%)) allowed.",
    "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients",
]
ONES_OWN = [
    "550 5.7.1 The sender is blocked by the recipient",
    "550 5.7.1 The recipient has blocked your address",
    "550 5.7.1 Message rejected: sender is on the recipient's block list",
    "550 5.7.1 You are on this user's block list",
]
TOO_MANY_IN_A_WHILE = [
    "450 4.7.1 Error: too many recipients from mail.shop.example[192.0.2.1]",
    "451 4.7.1 Too many recipients per hour, slow down",
    "450 4.7.0 Too many recipients",
]


def read(text, stage=Stage.RCPT):
    return classify(stage, Reply.of(int(text[:3]), text[4:]))


@pytest.mark.parametrize(("text", "stage", "meaning"), OF_OURS)
def test_what_is_wrong_with_our_account_or_domain_concerns_the_campaign(text, stage, meaning):
    """Not one source, whose place another would take; and no address is dead for it."""
    said = read(text, Stage(stage or "rcpt"))
    assert (said.meaning.value, said.scope, said.consequence) == (meaning, Scope.CAMPAIGN, Consequence.PAUSE)


@pytest.mark.parametrize("text", QUOTA)
def test_what_our_account_may_send_in_a_while_is_no_matter_of_the_recipient(text):
    said = read(text)
    assert (said.meaning, said.scope, said.consequence) == (Meaning.THROTTLED, Scope.SITE, Consequence.SLOW)


@pytest.mark.parametrize("text", ONES_OWN)
def test_who_has_us_on_his_own_list_is_one_recipient(text):
    said = read(text)
    assert (said.meaning, said.scope, said.consequence) == (
        Meaning.POLICY,
        Scope.RECIPIENT,
        Consequence.NONE,
    )


def test_the_list_of_the_recipients_server_is_the_servers():
    said = read("550 5.7.1 Your IP 192.0.2.1 is on the recipient's server blacklist")
    assert (said.meaning, said.scope) == (Meaning.BLOCKED, Scope.SOURCE)


@pytest.mark.parametrize("text", TOO_MANY_IN_A_WHILE)
def test_too_many_recipients_in_a_while_slow_the_site(text):
    """Who comes next is one too many as well; "452 4.5.3" is of the transaction."""
    said = read(text)
    assert (said.fate, said.meaning, said.scope, said.consequence) == (
        Fate.DEFERRED,
        Meaning.THROTTLED,
        Scope.SITE,
        Consequence.SLOW,
    )


def test_too_many_recipients_of_one_transaction_are_told_from_those_of_an_hour():
    """Where it may be the transaction, the rest go in the next; the only one who is asked for is too many
    for the site, and where nobody is accepted that is heard as a throttling (RFC 5321 section 4.5.3.1.10)."""
    hour = without_again(read("452 4.7.1 Too many recipients received this hour"))
    transaction = without_again(read("452 4.5.3 Error: too many recipients"))
    assert [(one.fate, slows(one)) for one in (hour, transaction)] == [
        (Fate.DEFERRED, True),
        (Fate.DEFERRED, False),
    ]


def test_a_mailbox_that_is_unknown_in_a_protocol_error_bounces():
    """Outlook.com: 550 5.5.0. By X.5.z alone it would be tried again for two days."""
    reply = Reply.of(550, "5.5.0 Requested action not taken: user unknown")
    assert classify(Stage.RCPT, reply).fate is Fate.BOUNCED


def test_the_exchanger_decides_where_the_same_words_mean_something_else():
    """RFC 5321 has 550 "mailbox unavailable" for policy, too; GMX says it of who is not there."""
    reply = Reply.of(550, "Requested action not taken: mailbox unavailable")
    assert [
        classify(Stage.RCPT, reply, host).consequence for host in ("mx00.gmx.net", "mx.other.example")
    ] == [
        Consequence.SUPPRESS,
        Consequence.NONE,
    ]


@pytest.mark.parametrize(
    "text",
    [
        "5.7.1 No such user!",
        "No such user here, for now: try again",
        "5.1.1 No such user, as our filter sees it",
        "5.1.1 No such user: the recipient only takes mail that is not unsolicited",
    ],
)
def test_where_the_host_may_mean_us_the_address_stays(text):
    assert classify(Stage.RCPT, Reply.of(550, text)).consequence is not Consequence.SUPPRESS


WORDS = ("user unknown", "no such user", "mailbox disabled", "does not exist", "invalid recipient")


@given(
    st.sampled_from(list(Stage)),
    st.integers(400, 599),
    st.tuples(st.integers(0, 9), st.integers(0, 999)),
    st.lists(st.sampled_from((*WORDS, "spam", "blocked", "quota", "policy", "later", "dmarc")), max_size=4),
)
def test_only_a_permanent_refusal_of_a_recipient_suppresses(stage, code, enhanced, words):
    reply = Reply.of(code, f"{code // 100}.{enhanced[0]}.{enhanced[1]} {' '.join(words)}")
    said = classify(stage, reply)
    if said.consequence is Consequence.SUPPRESS:
        assert (said.fate, code >= 500) == (Fate.BOUNCED, True)
        assert stage in (Stage.RCPT, Stage.END_OF_DATA)
        assert said.meaning in (Meaning.UNKNOWN_USER, Meaning.DISABLED)
        assert enhanced[0] not in (3, 6, 7)


@given(st.sampled_from(list(Stage)), st.integers(400, 599), st.binary(max_size=60))
def test_anything_can_be_read(stage, code, text):
    line = text.replace(b"\n", b" ").replace(b"\r", b" ")
    assert replies().read(stage, code, None, line).meaning in Meaning
