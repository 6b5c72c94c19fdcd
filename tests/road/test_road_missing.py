"""One row of a long list lacks a field: it is found before anybody is connected to, and it alone pays.

The list is as long as real ones are, because the promise is about those: rows are checked while they are
planned, so the last of them is known to be right before the first MAIL.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from road_rig import Road

from bulkmail import sandbox
from bulkmail.campaign.prepare import prepared
from bulkmail.errors import ConfigError
from bulkmail.journal import LeftOut

ROWS = 100_000
SHORT = 81_233  # a line of the file, as an editor counts them: the header is line 1
SETTINGS = {
    "to": "{{ first_name }} <{{ email }}>",
    "text_of_message": "Dear {{ first_name }},\n\nyour branch is {{ branch }}.\n",
}
TEMPLATES = {
    "fields": SETTINGS["text_of_message"],
    "a condition": "{% if first_name %}{{ first_name }}, your branch is {{ branch | upper }}.{% endif %}\n",
}


def people() -> str:
    rows = [f"p{n}@d{n % 997}.test,N{n % 50},B{n % 7}" for n in range(2, ROWS + 2)]
    rows[SHORT - 2] = f"p{SHORT}@d1.test,Ann"
    return "\n".join(["email,first_name,branch", *rows, ""])


@pytest.fixture(scope="module")
def listed() -> str:
    return people()


@pytest.mark.parametrize("text", TEMPLATES.values(), ids=TEMPLATES.keys())
async def test_a_row_without_a_field_is_named_before_any_connection_is_opened(
    world: sandbox.World, road: Road, listed: str, text: str
) -> None:
    """I8."""
    for number in range(997):
        world.domain(f"d{number}.test")
    with pytest.raises(ConfigError) as refused:
        await road.send(listed=listed, **SETTINGS | {"text_of_message": text})
    (problem,) = refused.value.problems
    assert re.search(rf"people\.csv:{SHORT}: .*'branch' is missing", str(problem))
    assert (world.ledger.connections, world.ledger.queried) == (0, 0)


async def test_a_row_without_a_field_is_left_out_alone_and_counted_where_the_campaign_says_skip(
    road: Road, listed: str
) -> None:
    """I8."""
    campaign = road.load(listed=listed, on_missing="skip", **SETTINGS)
    with prepared(campaign, tell=lambda _: None) as ready:
        totals = {state: number for state, number in ready.store.totals().items() if number}
        left_out = [row for row in ready.store.export("skipped") if isinstance(row, LeftOut)]
    assert totals == {"source": ROWS, "skipped": 1, "pending": ROWS - 1}
    assert [(Path(row.file).name, row.row, row.address) for row in left_out] == [
        ("people.csv", SHORT, f"p{SHORT}@d1.test")
    ]
    assert "'branch' is missing" in left_out[0].reason
