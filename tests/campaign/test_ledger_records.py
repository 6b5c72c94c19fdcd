"""What delivery decided, as the journal has it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bulkmail.campaign.ledger import STATE, records_of
from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.work import Verdict, Where
from bulkmail.journal import Record
from bulkmail.smtp import Reply
from bulkmail.transport.stage import Stage

REPLIES = [
    None,
    Reply.of(250, "ok", enhanced="2.0.0"),
    Reply.of(250, "queued as 1", enhanced="2.0.0"),
    Reply.of(250, "queued"),
    Reply.of(451, "later", enhanced="4.3.0"),
    Reply.of(550, "no\tsuch user", enhanced="5.1.1"),
]
dispositions = st.builds(
    Disposition,
    fate=st.sampled_from([*STATE]),
    scope=st.sampled_from(Scope),
    stage=st.sampled_from([Stage.RCPT, Stage.END_OF_DATA]),
    reply=st.sampled_from(REPLIES),
    note=st.sampled_from(["", "given up"]),
    enhanced=st.sampled_from(["", "5.4.4"]),
)
verdicts = st.builds(
    Verdict,
    first=st.just(1),
    last=st.just(2),
    disposition=dispositions,
    at=st.just(1.0),
    where=st.sampled_from([Where("mx.a.test", "192.0.2.1"), Where("mx.b.test", "192.0.2.2", tls="TLSv1.3")]),
    due=st.sampled_from([None, 9.0]),
    expired=st.booleans(),
    attempted=st.booleans(),
)


@given(st.lists(verdicts, max_size=8))
def test_each_is_recorded_as_if_it_were_alone(verdicts: list[Verdict]) -> None:
    assert records_of(verdicts) == [recorded(one) for one in verdicts]


def recorded(verdict: Verdict) -> Record:
    said = verdict.disposition
    return Record(
        first=verdict.first,
        last=verdict.last,
        state="expired" if verdict.expired else STATE[said.fate],
        at=verdict.at,
        code=said.code,
        enhanced=said.status or None,
        reply=said.text,
        stage=said.stage.value,
        due=verdict.due,
        attempted=verdict.attempted,
        **verdict.where._asdict(),
    )


def test_every_fate_that_can_be_told_has_a_state() -> None:
    assert set(Fate) - set(STATE) == {Fate.AGAIN}
