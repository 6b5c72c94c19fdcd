"""A reverse-path for each recipient: what one address proves holds for all (VERP)."""

from __future__ import annotations

from itertools import islice

import pytest
from drafts import draft

from bulkmail.message.reverse_path import ReversePath
from bulkmail.message.template import TemplateProblem
from bulkmail.message.token import Tokens
from bulkmail.smtp.address import Mailbox

TOKENS = Tokens("a secret of sixteen", "hello")


@pytest.mark.parametrize(
    "text",
    ["b+{}@acme.example", "{}@A.example", "b@{}.acme.example", '"a b {}"@acme.example', "b@acme.example"],
)
def test_reverse_paths(text: str) -> None:
    paths = ReversePath(draft(reverse_path=text.format("{{ token }}")), TOKENS.token(0)).paths(
        ["a" * 32, "7" * 32]
    )
    assert [*islice(paths, 2)] == [Mailbox.parse(text.format(token * 32)) for token in "a7"]


def test_a_reverse_path_that_is_too_long_with_a_token_is_refused_at_once() -> None:
    with pytest.raises(TemplateProblem, match="reverse_path: "):
        ReversePath(draft(reverse_path="b" * 33 + "{{ token }}@acme.example"), TOKENS.token(0))
