"""The Python client, without a cluster: what it exports, and what it takes as input."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cluster
from cluster import catalog, errors
from cluster.client import session, source
from cluster.job import Job
from splitters import Item, files, items, lines, people, pictures
from tests.kit.programs import ROOT


def test_all_exported_members_exist_and_are_listed() -> None:
    assert cluster.__all__ == sorted(
        ["Client", "Format", "Job", "Lazy", "Option", "Run", "connect", "errors", "local", "simulate"]
    )
    assert all(hasattr(cluster, name) and name in dir(cluster) for name in cluster.__all__)


def test_the_package_is_imported_without_what_it_exports() -> None:
    code = "import sys, cluster; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert {name for name in done.stdout.split() if name.startswith("cluster.")} == set()


def test_starting_a_cluster_leaves_the_function_in_place() -> None:
    code = "import cluster, cluster.embedded, cluster.client.machine; assert callable(cluster.local), cluster.local"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def given(what: Any) -> list[tuple[str, bytes]]:
    found = source.read(what)
    assert isinstance(found, items.Items)
    return [(item.name, item.data) for item in found.read()]


def test_items_are_named_by_their_position_or_their_name() -> None:
    assert given([b"a", b"b"]) == [("000000", b"a"), ("000001", b"b")]
    assert given({"x": "ü", "y": b"2"}) == [("x", "ü".encode()), ("y", b"2")]
    assert given(pair for pair in [("n/1.png", b"1"), ("n/2.png", bytearray(b"2"))]) == [
        ("n/1.png", b"1"),
        ("n/2.png", b"2"),
    ]


def test_paths_stay_paths_whatever_holds_them() -> None:
    assert source.read("scans") == "scans"
    assert source.read(Path("scans")) == Path("scans")
    assert source.read(iter((Path("a"), Path("b")))) == [Path("a"), Path("b")]


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (b"bytes", "one bytes object"),
        ([], "empty"),
        (["a", b"b"], "mixes paths and bytes"),
        ([b"a", 3], "item 1 of the input is int"),
        ([("a", b""), ("a", b"")], "two items of the input are named 'a'"),
        ([("", b"")], "item 0 of the input has an empty name"),
    ],
)
def test_an_odd_input_is_refused_with_its_place(what: Any, told: str) -> None:
    with pytest.raises(errors.UsageError, match=told):
        given(what)


def test_a_list_is_read_again_and_a_generator_is_not() -> None:
    again = source.read([b"a"])
    once = source.read(data for data in [b"a"])
    assert isinstance(again, items.Items)
    assert isinstance(once, items.Items)
    assert len(list(again.read())) == len(list(again.read())) == len(list(once.read())) == 1
    with pytest.raises(errors.InputChanged, match="read once"):
        once.read()


def test_a_large_item_is_named_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_ITEM_BYTES", 3)
    found = source.read([b"12345", b"1"])
    assert isinstance(found, items.Items)
    assert [bool(item.problem) for item in found.read()] == [True, False]


def made(*found: Item) -> items.Items:
    return items.Items(lambda: iter(found))


def test_splitters_cut_items_as_they_cut_files() -> None:
    text = made(Item("a.txt", b"one\ntwo\nthree\n"))
    assert [[item.data for item in chunk] for chunk in lines.split(text, chunk_size=5)] == [
        [b"one\ntwo\n"],
        [b"three\n"],
    ]
    binary = made(Item("a.bin", b"\0\1\2"))
    assert [item.problem for chunk in lines.split(binary) for item in chunk] == [lines.NO_TEXT]
    two = made(Item("anna/1", b"1"), Item("2", b"2"))
    assert [item.problem for chunk in people.split(two) for item in chunk] == ["", people.NO_PERSON]
    many = made(*(Item(str(number), b"x") for number in range(30)))
    names = [item.name for chunk in pictures.split(many) for item in chunk]
    assert names == [str(number) for number in range(30)]
    assert [len(chunk) for chunk in files.split(many, chunk_size=20)] == [20, 10]


def test_a_splitter_that_opens_files_itself_refuses_items() -> None:
    def split(source: Any, *, chunk_size: int = 1) -> Iterator[list[Item]]:
        for path in source:
            yield [Item(path.name, path.read_bytes())]

    wordcount = catalog.WORDCOUNT
    job = Job(name="own", about="", split=split, task=wordcount.task, aggregate=wordcount.aggregate)
    with pytest.raises(errors.UsageError, match="give paths, not bytes"):
        list(job.chunks(made(Item("a", b"")), {}))


def test_an_empty_generator_is_nothing_to_do() -> None:
    with pytest.raises(errors.NothingToDo):
        session.Input(catalog.WORDCOUNT, made(), {}).chunks()


def test_a_job_without_a_package_is_for_private_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.redis_client.check", lambda url: None)
    wordcount = catalog.WORDCOUNT
    own = Job(name="own", about="", split=wordcount.split, task=wordcount.task, aggregate=wordcount.aggregate)
    with cluster.connect("redis://127.0.0.1:1") as c, pytest.raises(errors.UsageError, match="do not have the job own"):
        c.submit(own, __file__)


def test_what_is_submitted_in_memory_cannot_be_detached() -> None:
    with cluster.local() as c, pytest.raises(errors.UsageError, match="files and folders"):
        c.submit("wordcount", [b"one"], detach=True)
    with cluster.local() as c, pytest.raises(errors.UsageError, match="needs a cluster that stays"):
        c.submit("wordcount", __file__, detach=True)
