"""Reading lists: what is read, what is called by which name, and on which line a bad row is."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from listcase import Case

from bulkmail.campaign.csv_source import separator_of
from bulkmail.campaign.listing import SqlSource
from bulkmail.campaign.text_file import encoding_of
from bulkmail.errors import ConfigError


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


ANN = {"email": "ann@a.test", "name": "Änn"}
BOB = {"email": "bob@b.test", "name": "Bob"}


@pytest.mark.parametrize(
    ("bom", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (b"", "utf-16-le"),
        (b"", "utf-16-be"),
    ],
)
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_list_is_read_whatever_wrote_it(
    case: Case, bom: bytes, encoding: str, separator: str, end: str
) -> None:
    """I7."""
    lines = [["email", "name"], ["ann@a.test", "Änn"], ["bob@b.test", "Bob"], [""]]
    case.write("people.csv", bom + end.join(separator.join(cells) for cells in lines).encode(encoding))
    assert case.rows() == [(2, ANN), (3, BOB)]


def test_rows_keep_the_line_on_which_they_start(case: Case) -> None:
    case.write("people.csv", 'email,note\n\nann@a.test,"two\nlines"\n\nbob@b.test,x,y\ncid@c.test,z\n')
    assert [line for line, _ in case.rows()] == [3, 7]
    assert [line for line, _ in case.bad()] == [6]


def test_a_header_may_stand_on_a_later_line_and_have_line_ends_in_its_names(case: Case) -> None:
    case.write("people.csv", '\n\nemail,"first\nname"\nann@a.test,Ann\n')
    assert case.rows() == [(5, {"email": "ann@a.test", "first\nname": "Ann"})]


def test_the_hint_of_a_spreadsheet_about_its_separator_is_not_the_header(case: Case) -> None:
    case.write("people.csv", "sep=;\r\nemail;name\r\nann@a.test;Änn\r\n")
    assert case.rows() == [(3, ANN)]


@pytest.mark.parametrize(
    ("header", "separator"),
    [
        ("email", ","),
        ("email;first,second;third", ";"),
        ('"a,b,c";email', ";"),
        ("email\tname, first", "\t"),
        ('"email"', ","),
    ],
)
def test_the_separator_is_what_stands_most_often_outside_of_quotes(header: str, separator: str) -> None:
    assert separator_of(header) == separator


def test_a_short_row_is_read_as_far_as_it_goes_and_a_long_one_is_left_out(case: Case) -> None:
    """I7."""
    case.write("people.csv", "email,name,city\nann@a.test,Ann\nbob@b.test,Bob, Jr.,Rome\ncid@c.test,,,,\n")
    assert case.rows() == [
        (2, {"email": "ann@a.test", "name": "Ann"}),
        (4, {"email": "cid@c.test", "name": "", "city": ""}),
    ]
    assert case.bad() == [
        (3, "4 cells, but the header has 3: a separator inside a cell needs quotes around it")
    ]


@pytest.mark.parametrize("content", ["", "\n\n", codecs.BOM_UTF8.decode(), "email,name\n"])
@pytest.mark.parametrize("name", ["people.csv", "people.tsv"])
def test_an_empty_list_has_no_rows(case: Case, content: str, name: str) -> None:
    """I7."""
    case.write(name, content)
    assert case.rows(name) == []


def test_a_missing_column_is_complained_of_with_the_columns_there_are(case: Case) -> None:
    """I7."""
    case.write("people.csv", "e-mail,firstname\nann@a.test,Ann\n")
    with pytest.raises(ConfigError) as raised:
        case.rows(columns={"email": "email", "first_name": "first_name"})
    complaint = str(raised.value)
    assert (
        "people.csv:1: no column 'email', did you mean 'e-mail'? The columns there are: 'e-mail'" in complaint
    )
    assert "people.csv:1: no column 'first_name', did you mean 'firstname'?" in complaint


def test_columns_are_called_by_our_names_and_the_others_keep_their_own(case: Case) -> None:
    case.write("people.csv", "Mail , fname,email,city\nann@a.test,Ann,old@a.test,Rome\n")
    rows = case.rows(columns={"email": "mail", "first_name": "fname"})
    assert rows == [(2, {"email": "ann@a.test", "first_name": "Ann", "city": "Rome"})]


def test_a_column_that_is_there_twice_is_refused(case: Case) -> None:
    case.write("people.csv", "email,name,name\nann@a.test,Ann,Annie\n")
    with pytest.raises(ConfigError, match="the column 'name' is there more than once"):
        case.rows()


def test_cells_stay_the_text_they_were(case: Case) -> None:
    cells = {"email": "a@a.test", "price": "9.90", "code": "007", "x": "1e5", "yes": "no", "pad": "  p "}
    case.write("people.csv", f"{','.join(cells)}\n{','.join(cells.values())}\n")
    case.write(
        "people.jsonl", '{"email":"a@a.test","price":9.90,"code":"007","x":1e5,"yes":"no","pad":"  p "}\n'
    )
    assert [row for _, row in case.rows("people.csv", "people.jsonl")] == [cells, cells]


def test_a_row_that_is_not_text_is_left_out_and_the_others_are_read(case: Case) -> None:
    """I7."""
    case.write("people.csv", b"email,name\nann@a.test,\xc4nn\nbob@b.test,Bob\n")
    assert case.rows() == [(3, BOB)]
    assert case.bad() == [(2, "not UTF-8 text (octet 0xC4): save the list as UTF-8")]


def test_a_quote_that_is_never_closed_does_not_swallow_the_people_behind_it(case: Case) -> None:
    case.write("people.csv", 'email,name\nann@a.test,"Ann\nbob@b.test,Bob\ncid@c.test,Cid\n')
    with pytest.raises(ConfigError, match=r"people\.csv:2: a quote .* is never closed"):
        case.rows()


def test_quotes_that_do_not_match_over_several_lines_stop_the_plan(case: Case) -> None:
    case.write("people.csv", 'email,name\nann@a.test,"Ann\nbob@b.test,"Bob"\ncid@c.test,Cid\n')
    with pytest.raises(ConfigError, match=r"people\.csv:2: the quotes .* of lines 2–3 do not match"):
        case.rows()


def test_quotes_that_do_not_match_on_one_line_cost_that_row_only(case: Case) -> None:
    case.write("people.csv", 'email,name\nann@a.test,"Ann" Lee\nbob@b.test,Bob\n')
    assert case.rows() == [(3, BOB)]
    assert [line for line, _ in case.bad()] == [2]


def test_a_json_list_keeps_spelling_and_nesting_and_knows_absent_from_empty(case: Case) -> None:
    case.write(
        "people.jsonl",
        '{"email": "ann@a.test", "ok": true, "none": null, "empty": "", "items": [1, {"a": 2.5}]}\r\n'
        "\n"
        '{"email": "bob@b.test", "later": "x"}',
    )
    assert case.rows("people.jsonl") == [
        (1, {"email": "ann@a.test", "ok": "true", "empty": "", "items": '[1, {"a": 2.5}]'}),
        (3, {"email": "bob@b.test", "later": "x"}),
    ]


def test_a_bad_line_of_a_json_list_is_left_out_with_its_reason(case: Case) -> None:
    case.write("people.jsonl", '{"email": "ann@a.test"}\n{"email": \n["x"]\n{"email": "\\ud800@a.test"}\n')
    assert [(line, reason.split(":")[0]) for line, reason in case.bad("people.jsonl")] == [
        (2, "not JSON"),
        (3, "not a JSON object"),
        (4, "not UTF-8 text"),
    ]


def test_a_json_array_is_refused_as_a_whole(case: Case) -> None:
    case.write("people.jsonl", '[\n{"email": "ann@a.test"}\n]\n')
    with pytest.raises(ConfigError, match=r"people\.jsonl:1: a JSON array"):
        case.rows("people.jsonl")


def test_json_keys_are_renamed_and_a_later_key_cannot_take_the_place_of_a_mapped_one(case: Case) -> None:
    lines = ['{"mail": "ann@a.test"}'] * 1500 + ['{"mail": "bob@b.test", "email": "wrong@c.test"}']
    case.write("people.jsonl", "\n".join(lines))
    rows = case.rows("people.jsonl", columns={"email": "mail"})
    assert rows[-1] == (1501, {"email": "bob@b.test"})


def test_several_files_and_globs_are_read_once_each_in_order(case: Case) -> None:
    for name in ("b.csv", "a2.csv", "a1.csv"):
        case.write(name, f"email\n{name}@a.test\n")
    found = [batch.file for batch in case.read("b.csv", "a*.csv", "*.csv")]
    assert found == ["b.csv", "a1.csv", "a2.csv"]


def test_a_file_whose_name_looks_like_a_glob_is_read(case: Case) -> None:
    case.write("people[1].csv", "email,name\nbob@b.test,Bob\n")
    assert case.rows("people[1].csv") == [(2, BOB)]


@pytest.mark.parametrize("name", ["nobody.csv", "no*.csv"])
def test_a_source_without_a_file_is_complained_of(case: Case, name: str) -> None:
    with pytest.raises(ConfigError, match=r"recipients\.source: no file"):
        case.rows(name)


def test_a_file_of_an_unknown_kind_is_complained_of(case: Case) -> None:
    case.write("people.xlsx", b"PK")
    with pytest.raises(ConfigError, match=r"people\.xlsx: what kind of list is this"):
        case.rows("people.xlsx")


@pytest.mark.parametrize(
    "stdin", [b"email,name\nbob@b.test,Bob\n", codecs.BOM_UTF8 + b'{"email": "bob@b.test", "name": "Bob"}']
)
def test_standard_input_is_spooled_privately_and_its_kind_recognised(case: Case, stdin: bytes) -> None:
    (batch,) = case.read("-", stdin=stdin)
    spooled = next(case.folder.glob("stdin*"))
    assert (batch.file, [row for _, row in batch.rows], spooled.stat().st_mode & 0o777) == ("-", [BOB], 0o600)


def test_parquet_rows_are_text_and_numbered(case: Case) -> None:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(":memory:") as connection:
        target = case.folder / "people.parquet"
        connection.execute(
            f"COPY (SELECT * FROM (VALUES ('ann@a.test', 7, 9.90::DECIMAL(5,2), NULL), "
            f"('bob@b.test', 8, 1.00, 'x')) AS t(email, n, price, gone)) TO '{target}'"
        )
    assert case.rows("people.parquet") == [
        (1, {"email": "ann@a.test", "n": "7", "price": "9.90"}),
        (2, {"email": "bob@b.test", "n": "8", "price": "1.00", "gone": "x"}),
    ]


def test_an_sql_list_comes_from_duckdb_or_from_sqlite(case: Case) -> None:
    import apsw

    duckdb = pytest.importorskip("duckdb")
    query = "SELECT mail AS email, name FROM people WHERE name <> 'no'"
    table = "CREATE TABLE people(mail TEXT, name TEXT)"
    values = "INSERT INTO people VALUES ('bob@b.test', 'Bob'), ('x@b.test', 'no')"
    with duckdb.connect(str(case.folder / "people.duckdb")) as connection:
        connection.execute(f"{table}; {values}")
    connection = apsw.Connection(str(case.folder / "people.db"))
    connection.execute(f"{table}; {values}")
    connection.close()
    for dsn in ("duckdb:people.duckdb", "sqlite:people.db", "sqlite:///people.db"):
        assert case.rows(SqlSource(query, dsn)) == [(1, BOB)], dsn


@pytest.mark.parametrize("dsn", ["sqlite:people.db", "postgresql://me:S3cret@localhost/x", "mongo://S3cret"])
def test_a_failing_query_is_told_without_the_dsn(case: Case, dsn: str) -> None:
    """P4."""
    case.write("people.db", b"")
    with pytest.raises(ConfigError) as raised:
        case.rows(SqlSource("SELECT nothing FROM nowhere", dsn))
    assert "recipients.source" in str(raised.value)
    assert "S3cret" not in f"{raised.value} {raised.value.__cause__} {SqlSource('', dsn)!r}"


def test_an_extension_that_is_not_there_is_asked_for_and_never_downloaded(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(case.folder))  # where DuckDB looks
    with pytest.raises(ConfigError, match=r"source\.dsn: DuckDB's extension mysql is .*'INSTALL mysql'"):
        case.rows(SqlSource("SELECT 1 AS email", "mysql://me@localhost/x"))
    assert list(case.folder.rglob("*.duckdb_extension*")) == []


@given(st.text(max_size=200))
def test_an_encoding_is_found_for_anything(text: str) -> None:
    for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
        found, _ = encoding_of(text.encode(encoding, "surrogatepass"))
        codecs.lookup(found)
