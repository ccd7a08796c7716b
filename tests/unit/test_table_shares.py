"""A table cut for an ensemble: parts by rows, by sample and by all, and the rows that a stack is fitted on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from splitters import tables
from splitters.tables import cut_shares, shares
from tests.kit.tables import pictures, save, write

Arrays = dict[str, NDArray[Any]]
ROWS = 400


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    """Rows that name themselves: ``a`` is the number of the row, so its place among scaled numbers is it, too."""
    return write(
        tmp_path / "t.csv",
        {"a": [f"{at}.5" for at in range(ROWS)], "y": ["no" if at % 3 else "yes" for at in range(ROWS)]},
    )


def cut(path: Path, **options: Any) -> tuple[dict[str, Any], list[Arrays]]:
    given = {"target": None if path.suffix == ".npz" else "y", **options}
    [about], *chunks = shares.split([path], **given)
    return json.loads(about.data), [tables.arrays(chunk) for chunk in chunks]


def numbers(card: dict[str, Any], encoded: NDArray[Any]) -> list[int]:
    """The rows of the file."""
    [column] = card["columns"]
    return [int(one) for one in np.rint(encoded[:, 0] * column["std"] + column["mean"] - 0.5)]


def test_rows_are_in_one_part_each(numbered: Path) -> None:
    card, shards = cut(numbered, by="rows", parts=4)

    found = [numbers(card, shard["X"]) for shard in shards]
    assert len(set().union(*found)) == sum(map(len, found)) == card["rows"]["train"] == 280
    assert card["shares"] == {"by": "rows", "share": 0.25, "parts": 4, "kinds": ["rf"], "stack_rows": 280}


def test_a_sample_has_its_share_and_no_row_twice(numbered: Path) -> None:
    card, shards = cut(numbered, by="sample", share=0.25, parts=3)

    found = [numbers(card, shard["X"]) for shard in shards]
    assert [len(set(one)) for one in found] == [len(one) for one in found] == [70, 70, 70]
    assert set(found[0]) != set(found[1])


def test_with_all_each_part_is_the_same_bytes(numbered: Path) -> None:
    [_, *chunks] = shares.split([numbered], target="y", by="all", parts=3, kind="rf tree")

    assert len(chunks) == 6
    assert len({(chunk[0].data, chunk[1].data) for chunk in chunks}) == 1
    assert {len(tables.arrays(chunk)["stack_X"]) for chunk in chunks} == {0}


def test_kinds_share_the_parts(numbered: Path) -> None:
    card, shards = cut(numbered, by="rows", parts=3, kind="rf hgb:trees=10")

    assert card["shards"] == 6
    for part in range(3):
        assert numbers(card, shards[part]["X"]) == numbers(card, shards[part + 3]["X"])


@pytest.mark.parametrize("by", shares.BYS)
def test_slices_of_held_out_rows_are_all_of_them_once(numbered: Path, by: str) -> None:
    card, shards = cut(numbered, by=by, parts=3, kind="rf tree")

    taught = {row for shard in shards for row in numbers(card, shard["X"])}
    valid = [row for shard in shards for row in numbers(card, shard["valid_X"])]
    test = [row for shard in shards for row in numbers(card, shard["test_X"])]
    assert len(valid) == len(set(valid)) == 40
    assert len(test) == len(set(test)) == 80
    assert not taught & {*valid, *test}
    assert not {*valid} & {*test}


@pytest.mark.parametrize("by", ["rows", "sample"])
def test_rows_for_a_stack_tell_who_has_them(numbered: Path, by: str) -> None:
    card, shards = cut(numbered, by=by, parts=3, kind="rf tree")

    having = [set(numbers(card, shards[part]["X"])) for part in range(3)]
    stacks = [row for shard in shards for row in numbers(card, shard["stack_X"])]
    assert len(stacks) == len(set(stacks)) == card["shares"]["stack_rows"]
    assert not {*stacks} & {row for shard in shards for row in numbers(card, shard["valid_X"])}
    for shard in shards:
        for row, seen in zip(numbers(card, shard["stack_X"]), shard["stack_seen"], strict=True):
            assert [row in one for one in having] == seen.tolist()
            assert not seen.all()


def test_targets_stay_with_their_rows(numbered: Path) -> None:
    card, shards = cut(numbered, by="sample", parts=2)

    for shard in shards:
        for before in ("", "valid_", "test_", "stack_"):
            rows = numbers(card, shard[f"{before}X"])
            assert [card["classes"][one] for one in shard[f"{before}y"]] == ["no" if row % 3 else "yes" for row in rows]


def test_it_gives_the_same_chunks_again(numbered: Path) -> None:
    first, again, other = (
        [item.data for chunk in shares.split([numbered], target="y", by="sample", seed=seed) for item in chunk]
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_size_decides_what_parts_have(numbered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 280 * 4
    for all_bytes, sample_bytes, by in ((size, 0, "all"), (size - 1, size, "sample"), (0, size - 1, "rows")):
        monkeypatch.setattr(cut_shares, "ALL_BYTES", all_bytes)
        monkeypatch.setattr(cut_shares, "SAMPLE_BYTES", sample_bytes)
        assert cut(numbered)[0]["shares"]["by"] == by
    assert cut(numbered, share=0.3)[0]["shares"] | {"stack_rows": 0} == {
        "by": "sample", "share": 0.3, "parts": 5, "kinds": ["rf"], "stack_rows": 0,
    }  # fmt: skip


def test_a_test_file_holds_the_test_rows(numbered: Path, tmp_path: Path) -> None:
    held = write(tmp_path / "held.csv", {"y": ["yes", "no"] * 10, "a": [f"{at}.5" for at in range(1000, 1020)]})
    card, shards = cut(numbered, by="rows", parts=2, test_file=str(held))

    assert sorted(row for shard in shards for row in numbers(card, shard["test_X"])) == [*range(1000, 1020)]
    assert card["rows"] == {"train": 360, "valid": 40, "test": 20}


def test_a_class_in_one_part_only_is_told(tmp_path: Path) -> None:
    y = ["rare" if at == 3 else "ab"[at % 2] for at in range(100)]
    path = write(tmp_path / "t.csv", {"a": [f"{at}.5" for at in range(100)], "y": y})
    card, _ = cut(path, by="rows", parts=2)

    notes = "\n".join(card["notes"])
    assert "classes with so few rows that none is held out: 'rare'" in notes
    assert "has no row of 'rare': its sub-models never say so" in notes


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"parts": 300}, "280 training rows of 400 cannot be shared by 300 parts: give fewer --parts"),
        ({"by": "none"}, "--by is 'none'; it must be one of auto, rows, sample, all"),
        ({"by": "rows", "share": 0.5}, "--share is for --by sample, and --by is rows"),
        ({"kind": " "}, "name a kind of sub-models with --kind"),
        ({"test": 0.6, "valid": 0.5}, "leave no rows to learn from"),
        ({"target": "z"}, "has no column 'z'"),
    ],
)
def test_options_that_cannot_be_used_are_refused(numbered: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        cut(numbered, **options)


def test_a_part_over_the_limit_says_what_helps(numbered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut_shares, "MAX_ITEM_BYTES", 100)
    for by, helps in (("rows", "more --parts"), ("sample", "a smaller --share"), ("all", "--by sample")):
        with pytest.raises(ValueError, match=f"over the limit of 100: give {helps}"):
            cut(numbered, by=by)


def test_pictures_are_for_the_job_train(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a folder of pictures: use the job train"):
        cut(pictures(tmp_path / "p"))
    with pytest.raises(ValueError, match="has the shape 4x4, and an ensemble takes rows of numbers"):
        cut(save(tmp_path / "a.npz", X=np.zeros((60, 4, 4)), y=np.arange(60) % 2))


def test_numbers_are_scaled_targets(tmp_path: Path) -> None:
    card, shards = cut(save(tmp_path / "a.npz", X=np.arange(120.0).reshape(60, 2), y=np.arange(60.0)), parts=2)

    assert card["task"] == "regression"
    y = np.concatenate([shard["y"] for shard in shards])
    assert y.dtype == np.float32
    assert abs(float(y.mean())) < 1e-6
