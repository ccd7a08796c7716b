"""A job's options can be known without its engine, also as JSON Schema."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from typing import Any

import jsonschema
import orjson
import pytest
from click.testing import CliRunner

from cluster import catalog, errors
from cluster.cli import jobs
from cluster.functions import Lazy
from cluster.job import Job
from cluster.option import Option
from tests.kit.programs import ROOT
from tests.unit.test_architecture import HEAVY


def test_jobs_and_options_are_known_without_any_task() -> None:
    code = (
        "import sys, logging; from cluster import catalog; known = catalog.jobs().values();"
        "[(job.check_options({}), job.options_schema, job.format_names, job.capability) for job in known];"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = done.stdout.split()
    assert not HEAVY & {name.partition(".")[0] for name in loaded}
    assert [name for name in loaded if name.startswith("tasks.")] == []


def test_an_option_tells_its_json_schema() -> None:
    top = Option("top", int, None, "how many", minimum=1, maximum=9)
    assert top.json_schema == {"type": ["integer", "null"], "description": "how many", "minimum": 1, "maximum": 9}
    share = Option("share", float, 0.5, "how much")
    assert share.json_schema == {"type": "number", "description": "how much", "default": 0.5}


@pytest.mark.parametrize("job", catalog.BUILT_IN, ids=lambda job: job.name)
def test_a_job_schema_names_all_options(job: Job) -> None:
    schema = job.options_schema
    assert list(schema["properties"]) == [option.name for option in job.options] + ["chunk_size"]
    assert schema["required"] == [option.name for option in job.options if option.required]


def test_the_list_of_jobs_holds_their_schemas() -> None:
    told = CliRunner().invoke(jobs.command, ["--json"])
    schemas = {job["name"]: job["schema"] for job in json.loads(told.stdout)}
    assert schemas["ocr"] == catalog.OCR.options_schema


TRIED: Any = ["", "a", 0, 1, 3, -1, 0.5, True, None]
KINDS = [
    Option("text", str, "", ""),
    Option("name", str, None, ""),
    Option("model", str, None, "", required=True),
    Option("least", int, 1, "", minimum=1, maximum=2),
    Option("share", float, 0.5, "", minimum=0),
    Option("part", float, 0.5, "", minimum=0, below=1),
    Option("clean", bool, False, ""),
    Option("mode", str, "a", "", choices=("a", "b")),
    Option("kind", str, None, "", choices=("a", "b")),
    Option("way", str, None, "", choices=("a", "b"), required=True),
]


BY_NAME = {option.name: option for option in KINDS}


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("text", "\udcff", "text in UTF-8"),
        ("least", 3, "2 or less"),
        ("least", 0, "1 or more"),
        ("least", -(2**63), "below"),
        ("part", 1, "below 1"),
        ("part", 1.5, "below 1"),
        ("part", -0.5, "0 or more"),
        ("share", 2**63, "below"),
        ("share", float("inf"), "below"),
        ("share", float("nan"), "below"),
    ],
)
def test_a_value_that_cannot_be_stored_or_is_out_of_range_is_refused(name: str, value: Any, told: str) -> None:
    with pytest.raises(errors.UsageError, match=f"^--{name} is .*{told}"):
        BY_NAME[name].check(value)


def test_the_limits_themselves_are_in_range() -> None:
    assert [BY_NAME["least"].check(value) for value in (1, 2)] == [1, 2]
    assert BY_NAME["share"].check(2**63 - 1025) == 2**63 - 1025


@pytest.mark.parametrize("value", ["a", 7, 0.25, True, False, None])
def test_a_value_is_read_back_from_its_text(value: Any) -> None:
    option = Option("any", str if value is None else type(value), None, "")
    assert option.read("" if value is None else str(value)) == value


@pytest.mark.parametrize("option", KINDS, ids=lambda option: option.name)
@pytest.mark.parametrize("value", TRIED, ids=repr)
def test_the_schema_takes_what_the_option_takes(option: Option, value: Any) -> None:
    job = dataclasses.replace(catalog.WORDCOUNT, options=(option,), finish=None, task=Lazy("nowhere:nothing"))
    given = {option.name: value}
    try:
        job.check_given(job.check_options(given))
        takes = True
    except errors.UsageError:
        takes = False
    assert jsonschema.Draft202012Validator(job.options_schema).is_valid(given) == takes


def test_the_schema_of_each_job_is_a_schema() -> None:
    for job in catalog.BUILT_IN:
        schema = job.options_schema
        jsonschema.Draft202012Validator.check_schema(schema)
        assert orjson.loads(orjson.dumps(schema)) == schema
        required = dict.fromkeys(schema["required"], "m")
        defaults = {name: value["default"] for name, value in schema["properties"].items() if "default" in value}
        jsonschema.validate({**defaults, **required}, schema)
