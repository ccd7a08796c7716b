"""Jobs and the catalog."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from cluster import catalog, errors, names
from cluster.format import Format
from cluster.functions import Lazy
from cluster.job import Job
from cluster.option import Option
from splitters import Chunk
from tasks import Part


def test_options_not_given_have_their_defaults() -> None:
    expected = {
        "lang": "deu", "clean": False, "max_megapixels": 64, "words": False, "text": "skip", "rotate": False,
        "dpi": 300, "pages": None, "password_file": None, "break_signatures": False, "engine": "tesseract",
        "model": None, "chunk_size": 4,
    }  # fmt: skip
    assert catalog.get("ocr").check_options({"lang": "deu"}) == expected


@pytest.mark.parametrize("given", [{"nonsense": 1}, {"lang": 3}, {"max_megapixels": 0}, {"max_megapixels": "9"}])
def test_an_option_that_cannot_be_used_is_an_error(given: dict[str, Any]) -> None:
    with pytest.raises(errors.UsageError):
        catalog.get("ocr").check_options(given)


def test_a_choice_that_there_is_not_names_those_there_are() -> None:
    mode = Option("mode", str, "local", "how", choices=("local", "sync", "async"))
    assert mode.check("sync") == "sync"
    with pytest.raises(errors.UsageError, match=r"^--mode is 'synk'; .* local, sync, async; did you mean sync\?$"):
        mode.check("synk")


def test_a_flag_may_be_a_word_that_python_has_taken() -> None:
    assert Option("from_model", str, None, "", word="from").flag == "--from"


def prepared(prepare: Any) -> Job:
    options = (Option("net", str, "mlp", "a file or a name"), Option("top", int, None, "how many"))
    split = catalog.WORDCOUNT.split
    task = Lazy("nowhere:nothing")
    return Job(name="net", about="", split=split, task=task, aggregate=task, options=options, prepare=prepare)


def test_a_run_has_the_options_that_the_job_prepares() -> None:
    seen = []

    def prepare(given: dict[str, Any]) -> dict[str, Any]:
        seen.append(given)
        return {**given, "top": 7}

    options = prepared(prepare).options_of_run({"net": "cnn", "top": None})
    assert seen == [{"net": "cnn"}]
    assert options == {"net": "cnn", "top": 7, "chunk_size": 8 * 2**20}


def test_what_a_job_prepares_is_checked_like_what_is_given() -> None:
    with pytest.raises(errors.UsageError, match="--top is 'x'"):
        prepared(lambda given: {"top": "x"}).options_of_run({})


@pytest.mark.parametrize(
    ("raised", "told"),
    [(ValueError("they do not go together"), "^they do not go together$"), (OSError(2, "No such file", "a"), "a: No")],
)
def test_options_that_cannot_be_prepared_are_wrong_use(raised: Exception, told: str) -> None:
    def prepare(given: dict[str, Any]) -> dict[str, Any]:
        raise raised

    with pytest.raises(errors.UsageError, match=told):
        prepared(prepare).options_of_run({})


def test_an_option_may_be_for_a_format_alone() -> None:
    def write(parts: Iterable[Any], out: BinaryIO, *, width: int = 1) -> None:
        out.write(b"-" * width)

    width = Option("width", int, 2, "how wide")
    job = dataclasses.replace(catalog.WORDCOUNT, options=(width,), finish=None, formats={"line": Format(write)})
    out = io.BytesIO()
    job.writer("line", job.check_options({"width": 3})).write([], out)
    assert out.getvalue() == b"---"


@pytest.mark.parametrize("name", ["", "-", "-job", "a job", "jöb", "a" * 56, "job\n"])
def test_a_name_that_no_run_could_be_called_by_is_a_mistake_in_the_job(name: str) -> None:
    with pytest.raises(ValueError, match="up to 55"):
        dataclasses.replace(catalog.WORDCOUNT, name=name)


def test_a_run_of_the_longest_name_is_called_by_it() -> None:
    job = dataclasses.replace(catalog.WORDCOUNT, name="a" * names.MAX_JOB_CHARS)
    assert names.is_run(names.new_run(job.name))


OPTIONS: Any = [{}, {"lang": "deu+eng"}, {"lang": "x y;@.é"}, {"model": "office:3.1a2b3c4d"}, {"model": "office"}]
"""And three that are easily misread: a language like a model, a model like none, an option that is empty."""
OPTIONS += [{"lang": "office:3"}, {"model": "Office:3"}, {"lang": ""}]


@pytest.mark.parametrize("job", catalog.BUILT_IN, ids=lambda job: job.name)
@pytest.mark.parametrize("version", ["", "2", "2.1-b"])
@pytest.mark.parametrize("given", OPTIONS, ids=str)
def test_a_capability_tells_what_a_run_needs(job: Job, version: str, given: dict[str, Any]) -> None:
    job = dataclasses.replace(job, version=version)
    options = job.check_options({name: value for name, value in given.items() if name in job.needs})
    capability = names.Capability.parse(job.requirement(options))
    assert str(capability.plain) == job.capability
    needs = job.needs_of(str(capability))
    assert needs in ({}, {name: options[name] or None for name in job.needs})
    assert job.requirement(needs) == str(capability)
    is_version = given == {"model": "office:3.1a2b3c4d"}
    assert list(map(str, capability.models)) == ["office:3.1a2b3c4d"] * (is_version and "model" in job.needs)


def test_a_capability_of_a_model_is_none_of_a_language() -> None:
    with pytest.raises(ValueError, match="is not how the job ocr writes it"):
        catalog.OCR.needs_of("ocr.2@office:3;tesseract;")
    with pytest.raises(ValueError, match="is not how the job faces writes it"):
        catalog.FACES.needs_of("faces.2@office%3A3")


def test_an_option_that_no_part_takes_is_a_mistake_in_the_job() -> None:
    with pytest.raises(ValueError, match="no part has a parameter 'nonsense'"):
        dataclasses.replace(catalog.WORDCOUNT, options=(Option("nonsense", str, "", "reaches nobody"),)).verify()


@pytest.mark.parametrize("job", catalog.BUILT_IN, ids=lambda job: job.name)
def test_the_functions_of_a_row_take_its_options(job: Job) -> None:
    job.verify()


def test_a_job_is_known_where_its_engine_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no_engine.py").write_text("import nothing_of_that_name\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    option = Option("least", int, 1, "", minimum=0)
    job = dataclasses.replace(catalog.WORDCOUNT, task=Lazy("no_engine:look"), finish=None, options=(option,))
    assert job.check_options({})["least"] == 1
    with pytest.raises(ModuleNotFoundError, match="nothing_of_that_name"):
        job.verify()


@pytest.mark.parametrize("path", ["", "module", "module:", ":function", "module:a b", "a:b:c"])
def test_the_name_of_a_function_has_one_form(path: str) -> None:
    with pytest.raises(ValueError, match="module:function"):
        Lazy(path)


@pytest.mark.parametrize("name", ["output", "chunk_size", "lang"])
def test_an_option_name_that_is_taken_is_a_mistake_in_the_job(name: str) -> None:
    def task(chunk: Chunk, *, output: int = 0, chunk_size: int = 0, lang: str = "") -> Part[None]:
        return Part(None)

    options = (Option("lang", str, "", ""), Option(name, str, "", ""))
    with pytest.raises(ValueError, match="is taken"):
        dataclasses.replace(catalog.OCR, task=task, options=options, needs=("lang",), bundles="")


def test_an_option_that_serving_has_is_taken_in_jobs_that_serve() -> None:
    def task(chunk: Chunk, *, replicas: int = 0) -> Part[None]:
        return Part(None)

    given = {"task": task, "options": (Option("replicas", int, 0, ""),), "needs": (), "bundles": ""}
    given["why_unavailable"] = lambda: ""
    dataclasses.replace(catalog.OCR, serves=False, **given)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'replicas' is taken"):
        dataclasses.replace(catalog.OCR, **given)  # type: ignore[arg-type]


def test_a_splitter_without_a_chunk_size_is_a_mistake_in_the_job() -> None:
    with pytest.raises(ValueError, match="chunk_size"):
        dataclasses.replace(catalog.WORDCOUNT, split=lambda source: iter(()))


def test_a_job_that_cannot_tell_whether_it_is_available_is_not() -> None:
    def why_unavailable() -> str:
        raise RuntimeError("no licence")

    job = dataclasses.replace(catalog.WORDCOUNT, why_unavailable=why_unavailable)
    assert "no licence" in job.why_not_here()


def test_items_in_memory_are_not_counted_where_each_may_hold_several() -> None:
    assert [job.name for job in catalog.BUILT_IN if job.cuts_items] == ["ocr", "predict"]


def test_run_locally_gives_what_travelled(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("x")
    job = dataclasses.replace(
        catalog.WORDCOUNT, task=lambda chunk: Part((1, 2)), aggregate=list, finish=None, options=()
    )
    assert job.run_locally(tmp_path) == [[1, 2]]


def test_an_unknown_job_names_those_there_are() -> None:
    with pytest.raises(errors.UnknownJob, match="ocr, wordcount"):
        catalog.get("nonsense")


def test_a_job_of_another_distribution_is_in_the_catalog_and_a_broken_one_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    catalog.installed.forget()
    assert catalog.get("measure").about == "measure files"
    assert "the job broken of cluster_testjobs:NOT_THERE cannot be loaded" in caplog.text


def test_run_locally_leaves_out_what_fails_and_the_outcome_names_it(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("four")
    (tmp_path / "bad.txt").write_text("refuse")
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    job = catalog.get("measure")
    assert job.run_locally(tmp_path) == {"good.txt": "4"}
    assert dict(job.outcome_locally(tmp_path).failures) == {
        "bad.txt": "asked to refuse",
        "gone.txt": "cannot be read: No such file or directory",
    }


def test_a_failure_of_what_is_not_in_the_chunk_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("x")
    part: Part[list[int]] = Part([], {"text.txt": "too short", "another.txt": "too long"})
    job = dataclasses.replace(catalog.WORDCOUNT, task=lambda chunk: part, aggregate=list, finish=None, options=())
    assert job.outcome_locally(tmp_path).failures == {"text.txt": "too short"}


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError, match="nowhere"):
        catalog.get("wordcount").run_locally(tmp_path / "nowhere")


def test_words_are_what_split_gives_on_the_text_decoded_with_errors_replaced(tmp_path: Path) -> None:
    text = "ein Wort \xfc\u2003zwei\x1cdrei\x85vier \ufeffBOM\r\n".encode() + b"\xff\xfe inval\xc3 id\n\xe2\x82\n" * 50
    (tmp_path / "text.txt").write_bytes(text)
    words = text.decode(errors="replace").split()
    expected = {word: words.count(word) for word in words}
    for chunk_size in (1, 7, 64, 10_000):
        assert catalog.get("wordcount").run_locally(tmp_path, chunk_size=chunk_size) == expected
