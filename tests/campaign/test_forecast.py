"""What a list will be like is guessed from a few places; only the work depends on it, never the plan."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from bulkmail.campaign.forecast import forecast
from bulkmail.campaign.listing import SqlSource
from bulkmail.campaign.partition import hot_among


def test_the_large_domains_of_a_sorted_list_are_seen_wherever_they_stand(tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    domains = [f"{letter}{number}.test" for letter in "abc" for number in range(5_000)]
    domains[5_000:5_000] = ["Big.test"] * 20_000
    people.write_text("email\n" + "".join(f"user{n}@{domain}\n" for n, domain in enumerate(domains)))
    expected = forecast([people])
    assert (expected.octets, hot_among(expected.domains)) == (people.stat().st_size, {"big.test"})


def test_of_what_is_no_text_file_nothing_is_known(tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    people.write_text("email\nann@a.test\n")
    for other in ("-", SqlSource("SELECT 1", "sqlite:x.db"), tmp_path / "x.parquet", tmp_path / "gone.csv"):
        expected = forecast([people, other])
        assert (expected.octets, expected.domains) == (None, Counter({"a.test": 1}))


def test_an_empty_list_has_no_domains(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("")
    assert (forecast([tmp_path / "people.csv"]).octets, forecast([]).octets) == (0, 0)
