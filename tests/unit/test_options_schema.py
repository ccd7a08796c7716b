"""A job's options can be known without its engine, also as JSON Schema."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from cluster import catalog
from cluster.cli import jobs
from cluster.job import Job, Option

ENGINES = ("cv2", "tesserocr", "pytesseract", "onnxruntime", "numpy", "PIL")
LIST_AND_CHECK = f"""
import sys
from cluster import catalog
for job in catalog.BUILT_IN:
    job.options_schema
    job.check_options({{}})
print([engine for engine in {ENGINES!r} if engine in sys.modules])
"""


def test_listing_jobs_imports_no_engine() -> None:
    told = subprocess.run([sys.executable, "-c", LIST_AND_CHECK], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


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
