"""What stands in lists and messages, and what of it arrives."""

from __future__ import annotations

import email
import email.policy
import json

import pytest
from road_rig import people

from bulkmail.errors import ConfigError

PERSONAL = "{{ name }} <{{ email }}>"


def invalid(report):
    return [(one.file, one.row) for one in report.left_out if one.state == "invalid"]


def text(content):
    """What a reader sees, whatever transfer encoding it travelled in."""
    return email.message_from_bytes(content, policy=email.policy.default).get_content()


@pytest.mark.parametrize("address", ["bob\r\n@a.test", "bob@a.test\nRCPT TO:<eve@a.test>", "b\0b@a.test"])
async def test_a_newline_in_an_address_never_gets_on_the_wire(world, send, address):
    """I1."""
    world.domain("a.test")
    report = await send("ann@a.test", address, "cat@a.test")
    assert (report.kinds(), len(invalid(report)), report.ledger.recipients) == (
        {"ann@a.test": "delivered", "cat@a.test": "delivered"},
        1,
        2,
    )


async def test_a_newline_in_a_value_that_a_header_uses_leaves_the_row_out_with_its_place(world, send):
    """I1."""
    world.domain("a.test")
    rows = [
        {"email": "ann@a.test", "name": "Ann"},
        {"email": "bob@a.test", "name": "Bob\nBcc: eve@a.test"},
        {"email": "cat@a.test", "name": "Cat"},
    ]
    report = await send(rows=rows, to=PERSONAL)
    (left,) = report.left_out
    assert (report.kinds(), left.state, left.file, left.row, "name" in left.reason) == (
        {"ann@a.test": "delivered", "cat@a.test": "delivered"},
        "invalid",
        "people.csv",
        3,
        True,
    )


async def test_a_newline_in_a_value_that_only_the_body_uses_is_legal(world, send):
    """I1."""
    world.domain("a.test")
    rows = [{"email": "ann@a.test", "name": "Ann\nof Ames"}]
    report = await send(rows=rows, text_of_message="Dear {{ name }}\n")
    assert (report.kinds(), text(report.content()).splitlines()) == (
        {"ann@a.test": "delivered"},
        ["Dear Ann", "of Ames"],
    )


