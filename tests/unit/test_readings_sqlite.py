"""Pages that were read, in an SQLite file with an index, and finding them there."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from aggregators import readings_search, readings_sqlite
from cluster import errors
from cluster.cli import search
from cluster.client import result
from cluster.format import Format
from tests.kit.records import record

BOOK = {
    "s/book.pdf#0001": record("Invoice 2041\nof Müller", words=True),
    "s/book.pdf#0002": record("the terms of payment", source="pdf"),
    "a%23b.png": record("invoice 2042"),
}
SQLITE = Format(readings_sqlite.write, file=True, refuses=readings_sqlite.refuses)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("found") / "scans.sqlite"
    result.write(SQLITE, [BOOK], file)
    return file


def asked(file: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(file)) as db:
        return db.execute(statement).fetchall()


def test_a_file_has_documents_pages_and_an_index(scans: Path) -> None:
    assert asked(scans, "SELECT name FROM documents") == [("s/book.pdf",), ("a#b.png",)]
    assert asked(scans, "SELECT * FROM pages WHERE item = 's/book.pdf#0002'") == [
        (2, "s/book.pdf#0002", 1, 2, "the terms of payment", 90, "pdf", 1.5, "pc1", 0, "0123456789abcdef"),
    ]
    assert asked(scans, "PRAGMA integrity_check") == [("ok",)]
    assert [path.name for path in scans.parent.iterdir()] == ["scans.sqlite"]


def test_a_further_run_adds_items_and_replaces_those_of_the_same_name(tmp_path: Path) -> None:
    file = tmp_path / "scans.sqlite"
    result.write(SQLITE, [BOOK], file)
    result.write(
        SQLITE, [{"s/book.pdf#0001": record("Rechnung"), "s/book.pdf#0002": None, "new.png": record("neu")}], file
    )
    texts = dict(asked(file, "SELECT item, text FROM pages"))
    assert texts == {
        "s/book.pdf#0001": "Rechnung", "s/book.pdf#0002": "the terms of payment", "a%23b.png": "invoice 2042",
        "new.png": "neu",
    }  # fmt: skip
    assert [hit.item for hit in readings_search.find(file, "invoice", 9)] == ["a%23b.png"]
    assert [hit.item for hit in readings_search.find(file, "rechnung", 9)] == ["s/book.pdf#0001"]
    with closing(sqlite3.connect(file)) as db:
        db.execute("INSERT INTO words (words) VALUES ('integrity-check')")  # raises where the index differs


def test_a_run_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "scans.sqlite"
    result.write(SQLITE, [BOOK], file)
    before = file.read_bytes()
    with pytest.raises(errors.ClusterError):
        result.write(SQLITE, [{"new.png": record("neu")}, {"bad.png": {"text": "without the rest"}}], file)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["scans.sqlite"]


def of_another_program(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db:
        db.execute("CREATE TABLE pages (precious)")
        db.commit()


def of_another_version(file: Path) -> None:
    result.write(SQLITE, [], file)
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA user_version = 7")


OTHERS = {
    "is no SQLite file": lambda file: file.write_text("precious"),
    "is an SQLite file of another program": of_another_program,
    "cannot be read": lambda file: file.write_bytes(readings_sqlite.MAGIC + b"x" * 5000),
    "has tables of version 7": of_another_version,
}


@pytest.mark.parametrize("why", OTHERS)
def test_another_file_is_never_written_over(why: str, tmp_path: Path) -> None:
    file = tmp_path / "scans.sqlite"
    OTHERS[why](file)
    before = file.read_bytes()
    assert readings_sqlite.refuses(file).startswith(why)
    with pytest.raises(errors.ClusterError, match=why):
        result.write(SQLITE, [BOOK], file)
    assert file.read_bytes() == before
    with pytest.raises(ValueError, match=f"{why}.*--format sqlite wrote"):
        readings_search.find(file, "invoice", 1)


# Finding.


@pytest.mark.parametrize(
    ("query", "items"),
    [
        ("invoice 2041", ["s/book.pdf#0001"]),
        ("2041 INVOICE", ["s/book.pdf#0001"]),
        ("invoice", ["a%23b.png", "s/book.pdf#0001"]),
        ("inv*", ["a%23b.png", "s/book.pdf#0001"]),
        ("muller", ["s/book.pdf#0001"]),
        ('"of payment"', ["s/book.pdf#0002"]),
        ('"payment of"', []),
        ("NOT invoice", []),
        ("terms-of", ["s/book.pdf#0002"]),
        ("nothing", []),
    ],
)
def test_plain_words_are_found_whatever_their_case(scans: Path, query: str, items: list[str]) -> None:
    assert sorted(hit.item for hit in readings_search.find(scans, query, 9)) == items


def test_an_expression_is_one_of_sqlite(scans: Path) -> None:
    found = readings_search.find(scans, "invoice NOT 2041", 9, is_expression=True)
    assert [hit.item for hit in found] == ["a%23b.png"]


@pytest.mark.parametrize("query", ["(", "a OR", "NEAR(", '"', "no_column: a", "^", "a AND", ""])
def test_a_broken_expression_says_so(scans: Path, query: str) -> None:
    with pytest.raises(ValueError, match="cannot be understood"):
        readings_search.find(scans, query, 9, is_expression=True)


@given(query=st.text())
def test_no_words_of_a_person_are_a_broken_expression(scans: Path, query: str) -> None:
    try:
        readings_search.find(scans, query, 1)
    except ValueError as error:
        assert "has no word" in str(error)  # noqa: PT017


def test_a_snippet_is_short_and_tells_where_the_words_are(tmp_path: Path) -> None:
    file = tmp_path / "long.sqlite"
    result.write(SQLITE, [{"a.png": record("before " * 500 + "invoice\n2041 " + "after " * 500)}], file)
    [hit] = readings_search.find(file, "invoice 2041", 9)
    assert len(hit.snippet) < 300
    assert [hit.snippet[begin:end] for begin, end in hit.marks] in (["invoice", "2041"], ["invoice 2041"])


# The command.


def test_the_command_lists_pages_with_the_words_marked(scans: Path) -> None:
    done = CliRunner().invoke(search.command, ["invoice 2041", str(scans)])
    assert done.stdout == "s/book.pdf, page 1 (90 %)\n  [Invoice] [2041] of Müller\n"
    done = CliRunner().invoke(search.command, ["payment", str(scans)])
    assert done.stdout.startswith("s/book.pdf, page 2 (its own text)\n")


def test_the_command_tells_scripts_the_same(scans: Path) -> None:
    done = CliRunner().invoke(search.command, ["invoice", "2041", str(scans), "--json"])
    [hit] = json.loads(done.stdout)
    assert (hit["document"], hit["page"], hit["confidence"], hit["marks"]) == ("s/book.pdf", 1, 90, [[0, 7], [8, 12]])


def test_the_command_says_that_there_is_more_or_nothing(scans: Path) -> None:
    done = CliRunner().invoke(search.command, ["invoice", str(scans), "--most", "1"])
    assert (done.stdout.count("\n"), done.stderr) == (2, "and more than these 1: list them with --most\n")
    done = CliRunner().invoke(search.command, ["absent", str(scans)])
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "no page holds that\n")


@pytest.mark.parametrize(
    ("words", "name", "told"),
    [
        (["a"], "none.sqlite", "No such file"),
        (["a"], ".", "Is a directory"),
        (["***"], "scans.sqlite", "no word"),
        (["(", "--expression"], "scans.sqlite", "cannot be understood"),
    ],
)
def test_the_command_explains_what_it_cannot_search(scans: Path, words: list[str], name: str, told: str) -> None:
    done = CliRunner().invoke(search.command, [*words, str(scans.parent / name)])
    assert isinstance(done.exception, errors.UsageError)
    assert told in str(done.exception)


def test_a_page_cannot_steer_the_terminal(tmp_path: Path) -> None:
    file = tmp_path / "odd.sqlite"
    result.write(SQLITE, [{"a\x1b[2J\n.png": record("x \u202e y")}], file)
    done = CliRunner().invoke(search.command, ["x", str(file)])
    assert done.stdout == "a\\x1b[2J\\n.png, page 1 (90 %)\n  [x] \\u202e y\n"
