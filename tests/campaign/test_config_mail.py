"""Whatever a campaign file's address or URL with a token is accepted as, a real token makes one of it."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.campaign import config_mail as mail
from bulkmail.message.token import IDS, Tokens
from bulkmail.smtp.address import Mailbox

TOKENS = Tokens("0123456789abcdef", "hello")
PLACE = st.sampled_from(["{{ token }}", "{{token}}", "{{- token -}}"])
IDENTIFIERS = st.integers(0, IDS - 1)
WORDS = st.text(st.sampled_from('aZ9.+-_"\\ @é<>{}[]:/?#=&%,\r\n'), max_size=40)


@given(
    st.lists(WORDS | PLACE, max_size=4),
    st.sampled_from(["acme.example", "É.example", "[192.0.2.1]", ""]),
    IDENTIFIERS,
)
def test_a_reverse_path_that_is_accepted_is_an_address_with_every_token(
    local: list[str], domain: str, recipient: int
) -> None:
    try:
        path = mail.reverse_path("".join(local) + "@" + domain)
    except ValueError:
        return
    box = Mailbox.parse(path.replace("{{ token }}", TOKENS.token(recipient)))
    assert mail.reverse_path(path) == path
    assert (TOKENS.token(recipient).encode() in box.local) == ("{{ token }}" in path)


@given(
    st.sampled_from(["", "u.acme.example", "u.acme.example:8443", "münchen.example", "[::1]", "[", "a@b"]),
    st.lists(WORDS | PLACE, max_size=4),
    IDENTIFIERS,
)
def test_a_url_that_is_accepted_is_one_with_every_token(host: str, rest: list[str], recipient: int) -> None:
    try:
        url = mail.unsubscribe_url(f"https://{host}/{''.join(rest)}")
    except ValueError:
        return
    parts = urlsplit(url.replace("{{ token }}", TOKENS.token(recipient)))
    assert (parts.scheme, parts.netloc, parts.fragment, url.isascii()) == ("https", host, "", True)
    assert not set(parts.geturl()) & set('<> \r\n"{}')
    assert mail.unsubscribe_url(url) == url


@given(st.text(st.sampled_from("aé/=&?%~ü \u4e2d"), max_size=30))
def test_what_to_write_for_a_url_that_is_not_ascii_is_accepted(rest: str) -> None:
    with pytest.raises(ValueError, match="is ASCII") as refused:
        mail.unsubscribe_url(f"https://münchen.example/ä{rest}?who=")
    assert mail.unsubscribe_url(str(refused.value).partition("write ")[2])
