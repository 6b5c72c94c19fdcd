"""`preview`: whose message it is, what the page shows, and that nothing leaves it."""

from __future__ import annotations

import base64
import email
import email.policy
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from newsletter_case import PEOPLE, SECRET, newsletter, plain, png

from bulkmail.campaign.preview import inbox_line
from bulkmail.cli import exit_code
from bulkmail.journal import Suppressions
from bulkmail.message import Tokens


class Page(HTMLParser):
    """What a browser would make of a page: its elements with their attributes, and the text between."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def frames(self) -> list[str]:
        return [frame["srcdoc"] or "" for frame in self.all("iframe")]


def preview(file: Path, *options: str) -> Page:
    assert exit_code(["preview", str(file), "--out", str(file.parent / "out"), *options]) == 0
    return Page((file.parent / "out" / "preview.html").read_text("utf-8"))


def test_the_first_of_the_list_is_shown_as_he_will_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = preview(newsletter(tmp_path))
    out = capsys.readouterr().out
    assert "To: Ann <ann@a.test>\nSubject: Ann, the news\n" in out
    assert "Dear Ann, greetings to Lagos." in out
    assert "Dear Ann, greetings to Lagos." in page.frames[0]
    assert "Only for Lagos" in page.text  # the line of the inbox


def test_the_page_runs_nothing_and_fetches_nothing(tmp_path: Path) -> None:
    people = 'email,first_name,city\nann@a.test,"</iframe><script>alert(1)</script>","""><img src=x>"\n'
    html = '<body>{{ first_name }} {{ city }}<img src="https://track.test/{{ city }}"></body>'
    page = preview(newsletter(tmp_path, people=people, html=html, preheader="<u>{{ first_name }}"))
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv"))
    assert {tag for tag, _ in page.elements} & {"script", "img", "link", "object", "u", "a"} == set()
    assert [frame["sandbox"] for frame in page.all("iframe")] == [""]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert "1 image or font is on the web and not loaded here" in page.text


def test_images_that_travel_with_the_message_are_in_the_page(tmp_path: Path) -> None:
    (frame,) = preview(newsletter(tmp_path)).frames
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', frame)
    assert ([base64.b64decode(image) for image in found], "cid:" in frame) == ([png()], False)


def test_images_of_the_web_are_loaded_only_if_that_is_asked_for(tmp_path: Path) -> None:
    page = preview(newsletter(tmp_path, html='<p>{{ city }}<img src="https://a.test/x.png">'), "--remote")
    policy = next(meta["content"] or "" for meta in page.all("meta") if meta.get("http-equiv"))
    assert ("img-src data: http: https:" in policy, "not loaded here" in page.text) == (True, False)


def test_the_unsubscribe_link_of_a_preview_is_nobodys(tmp_path: Path) -> None:
    preview(newsletter(tmp_path))
    message = email.message_from_bytes((tmp_path / "out" / "1.eml").read_bytes())
    token = re.search(r"u\.acme\.test/([a-z2-7]+)", str(message["List-Unsubscribe"]))
    assert token is not None
    assert Tokens(SECRET, "news").verify(token[1]) == 0


def test_a_preview_needs_no_secret(tmp_path: Path) -> None:
    file = newsletter(tmp_path)
    (tmp_path / "secret").unlink()
    (tmp_path / "key").unlink()
    assert "Dear Ann" in preview(file).frames[0]


def test_somebody_by_address_whatever_its_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    preview(newsletter(tmp_path), "--as", "Cleo@B.test")
    captured = capsys.readouterr()
    assert ("Dear Cleo, greetings to Lima." in captured.out, "warning" in captured.err) == (True, False)


def test_who_is_not_in_the_list_gets_the_names_of_the_fields(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preview(newsletter(tmp_path), "--as", "zoe@z.test")
    captured = capsys.readouterr()
    assert "Dear [first_name], greetings to [city]." in captured.out
    assert "zoe@z.test: not in the list: the name of each field stands for its value" in captured.err


def test_who_would_be_left_out_is_shown_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = newsletter(tmp_path, recipients={"source": "people.csv", "where": "city <> 'Oslo'"})
    with Suppressions.open(tmp_path / ".bulkmail" / "project.db") as suppressions:
        suppressions.add(["bob@a.test"], "asked")
    preview(file, "--as", "bob@a.test")
    captured = capsys.readouterr()
    assert "Dear Bob, greetings to Oslo." in captured.out
    assert "bob@a.test: a run leaves it out as filtered: where: city <> 'Oslo'" in captured.err
    assert "bob@a.test: suppressed, a run leaves it out" in captured.err


def test_what_is_no_address_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = exit_code(["preview", str(newsletter(tmp_path)), "--as", "zoe"])
    assert (code, capsys.readouterr().err) == (2, "bulkmail: 'zoe' is no address: no @ in the address\n")


def test_a_row_without_a_message_is_told_by_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = newsletter(tmp_path, people="email,name\nann@a.test,Ann\n")
    code = exit_code(["preview", str(file), "--as", "ann@a.test"])
    assert (code, capsys.readouterr().err.startswith("people.csv:2: ")) == (2, True)


def test_some_at_random_are_on_one_page_and_the_seed_repeats_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"p{n}@a.test,P{n},Rome\n" for n in range(50))
    file = newsletter(tmp_path, people="email,first_name,city\n" + rows)
    page = preview(file, "--random", "3")
    told = re.search(r"--random 3 --seed \d+", capsys.readouterr().err)
    assert told is not None
    again = preview(file, *told[0].split())
    recipients = [found["id"] for found in page.all("input") if found["name"] == "m"]
    assert (again.frames, len(page.frames), recipients) == (page.frames, 3, ["m0", "m1", "m2"])


