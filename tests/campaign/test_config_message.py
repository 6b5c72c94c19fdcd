"""The keys of a campaign file that say what the message is and how people leave its list."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from campaign_file import SMALL, load, problems

from bulkmail.campaign import config
from bulkmail.campaign.config import Campaign

SECRET = {"UNSUB": "0123456789abcdef"}
SEED = {"DKIM": base64.b64encode(bytes(range(32))).decode()}  # an Ed25519 key, as RFC 8463 tools write it
EVERYTHING = """\
campaign: weekly
kind: marketing
from: "Acme News <news@mail.acme.example>"
subject: "Your week"
preheader: "Three things worth your time, {{ first_name }}"
list:
  id: weekly.acme.example
  postal_address: "Acme, 1 Main St, Springfield"
recipients: people.csv
content:
  template: weekly.mjml
  inline_css: false
  images: embed
  attachments: [terms.pdf, { file: plan.pdf, name: "plan of {{ first_name }}.pdf" }]
unsubscribe:
  url: https://u.acme.example/
  mailto: unsub@mail.acme.example
  secret: { env: UNSUB }
delivery:
  via: sandbox
  reverse_path: "bounces+{{token}}@Mail.Acme.example"
  dkim:
    - { domain: mail.acme.example, selector: s1, key: { env: DKIM } }
    - { domain: acme.example, selector: s2, key: { file: dkim.pem } }
