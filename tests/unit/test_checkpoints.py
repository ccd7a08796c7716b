"""Checkpoints of a training: what is written to a folder, and what if that is full."""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import cluster
from aggregators import nets, training
from aggregators.training import bundle
from cluster import catalog, errors
from cluster.bundles import content, folder
from cluster.client import saving, submission
from cluster.coordinator.checkpoints import Checkpoints
from cluster.rounds import Bound
from tests.kit import softmax
from tests.kit.tables import save

RUN = "train-1a2b3c4d"
BOUND = Bound(catalog.TRAIN, {}, softmax.card())


def state() -> Any:
    """After one round."""
    step = training.begin(softmax.card(), None, net=softmax.NET, steps=5)
    parts = {shard: softmax.part(step.state.view, "0", "train", 0, shard) for shard in range(softmax.SHARDS)}
    return softmax.close(step, softmax.card(), 0, parts).state


def checkpoints(place: Path) -> Checkpoints:
    rows = [("1-0", {"round": 0})]
    stores: Any = SimpleNamespace(ledger=SimpleNamespace(rounds=SimpleNamespace(curve=lambda run: rows)))
    return Checkpoints(place, RUN, stores)


def test_a_checkpoint_is_a_model_with_the_newest_weights(tmp_path: Path) -> None:
    newest = state()
    checkpoints(tmp_path).write(BOUND, newest, 10)

    [written] = tmp_path.iterdir()
    assert written.name == "train-1a2b3c4d-round-0010"
    card = json.loads(softmax.card())
    net = nets.from_json(newest.net)
    assert np.array_equal(bundle.weights(written, net, card), newest.weights)
    given = content.read_folder(written)
    assert (given.job, given.parameters["target"]) == (catalog.TRAIN.bundles, "y")
    assert json.loads((written / "curve.json").read_text()) == [{"round": 0}]


def test_a_checkpoint_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "train-1a2b3c4d-round-0010").mkdir()
    checkpoints(tmp_path).write(BOUND, state(), 10)
    assert [path.name for path in tmp_path.rglob("*")] == ["train-1a2b3c4d-round-0010"]


def _to_full_device(place: Path, *given: Any) -> None:
    (place / "weights.safetensors").symlink_to("/dev/full")
    write(place, *given)


def _without_room(place: Path, *given: Any) -> None:
    (place / "card.json").write_bytes(b"half of")
    raise OSError(errno.ENOSPC, "whatever")


write = folder.write


@pytest.mark.parametrize("full", [_to_full_device, _without_room])
def test_a_full_disk_leaves_no_half_checkpoint_and_is_told(
    full: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if full is _to_full_device and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    monkeypatch.setattr(folder, "write", full)
    with caplog.at_level(logging.WARNING):
        checkpoints(tmp_path).write(BOUND, state(), 10)

    assert list(tmp_path.iterdir()) == []
    [told] = caplog.messages
    assert "train-1a2b3c4d-round-0010 is not written: No space left on device; the run goes on" in told
    monkeypatch.undo()
    checkpoints(tmp_path).write(BOUND, state(), 20)
    assert [path.name for path in tmp_path.iterdir()] == ["train-1a2b3c4d-round-0020"]


def test_a_folder_that_went_away_ends_no_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints(tmp_path / "gone").write(BOUND, state(), 10)
    assert "there is no folder" in caplog.text


def test_a_folder_for_checkpoints_is_made_and_has_ten_rounds_between(tmp_path: Path) -> None:
    place = tmp_path / "a" / "b"
    assert saving.options(catalog.TRAIN, {"seed": 1}, place) == {"seed": 1, "checkpoint": 10}
    assert place.is_dir()
    assert saving.options(catalog.TRAIN, {"checkpoint": 3}, place) == {"checkpoint": 3}
    assert saving.options(catalog.TRAIN, {"seed": 1}, None) == {"seed": 1}


@pytest.mark.parametrize(
    ("job", "given", "place", "told"),
    [
        (catalog.OCR, {}, "here", "ocr has no checkpoints"),
        (catalog.TRAIN, {}, "file/below", "Not a directory"),
        (catalog.TRAIN, {"checkpoint": 0}, "here", "--checkpoint 0 writes nothing"),
        (catalog.TRAIN, {"checkpoint": 3}, None, "--checkpoint is for --save"),
    ],
)
def test_a_folder_that_cannot_have_checkpoints_is_refused(
    job: Any, given: dict[str, Any], place: str | None, told: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.UsageError, match=told):
        saving.options(job, given, None if place is None else tmp_path / place)


def test_a_training_begins_from_a_folder_only_if_it_holds_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = save(tmp_path / "points.npz", X=np.eye(60, 4), y=np.arange(60) % 3)
    options = {"model": "points", "from_model": "./empty"}
    with cluster.local() as client, pytest.raises(errors.UsageError, match=r"there is no folder \./empty"):
        client.prepare("train", options)
    (tmp_path / "empty").mkdir()
    with cluster.local() as client:
        prepared = client.prepare("train", options)
        assert prepared.options["from_model"] == str(tmp_path / "empty")
        with pytest.raises(errors.UsageError, match="the model to train on is none of the job train"):
            prepared.read(source)


def test_a_run_in_the_background_writes_to_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(submission, "spawn", lambda config, run, inputs, log, arguments: given.extend(arguments))
    client: Any = SimpleNamespace(
        config=SimpleNamespace(cache_folder=tmp_path), is_private=False,
        open=lambda *told: SimpleNamespace(id=RUN),
    )  # fmt: skip
    opened = submission.Submission(client, catalog.WORDCOUNT, {"chunk_size": 1}, save=tmp_path / "saved")
    (tmp_path / "a.txt").write_text("a")
    opened.detach([str(tmp_path)], ["--output", "x"])
    assert given == ["--output", "x", "--save", str(tmp_path / "saved")]


def test_who_goes_on_elsewhere_is_told_that_nothing_is_written() -> None:
    status: Any = SimpleNamespace(run=RUN, state="running", options={"checkpoint": 10})
    assert "no checkpoints are written from now on; --save FOLDER" in saving.left_out(catalog.TRAIN, status)
    status.options = {"checkpoint": 0}
    assert saving.left_out(catalog.TRAIN, status) == ""