BODIES = {
    "bare CR": b"one\rtwo\r.\rthree",
    "bare LF": b"one\ntwo\n.\nthree\n",
    "LF dot LF": b"one\n.\nMAIL FROM:<eve@a.test>\n",
    "CR dot CR": b"one\r.\rMAIL FROM:<eve@a.test>\r",
    "mixed": b"one\r\n.\rtwo\n.\r\nthree\r\r\n.\r\n\nfour",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_line_ends_of_any_kind_become_crlf_and_no_dot_ends_the_message(world, send, body):
    """I2."""
    world.domain("a.test")
    report = await send("ann@a.test", text_of_message=body)
    content = report.content()
    lines = text(content).replace("\r\n", "\n").split("\n")
    wanted = body.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert (content.count(b"\n"), content.count(b"\r")) == (content.count(b"\r\n"),) * 2
    assert [line for line in lines if line] == [line for line in wanted if line]


@pytest.mark.parametrize("ending", ["", "\n", "."])
async def test_lines_of_dots_arrive_as_they_were_and_the_last_line_is_ended(world, send, ending):
    """I3."""
    world.domain("a.test")
    body = "\n".join("." * (n % 4) + "x" * (n % 70) for n in range(2000)) + ending
    report = await send("ann@a.test", text_of_message=body)
    content = report.content()
    assert content.endswith(b"\r\n")
    assert text(content).replace("\r\n", "\n").rstrip("\n") == body.rstrip("\n")


async def test_lines_longer_than_mail_allows_arrive_as_they_were(world, send):
    """I4."""
    world.domain("a.test")
    body = "short\n" + "word " * 2_000 + "\n" + "x" * 5_000 + "\n" + "." * 1_200 + "\n"
    report = await send("ann@a.test", text_of_message=body)
    content = report.content()
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert text(content).replace("\r\n", "\n") == body


async def test_duplicates_are_one_send_counted_and_listed(world, send):
    """I5."""
    world.domain("a.test")
    world.domain("xn--bcher-kva.test")
    report = await send(
        "ann@a.test", "ann@A.TEST", " ann@a.test ", "bob@bücher.test", "bob@xn--bcher-kva.test", "Ann@a.test"
    )
    duplicates = [(one.row, one.state) for one in report.left_out]
    assert set(report.kinds().values()) == {"delivered"}
    assert report.totals["duplicate"] == len(duplicates) == 6 - report.totals["delivered"]
    assert report.ledger.copies["bob@xn--bcher-kva.test"] == report.ledger.copies["ann@a.test"] == 1


async def test_what_only_a_provider_takes_for_the_same_mailbox_is_two(world, send):
    """I5: dots and tags are letters like any other unless somebody asks; nobody can yet."""
    world.domain("gmail.com")
    everybody = ["john.doe@gmail.com", "johndoe@gmail.com", "johndoe+news@gmail.com", "JohnDoe@gmail.com"]
    report = await send(*everybody)
    assert (report.kinds(), report.totals["duplicate"]) == (dict.fromkeys(everybody, "delivered"), 0)


async def test_unusual_addresses_that_are_legal_are_delivered_to(world, send):
    """I6."""
    world.domain("a.test")
    world.domain("xn--bcher-kva.test")
    legal = ['"john doe"@a.test', '"a@b"@a.test', "ann+tag=x@a.test", "bob@bücher.test", "jörg@a.test"]
    report = await send(*legal, "o'brien!#$%&*/=?^_`{|}~-@a.test")
    assert (set(report.kinds().values()), report.totals["delivered"]) == ({"delivered"}, 6)


LISTS = {
    "a BOM": ("email,name\nann@a.test,Ann\nbob@a.test,Bob\n".encode("utf-8-sig"), "people.csv"),
    "UTF-16": ("email,name\nann@a.test,Ann\nbob@a.test,Bob\n".encode("utf-16"), "people.csv"),
    "semicolons": (b"email;name\nann@a.test;Ann\nbob@a.test;Bob\n", "people.csv"),
    "tabs": (b"email\tname\nann@a.test\tAnn\nbob@a.test\tBob\n", "people.tsv"),
    "CRLF": (b"email,name\r\nann@a.test,Ann\r\nbob@a.test,Bob\r\n", "people.csv"),
    "no final line end": (b"email,name\nann@a.test,Ann\nbob@a.test,Bob", "people.csv"),
    "empty lines": (b"email,name\n\nann@a.test,Ann\n\n\nbob@a.test,Bob\n\n", "people.csv"),
    "JSON lines": (
        "\n".join(json.dumps({"email": f"{n}@a.test", "name": n}) for n in ("ann", "bob")).encode(),
        "people.jsonl",
    ),
}


@pytest.mark.parametrize(("listed", "name"), LISTS.values(), ids=LISTS.keys())
async def test_lists_are_read_as_people_save_them(world, send, listed, name):
    """I7."""
    world.domain("a.test")
    report = await send(listed=listed, list_name=name, to=PERSONAL)
    assert (report.kinds(), report.totals["invalid"]) == (
        {"ann@a.test": "delivered", "bob@a.test": "delivered"},
        0,
    )


async def test_ragged_rows_are_left_out_each_with_its_place(world, send):
    """I7."""
    world.domain("a.test")
    listed = (
        b"email,name\nann@a.test,Ann\nbob@a.test,Bob,what,else\n,nobody\nnot an address,x\ncat@a.test,Cat\n"
    )
    report = await send(listed=listed)
    assert (report.totals["delivered"], [row for _, row in invalid(report)]) == (2, [3, 4, 5])


async def test_an_empty_list_mails_nobody(world, send):
    """I7."""
    report = await send(listed=b"")
    assert (report.totals["source"], report.exit, world.ledger.connections) == (0, 0, 0)


async def test_a_list_without_addresses_is_refused_with_the_reason(world, road):
    """I7."""
    with pytest.raises(ConfigError) as raised:
        await road.send(listed=b"name,city\nAnn,Ames\n")
    assert ("people.csv" in str(raised.value), world.ledger.connections) == (True, 0)


async def test_personal_text_reaches_its_own_recipient_and_nobody_else(world, send):
    """I9."""
    world.domain("a.test")
    rows = [{"email": address, "name": address[:6]} for address in people(30)]
    report = await send(rows=rows, to=PERSONAL, text_of_message="Your code is {{ name }}\n", connections=3)
    seen = {(message.recipients, text(message.content).strip()) for message in report.ledger.messages}
    assert seen == {((address,), f"Your code is {address[:6]}") for address in people(30)}