"""


def weekly(folder: Path, without: str = "") -> Campaign:
    (folder / "dkim.pem").write_text(SEED["DKIM"] + "\n")
    return load(folder, EVERYTHING.replace(without, ""), SECRET | SEED)


def complaints(folder: Path, key: str, value: str) -> list[str]:
    """What is said of one key, in a small file; without its place."""
    section, _, name = key.rpartition(".")
    line = f"{section}: {{ {name}: {value} }}\n" if section else f"{name}: {value}\n"
    if section == "delivery":
        text = SMALL.replace("via: sandbox", f"via: sandbox, {name}: {value}")
    elif section == "content":
        text = SMALL.replace("hello.md", f"{{ template: hello.md, {name}: {value} }}")
    else:
        text = SMALL + line
    return [problem.split(": ", 1)[1] for problem in problems(folder, text, SECRET | SEED)]


def test_a_whole_newsletter_means_what_it_says(tmp_path: Path) -> None:
    campaign = weekly(tmp_path)
    content, unsubscribe = campaign.content, campaign.unsubscribe
    assert unsubscribe.secret is not None
    assert (
        campaign.kind,
        campaign.preheader,
        campaign.list_.id,
        campaign.list_.postal_address,
        content.template,
        content.inline_css,
        content.images,
        [(attached.file, attached.name) for attached in content.attachments],
        (unsubscribe.url, unsubscribe.mailto, unsubscribe.secret.reveal()),
        campaign.reverse_path,
        [(dkim.domain, dkim.selector) for dkim in campaign.delivery.dkim],
        [dkim.signing_key().algorithm for dkim in campaign.delivery.dkim],
        [one.where for one in campaign.warnings],
    ) == (
        "marketing",
        "Three things worth your time, {{ first_name }}",
        "weekly.acme.example",
        "Acme, 1 Main St, Springfield",
        tmp_path / "weekly.mjml",
        False,
        "embed",
        [(tmp_path / "terms.pdf", ""), (tmp_path / "plan.pdf", "plan of {{ first_name }}.pdf")],
        ("https://u.acme.example/", "unsub@mail.acme.example", "0123456789abcdef"),
        "bounces+{{ token }}@mail.acme.example",
        [("mail.acme.example", "s1"), ("acme.example", "s2")],
        ["ed25519-sha256", "ed25519-sha256"],
        ["delivery.dkim", "delivery.dkim"],  # Ed25519 alone is not what receivers know
    )


def test_none_of_it_is_needed(tmp_path: Path) -> None:
    campaign = load(tmp_path, SMALL + "list:\nunsubscribe: { secret: }\npreheader:\n")
    unsubscribe = campaign.unsubscribe
    assert (
        campaign.preheader,
        campaign.list_.id,
        (unsubscribe.url, unsubscribe.mailto, unsubscribe.secret),
        (campaign.content.inline_css, campaign.content.images, campaign.content.attachments),
        campaign.delivery.dkim,
        campaign.reverse_path,
    ) == ("", "", ("", "", None), (True, "link", ()), (), "news@acme.example")


def test_marketing_is_told_everything_that_it_lacks(tmp_path: Path) -> None:
    found = problems(tmp_path, SMALL + "kind: marketing\n")
    assert found == [
        "1:1: list.id: is missing, and kind: marketing needs it: "
        "write list: { id: weekly.acme.example }, the list's name within a domain of yours",
        "1:1: list.postal_address: is missing, and kind: marketing needs it: "
        'write list: { postal_address: "Acme, 1 Main St, Springfield" }',
        "1:1: unsubscribe.url: is missing, and kind: marketing needs it: "
        "write unsubscribe: { url: https://u.acme.example/ }, or mailto: ADDRESS",
    ]


@pytest.mark.parametrize(
    ("lacking", "where"),
    [
        ("  id: weekly.acme.example\n", "6:1: list.id"),
        ('  postal_address: "Acme, 1 Main St, Springfield"\n', "6:1: list.postal_address"),
    ],
)
def test_what_marketing_lacks_is_told_at_its_section(tmp_path: Path, lacking: str, where: str) -> None:
    (tmp_path / "dkim.pem").write_text(SEED["DKIM"])
    found = problems(tmp_path, EVERYTHING.replace(lacking, ""), SECRET | SEED)
    assert [problem.partition(": is missing")[0] for problem in found] == [where]


def test_an_address_to_write_to_is_a_way_to_leave(tmp_path: Path) -> None:
    campaign = weekly(tmp_path, "  url: https://u.acme.example/\n")
    assert (campaign.unsubscribe.url, campaign.unsubscribe.mailto) == ("", "unsub@mail.acme.example")


def test_a_postal_address_alone_is_no_list(tmp_path: Path) -> None:
    found = problems(tmp_path, SMALL + "list: { postal_address: Springfield }\n")
    assert [problem.partition(": write")[0] for problem in found] == ["8:1: list.id: is missing"]


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("bounces@acme.example", "bounces@acme.example"),
        ("'{{ token }}@B.acme.example'", "{{ token }}@b.acme.example"),
        ("'b+{{token}}@münchen.example'", "b+{{ token }}@xn--mnchen-3ya.example"),
        (f"'{'b' * 29}+{{{{ token }}}}@acme.example'", "b" * 29 + "+{{ token }}@acme.example"),
    ],
)
def test_a_reverse_path_may_say_whose_it_is(tmp_path: Path, written: str, path: str) -> None:
    text = SMALL.replace("via: sandbox", f"via: sandbox, reverse_path: {written}")
    campaign = load(tmp_path, text + "unsubscribe: { secret: { env: UNSUB } }\n", SECRET)
    assert campaign.reverse_path == path


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("'{{ token }}+{{ token }}@acme.example'", "{{ token }} stands here more than once: write it once"),
        ("'b@{{ token }}.acme.example'", "{{ token }} must stand before the @: write bounces+{{ token }}@"),
        ("'b+{{ email }}@acme.example'", "only {{ token }} can stand in a reverse-path: write bounces+{{"),
        ("'b+{{ token | upper }}@acme.example'", "only {{ token }} can stand in a reverse-path: write"),
        (
            f"'{'b' * 30}+{{{{ token }}}}@acme.example'",
            "a token has up to 34 characters, and 64 may stand before the @: write at most 30 beside",
        ),
        ("'Bounces <b@acme.example>'", "only the address itself, without a name and < >"),
        ("''", "is empty, and bounce messages would be lost: write an address, or remove the key"),
        ("<>", "is empty, and bounce messages would be lost: write an address, or remove the key"),
    ],
)
def test_a_reverse_path_that_cannot_be_is_explained(tmp_path: Path, path: str, problem: str) -> None:
    found = complaints(tmp_path, "delivery.reverse_path", path)
    assert [one[: len(problem) + 23] for one in found] == [f"delivery.reverse_path: {problem}"]


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://u.acme.example/", "https://u.acme.example/"),
        ("https://u.acme.example/leave", "https://u.acme.example/leave"),  # and a slash, where it is made
        ("https://u.acme.example:8443/leave?who=", "https://u.acme.example:8443/leave?who="),
        ("'https://u.acme.example/{{token}}/leave'", "https://u.acme.example/{{ token }}/leave"),
    ],
)
def test_a_token_finds_its_place_in_the_url(tmp_path: Path, url: str, kept: str) -> None:
    text = SMALL + f"unsubscribe: {{ url: {url}, secret: {{ env: UNSUB }} }}\n"
    assert load(tmp_path, text, SECRET).unsubscribe.url == kept


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://u.acme.example/", "one-click unsubscription wants https (RFC 8058): write https://"),
        ("u.acme.example", "one-click unsubscription wants https (RFC 8058): write https://"),
        ("'https://u.acme.example/?{{ email }}'", "only {{ token }} can stand in this URL"),
        ("'https://u.acme.example/{{ token }}{{ token }}'", "{{ token }} stands here more than once"),
        ("'https://{{ token }}.acme.example/'", "{{ token }} cannot be part of the host: write"),
        ("'https://u.acme.example/?who'", "the token is appended to this: end it in =, or write {{ token }}"),
        ("'https://u.acme.example/?a=b'", "the token is appended to this: end it in =, or write {{ token }}"),
        ("'https://u.acme.example/#'", "what stands behind a # never reaches the server"),
        ("'https://ann:x@u.acme.example/'", "a host is wanted, and no user"),
        ("'https:///leave/'", "a host is wanted, and no user"),
        ("'https://u.acme.example/a b/'", "blanks, quotes and < > cannot stand in a URL"),
        ("'https://u.acme.example/a\\nb/'", "blanks, quotes and < > cannot stand in a URL"),
        (
            "'https://münchen.example/weg/ä/'",
            "a URL in a header is ASCII: write https://xn--mnchen-3ya.example/weg/%C3%A4/",
        ),
        ("'https://[u/'", "this is no URL: write https://u.acme.example/"),
    ],
)
def test_a_url_that_nobody_could_leave_by_is_refused(tmp_path: Path, url: str, problem: str) -> None:
    found = complaints(tmp_path, "unsubscribe.url", url)
    assert [one.startswith(f"unsubscribe.url: {problem}") for one in found] == [True], found


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("list.id", "weekly", "'weekly' is no list identifier: write a name within a domain of yours"),
        ("list.id", "'Weekly <weekly.acme.example>'", "the identifier alone is wanted: write weekly.acme"),
        ("list.id", "weekly@acme.example", "looks like an address, and has no @: write weekly.acme.example"),
        ("list.id", "'weekly.acme example'", "'weekly.acme example' is no list identifier"),
        ("unsubscribe.mailto", "'mailto:u@acme.example?subject=x'", "the address alone is wanted: write u@"),
        ("unsubscribe.mailto", "'u+{{ token }}@acme.example'", "one address for everybody is wanted"),
        ("unsubscribe.mailto", "ü@acme.example", "it becomes a URI: write only letters, digits"),
        ("unsubscribe.mailto", "'u?x@acme.example'", "it becomes a URI: write only letters, digits"),
        ("unsubscribe.secret", "0123456789abcdef", "a secret is not written into the file"),
        ("unsubscribe.sekret", "{ env: UNSUB }", "unknown key; did you mean secret?"),
        ("preheader", '"a\\nb"', "must be one line: mail programs show it behind the subject"),
        ("content.images", "inline", "'inline' is none of link, embed"),
        ("content.inline_css", "no", "'no' is neither true nor false"),
        ("content.attachments", "terms.pdf", "a list is wanted here: [one, another]"),
        ("delivery.dkim", "{ domain: a.example }", "a list is wanted here: [one, another]"),
        ("delivery.dkim", "s1", "a list is wanted here: [one, another]"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_message_is_explained(tmp_path: Path, key: str, value: str, problem: str) -> None:
    """I12."""
    found = [one for one in complaints(tmp_path, key, value) if "is missing" not in one]
    assert [one.startswith(f"{key}: {problem}") for one in found] == [True], found


@pytest.mark.parametrize(
    ("entry", "where", "problem"),
    [
        ("{ file: a.pdf, nam: b }", "[0].nam", "unknown key; did you mean name?"),
        ("{ name: b.pdf }", "[0].file", "is missing: write the path of the file to attach"),
        ("{ file: a.pdf, name: b/c.pdf }", "[0].name", "a name without a folder is wanted: write c.pdf"),
        ("{ file: a.pdf, name: ' ' }", "[0].name", "is empty: write the name that people see"),
        ("[a.pdf]", "[0]", "a single value is wanted here, not a list"),
    ],
)
def test_an_attachment_is_explained_in_its_place(
    tmp_path: Path, entry: str, where: str, problem: str
) -> None:
    text = SMALL.replace("hello.md", f"{{ template: hello.md, attachments: [{entry}] }}")
    found = [one.split(": ", 1)[1] for one in problems(tmp_path, text)]
    assert [one.startswith(f"content.attachments{where}: {problem}") for one in found] == [True], found


def test_an_attachment_that_is_not_there_is_named_where_it_is_asked_for(tmp_path: Path) -> None:
    campaign = weekly(tmp_path)
    for name in ("weekly.mjml", "people.csv", "terms.pdf"):
        (tmp_path / name).write_text("x")
    assert [(p.line, p.column, p.where, p.text) for p in config.missing_files(campaign)] == [
        (14, 28, "content.attachments[1]", f"no such file: {tmp_path / 'plan.pdf'}")
    ]
