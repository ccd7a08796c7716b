"""Laws that every job of the catalog keeps but those in rounds; a new job is tested by being listed."""

from __future__ import annotations

import inspect
import random
from pathlib import Path
from typing import Any

import pytest

from cluster import catalog, wire
from cluster.inputs import sift
from cluster.job import Job, Options
from splitters import Chunk
from tests.kit import inputs


@pytest.fixture(params=list(inputs.TABLE))
def job(request: pytest.FixtureRequest) -> Job:
    found = catalog.get(request.param)
    if found.why_not_here():
        pytest.skip(found.why_not_here())
    return found


@pytest.fixture
def source(job: Job, tmp_path: Path) -> Path:
    return inputs.small(job.name, tmp_path)


@pytest.fixture
def options(job: Job, tmp_path_factory: pytest.TempPathFactory) -> Options:
    """All options, with a model where the job cannot do without."""
    return job.check_options(inputs.options(job.name, tmp_path_factory.mktemp("model")))


def chunks(job: Job, source: Path) -> list[Chunk]:
    options = job.check_options({"chunk_size": inputs.TABLE[job.name].chunk_size})
    return [sift(chunk)[0] for chunk in job.chunks(source, options)]


def values(job: Job, source: Path, options: Options) -> list[Any]:
    return [job.run_task(chunk, options).value for chunk in chunks(job, source)]


def test_every_job_has_a_row_of_inputs() -> None:
    assert list(inputs.TABLE) == [job.name for job in catalog.BUILT_IN if not job.rounds]


def test_it_is_right_on_a_small_input(job: Job, source: Path, options: Options) -> None:
    inputs.check(job.name, job.run_locally(source, **options))


def test_the_input_gives_several_chunks_and_the_same_ones_again(job: Job, source: Path) -> None:
    assert len(chunks(job, source)) > 2
    assert chunks(job, source) == chunks(job, source)


def test_a_part_travels_whole(job: Job, source: Path, options: Options) -> None:
    for value in values(job, source, options):
        assert wire.unpack(wire.pack(value)) == value


def test_a_part_keeps_to_what_its_readers_expect(job: Job, source: Path, options: Options) -> None:
    for chunk in chunks(job, source):
        value = wire.unpack(wire.pack(job.run_task(chunk, options).value, job.max_part_bytes(chunk)))
        job.check_part(value, {item.name for item in chunk})
        job.check_part(job.aggregate([value]))


@pytest.mark.parametrize("odd", [None, 7, [], "text", {"words": b"a\nb", "counts": b"1"}, {"x": None}, {1: {}}])
def test_a_part_of_another_shape_is_refused(job: Job, odd: object) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        job.check_part(odd, {"x"})


def test_a_task_run_twice_gives_an_equal_part(job: Job, source: Path, options: Options) -> None:
    first, second = (without_times(values(job, source, options)) for _ in range(2))
    assert first == second


def without_times(found: Any) -> Any:
    """Values without the seconds that they took, which a record of the job ocr tells."""
    if isinstance(found, dict):
        return {key: without_times(value) for key, value in found.items() if key != "seconds"}
    return [without_times(value) for value in found] if isinstance(found, list) else found


def test_parts_in_any_order_and_grouping_give_the_same(job: Job, source: Path, options: Options) -> None:
    parts = values(job, source, options)
    expected = job.result(parts, options)
    chance = random.Random(1)
    for _ in range(10):
        chance.shuffle(parts)
        at = chance.randrange(len(parts) + 1)
        grouped = [job.aggregate(iter(parts[:at])), job.aggregate(iter(parts[at:]))]
        assert job.result(iter(grouped), options) == expected


def test_no_parts_at_all_give_an_empty_result_and_no_model(job: Job, options: Options) -> None:
    if job.trains:
        with pytest.raises(ValueError, match="learn"):
            job.result([], options)
    else:
        assert job.result([], options) == {}


def test_the_number_of_items_is_known_beforehand(job: Job, source: Path) -> None:
    found = chunks(job, source)
    chunk_size = inputs.TABLE[job.name].chunk_size
    assert job.count_items([source], {"chunk_size": chunk_size}) == sum(item.last for chunk in found for item in chunk)


JUNK: dict[str, dict[str, bytes]] = {
    "all": {"yunet.onnx": b"text", "sface.onnx": b"text", "recogniser.npz": b"text", "bundle.json": b'{"job": "ocr"}'},
    "its description": {"bundle.json": b"[1"},
    "its parameters": {"bundle.json": b'{"parameters": {"detector": "../x", "labels": {}, "size": "x"}}'},
    "its depth": {"bundle.json": b'{"parameters":' * 5000},
    "nothing": {},
}


@pytest.mark.parametrize("job", [job.name for job in catalog.BUILT_IN if job.bundles and not job.rounds], indirect=True)
@pytest.mark.parametrize("what", JUNK)
def test_a_bundle_of_junk_is_refused_with_a_reason_before_the_first_item(job: Job, what: str, tmp_path: Path) -> None:
    assert inspect.signature(job.why_unavailable).parameters["model"].default is None
    for name, data in JUNK[what].items():
        (tmp_path / name).write_bytes(data)
    why = job.why_unavailable(model=str(tmp_path))  # not by `why_not_here`, which tells of what it raises
    assert why or (job.trains and what == "nothing")
