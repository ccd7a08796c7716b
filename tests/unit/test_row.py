"""The table of a run's row says what is written there, by what, and what is read."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from cluster import keys, scripts
from cluster.ledger import row
from cluster.ledger.reports import Reports
from cluster.ledger.row import Belongs, RunPolicy, RunRow
from cluster.ledger.runs import Runs
from cluster.nodes.places import Places
from cluster.settings import Settings, reader

ROOT = Path(__file__).parents[2]
TABLE = {
    field: (kind, set(writers.split(", ")))
    for field, kind, writers in re.findall(r"^\| (\w+) \| (\w+\??) \| ([^|]+) \|", row.__doc__ or "", re.MULTILINE)[1:]
}
CALL = re.compile(r"redis\.p?call\('(HSET|HSETNX|HINCRBY|HDEL)', (?:K\.run|run), ")


def written() -> dict[str, set[str]]:
    """Field -> the scripts, functions of the prelude and methods that write it."""
    found: dict[str, set[str]] = defaultdict(set)
    for name, script in scripts.every("cluster.ledger").items():
        prelude, _, body = script.text.partition("local K =")
        for function in prelude.split("local function ")[1:]:
            for field in assigned(function):
                found[field].add(re.findall(r"\w+", function)[0])
        for field in assigned(body):
            found[field].add(name)
    for field in created():
        found[field].add("create")
    for field in re.findall(r'hset\(keys\.run\(run\), "(\w+)"', inspect.getsource(Reports.enter)):
        found[field].add("Reports.enter")
    for field in re.findall(r'hdel\(keys\.run\(run\), "(\w+)"', inspect.getsource(Runs.settle)):
        found[field].add("Runs.settle")
    return found


def assigned(code: str) -> Iterator[str]:
    for call in CALL.finditer(code):
        given = list(arguments(code[call.end() :]))
        names = given if call[1] == "HDEL" else given[:1] if call[1] != "HSET" else given[::2]
        yield from (name.strip("'") for name in names if name.startswith("'"))


def arguments(code: str) -> Iterator[str]:
    """What stands between commas up to the end of the call."""
    depth, start = 0, 0
    for at, char in enumerate(code):
        if char in ",)" and not depth:
            yield code[start:at].strip()
            start = at + 1
            if char == ")":
                return
        depth += (char in "({") - (char in ")}")


def created() -> list[str]:
    """The fields that ``Runs.create`` hands to its script."""
    given: dict[str, Any] = {}

    def step(*_: Any, **arguments: Any) -> None:
        given.update(arguments)

    runs: Any = Runs
    belongs = Belongs("maria", "cluster", "ocr-1", "u1", "first")
    runs(None, step).create("r", "job", "1", {}, "me", origin="command", seen="input", belongs=belongs)
    return list(given["fields"][::2])


def test_the_table_has_the_fields_that_are_read() -> None:
    read = {one.name: one.type for one in fields(RunRow) if one.name != "policy"}
    of_policy = {name: RunPolicy.__annotations__[name] for name in RunPolicy._fields}
    kinds = {name: str(getattr(kind, "__forward_arg__", kind)) for name, kind in {**read, **of_policy}.items()}
    assert {name: kind for name, (kind, _) in TABLE.items()} == {
        name: re.findall(r"\w+", kind)[0] + "?" * kind.endswith("| None") for name, kind in kinds.items()
    }


def test_the_table_names_those_that_write_a_field() -> None:
    assert {name: writers for name, (_, writers) in TABLE.items()} == written()


def test_scripts_give_the_policy_in_its_order() -> None:
    listed = re.search(r"local POLICY = \{(.*?)\}", scripts.read("cluster.ledger", "claim").text, re.DOTALL)
    assert listed
    assert tuple(re.findall(r"'(\w+)'", listed[1])) == RunPolicy._fields


def test_the_policy_is_made_of_what_only_submitters_read() -> None:
    read: set[str] = set()

    class Recorder(Settings):
        def __getattribute__(self, name: str) -> Any:
            read.add(name)
            return super().__getattribute__(name)

    RunPolicy.of(Recorder())
    assert read & {*Settings.model_fields} == {name for name in Settings.model_fields if reader(name) == "submitter"}


def test_a_run_without_a_policy_has_that_of_a_submitter_without_settings() -> None:
    assert RunPolicy() == RunPolicy.of(Settings())


def test_nothing_but_the_policy_reads_a_submitters_settings() -> None:
    names = "|".join(name for name in Settings.model_fields if reader(name) == "submitter")
    for path in (ROOT / "cluster").rglob("*.py"):
        if path.name not in ("row.py", "celery_app.py", "settings.py"):  # the app's are for messages without limits
            assert not re.search(rf"\b(config|settings)\.({names}|chunk_s)\b", path.read_text()), path


def test_what_machines_must_share_is_compared() -> None:
    assert set(Places._fields) == {name for name in Settings.model_fields if reader(name) == "cluster"}


def test_a_touched_run_keeps_all_its_keys() -> None:
    assert scripts.read("cluster.ledger", "touch").keys == ("run", *(key for key in keys.OF_RUN if key != "publishing"))


def test_a_row_is_read_back_as_it_was_written() -> None:
    found = RunRow.read({"state": b"done", "items_total": b"3", "passed_over": b'{".txt": 2}', "max_attempts": b"7"})
    assert found == RunRow(state="done", items_total=3, passed_over={".txt": 2}, policy=RunPolicy(max_attempts=7))
    assert RunRow.read({"state": None, "error": b""}) == RunRow()


@pytest.mark.parametrize("given", [{"items_total": b"many"}, {"options": b"[]"}, {"options": b"{"}])
def test_a_field_that_is_not_ours_is_an_error(given: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match=r"many|table|unexpected"):
        RunRow.read(given)


def test_retries_wait_longer_each_time_up_to_a_minute() -> None:
    policy = RunPolicy(retry_delay_s=2)
    assert [policy.delay_s(failed) for failed in (1, 2, 3, 6, 10**6)] == [2, 4, 8, 60, 60]