def test_raw_are_the_octets_and_nothing_else(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert exit_code(["preview", str(newsletter(tmp_path)), "--raw"]) == 0
    raw = capfdbinary.readouterr().out
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert (message["To"], message.defects, message["DKIM-Signature"]) == ("Ann <ann@a.test>", [], None)
    assert raw.count(b"\n") == raw.count(b"\r\n") > 0
    assert not (tmp_path / ".bulkmail").exists()


@pytest.mark.parametrize(
    "options",
    [
        ["--as", "ann@a.test", "--random", "2"],
        ["--raw", "--random", "2"],
        ["--raw", "--out", "x"],
        ["--seed", "1"],
    ],
)
def test_options_that_contradict_each_other_are_refused(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = exit_code(["preview", str(newsletter(tmp_path)), *options])
    assert (code, capsys.readouterr().out) == (2, "")


def test_without_out_the_files_are_in_the_state_directory_for_their_owner_only(tmp_path: Path) -> None:
    assert exit_code(["preview", str(newsletter(tmp_path))]) == 0
    folder = tmp_path / ".bulkmail" / "news.preview"
    assert {
        path.name: path.stat().st_mode & 0o777 for path in [folder.parent, folder, *folder.iterdir()]
    } == {
        ".bulkmail": 0o700,
        "news.preview": 0o700,
        "preview.html": 0o600,
        "1.eml": 0o600,
        "1.html": 0o600,
        "1.txt": 0o600,
    }


def test_the_messages_of_the_preview_before_are_gone_and_nothing_else(tmp_path: Path) -> None:
    out, file = tmp_path / "out", newsletter(tmp_path)
    out.mkdir()
    kept = ["1.pdf", "01.txt", "7.txt", "51.eml", "2.txt.bak", "notes.txt"]
    for name in kept:
        (out / name).write_text("mine")
    preview(file, "--random", "3")
    preview(plain(tmp_path, "Dear {{ first_name }}\n"))
    assert sorted(path.name for path in out.iterdir()) == sorted([*kept, "1.eml", "1.txt", "preview.html"])
    assert {(out / name).read_text() for name in kept} == {"mine"}


def test_in_a_folder_that_no_preview_wrote_to_nothing_is_removed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "2.txt").write_text("mine")
    preview(newsletter(tmp_path))
    assert (out / "2.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = newsletter(tmp_path)
    code = exit_code(["preview", str(file), "--out", str(file / "out")])
    assert (code, capsys.readouterr().err) == (
        2,
        f"bulkmail: {file}/out cannot be written: Not a directory\n",
    )


def test_a_message_of_text_alone_has_no_frame(tmp_path: Path) -> None:
    page = preview(plain(tmp_path, "Dear {{ first_name }} & all,\n"))
    panes = [found["id"] for found in page.all("input") if found["name"] == "pane"]
    assert (page.frames, panes, "Dear Ann & all," in page.text) == ([], ["text", "source"], True)


def test_an_empty_list_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = exit_code(["preview", str(newsletter(tmp_path, people=PEOPLE.splitlines()[0] + "\n"))])
    assert (code, "--as ADDRESS" in capsys.readouterr().err) == (2, True)


@pytest.mark.parametrize(
    ("html", "line"),
    [
        ("<head><title>No</title></head><div hidden>Yes&nbsp;this</div><p>then that", "Yes this then that"),
        ("<div>Pre&zwnj;&#847; &shy; header</div>", "Pre header"),
        ("<div>Pre" + "&#847;&zwnj;&nbsp;" * 60 + "</div><p>Body", "Pre"),
        ("<p>" + "word " * 100, ("word " * 28).strip()),
    ],
)  # fmt: skip
def test_the_line_of_the_inbox_is_the_first_words_of_the_body(html: str, line: str) -> None:
    assert inbox_line(html) == line
