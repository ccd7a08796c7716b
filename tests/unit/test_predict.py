"""The job predict: what a model says of rows, in the order of the input, in every format."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cluster import catalog, errors
from splitters import Item
from splitters.items import Items
from tests.kit import predict_models
from tests.kit.predict_models import ANSWERS, CLASSES, ROWS

np = pytest.importorskip("numpy")
pytest.importorskip("safetensors")

from aggregators import predictions, predictor  # noqa: E402 - they need NumPy
from splitters.tables import parquet_files  # noqa: E402
from tasks import predict  # noqa: E402
from tasks.predict import tensors  # noqa: E402

JOB = catalog.get("predict")
TABLE = predict_models.csv(ROWS)


@pytest.fixture
def model(tmp_path: Path) -> str:
    return predict_models.write(tmp_path / "model")


def given(text: str | bytes, name: str = "t.csv") -> Items:
    data = text.encode() if isinstance(text, str) else text
    return Items(lambda: iter([Item(name, data)]))


def done(model: str, text: str | bytes = TABLE, name: str = "t.csv", size: int = 2, **options: Any) -> Any:
    """The parts' values, and the failures."""
    checked = JOB.check_options({"model": model, "chunk_size": size, **options})
    parts = [JOB.run_task(chunk, checked) for chunk in JOB.chunks(given(text, name), checked)]
    for part in parts:
        JOB.check_part(part.value)
    return [part.value for part in parts], {name: why for part in parts for name, why in part.failures.items()}


def columns(model: str, *args: Any, **options: Any) -> Mapping[str, Any]:
    return predictions.finish(predictions.join(done(model, *args, **options)[0]))


def written(name: str, parts: Any) -> bytes:
    out = io.BytesIO()
    JOB.writer(name, {}).write(iter(parts), out)
    return out.getvalue()


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_answers_stand_in_the_order_of_the_input_however_it_is_cut(model: str, size: int) -> None:
    assert columns(model, size=size) == {"row": list(range(len(ROWS))), "label": list(ANSWERS)}


def test_columns_may_stand_in_another_order(model: str) -> None:
    turned = predict_models.csv((reversed(row) for row in ROWS), "colour,size,name")
    assert columns(model, turned) == columns(model)


def test_json_and_arrays_say_what_csv_says(model: str) -> None:
    objects = [{"size": float(size) if size else None, "colour": colour} for _, size, colour in ROWS]
    out = io.BytesIO()
    np.savez(out, size=np.array([row["size"] or np.nan for row in objects]), colour=np.array([row[2] for row in ROWS]))
    expected = columns(model)
    assert columns(model, json.dumps(objects), "t.json") == expected
    assert columns(model, "\n".join(map(json.dumps, objects)), "t.jsonl") == expected
    assert columns(model, out.getvalue(), "t.npz") == expected


def test_probabilities_are_those_of_the_net_and_sum_to_one(model: str) -> None:
    found = columns(model, probabilities=True)
    shares = np.array([found[f"probability:{name}"] for name in CLASSES]).T
    assert np.allclose(shares.sum(axis=1), 1, atol=2e-6)
    assert [CLASSES[at] for at in shares.argmax(axis=1)] == list(ANSWERS)
    first = np.array([4 + 0.5, -4 - 0.5, -2])  # size 1 is -2 standard deviations
    assert np.allclose(shares[0], np.exp(first) / np.exp(first).sum(), atol=1e-6)


def test_kept_columns_stand_beside_as_they_are_in_the_file(model: str) -> None:
    found = columns(model, predict_models.csv([("=a", "01.50", "red")]), keep="name, size")
    assert (found["name"], found["size"], found["label"]) == (["=a"], ["01.50"], ["low"])
    _, failures = done(model, keep="age")
    assert (
        "--keep names 'age', which is no column of the input (it has: name, size, colour)" in failures["t.csv rows 0-1"]
    )
    assert columns(model, keep="age")["row"] == list(range(len(ROWS)))


@pytest.mark.parametrize(("keep", "why"), [("id,row", "cannot keep 'row'"), ("a, a", "names 'a' twice")])
def test_columns_that_cannot_be_kept_are_refused_at_once(keep: str, why: str) -> None:
    with pytest.raises(errors.UsageError, match=why):
        JOB.options_of_run({"model": "letters", "keep": keep})


def test_a_format_whose_library_is_missing_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(errors.UsageError, match=r"parquet needs pyarrow.*pip install 'cluster\[parquet\]'"):
        JOB.writer("parquet", {})
    assert JOB.writer("csv", {})


def test_a_row_with_a_text_for_a_number_is_named_and_the_others_are_answered(model: str) -> None:
    rows = [("a", "1", "red"), ("b", "abc", "red"), ("c", "3", "blue")]
    values, failures = done(model, predict_models.csv(rows) + "d,4\n", probabilities=True)
    assert failures == {
        "t.csv rows 0-1": "row 1: 'size' has 'abc', which is no number",
        "t.csv rows 2-3": "row 3: it has 2 fields, and the header has 3",
    }
    found = predictions.finish(predictions.join(values))
    assert found["label"] == ["low", None, "=blue", None]
    assert found["probability:low"][1] is None


def test_many_rows_that_cannot_be_read_are_counted(model: str) -> None:
    _, failures = done(model, predict_models.csv([("a", "x", "red")] * 50), size=50)
    assert failures["t.csv rows 0-49"].count("row ") == predict.MOST_NAMED
    assert failures["t.csv rows 0-49"].endswith("; and 45 more rows")


def test_a_missing_column_is_named_and_rows_keep_their_number(model: str) -> None:
    values, failures = done(model, "name,colour\na,red\nb,red\n")
    assert "no column 'size' (it has: name, colour)" in failures["t.csv rows 0-1"]
    assert predictions.finish(predictions.join(values)) == {"row": [0, 1]}


def test_a_table_without_rows_gives_none(model: str) -> None:
    values, failures = done(model, "name,size,colour\n", probabilities=True)
    assert not failures
    assert written("csv", values) == f"row,label,{','.join(f'probability:{name}' for name in CLASSES)}\n".encode()
    assert written("json", values) == b"[]\n"


def test_a_lost_block_leaves_its_rows_empty(model: str) -> None:
    values, _ = done(model, size=2)
    assert predictions.finish(predictions.join([values[0], values[2]]))["label"] == [
        *ANSWERS[:2],
        None,
        None,
        *ANSWERS[4:],
    ]
    assert predictions.finish(predictions.join([values[2]]))["row"] == list(range(6))


def test_a_lost_block_at_the_end_leaves_its_rows_empty_too(model: str) -> None:
    values, _ = done(model, size=2, probabilities=True)
    lost = predictions.absent(["t.csv rows 2-3", "t.csv rows 4-5", "t.csv"])
    for parts in ([*values[:2], lost], [values[0], lost]):
        found = predictions.finish(predictions.join(parts))
        assert found["row"] == [0, 1, 2, 3, 4, 5]
        assert found["label"] == [*ANSWERS[: 2 * len(parts) - 2], *[None] * (8 - 2 * len(parts))]
        table = list(csv.DictReader(io.StringIO(written("csv", parts).decode())))
        assert [row["row"] for row in table] == list("012345")

    assert predictions.finish(predictions.join([*values, predictions.absent(["t.csv rows 0-1"])])) == columns(
        model, probabilities=True
    )
    assert predictions.finish(predictions.join([predictions.absent(["t.csv rows 0-2"])])) == {"row": [0, 1, 2]}
    assert predictions.absent(["a.png"]) == {}


def test_every_format_tells_the_same(model: str) -> None:
    rows = [(f"={row[0]}", *row[1:]) for row in ROWS]
    rows[1] = ("b", "abc", "red")
    values, _ = done(model, predict_models.csv(rows), probabilities=True, keep="name")
    labels = [answer if at != 1 else None for at, answer in enumerate(ANSWERS)]
    listed = json.loads(written("json", values))
    assert [row["label"] for row in listed] == labels
    assert [json.loads(line) for line in written("jsonl", values).splitlines()] == listed
    table = list(csv.DictReader(io.StringIO(written("csv", values).decode())))
    assert [row["label"] for row in table] == [f"'{one}" if one == "=blue" else one or "" for one in labels]
    assert [row["name"] for row in table] == ["'=a", "b", "'=c", "'=d", "'=e", "'=f"]
    assert [float(row["probability:low"] or "nan") for row in table] == pytest.approx(
        [row["probability:low"] if row["label"] else np.nan for row in listed], nan_ok=True
    )
    arrays = np.load(io.BytesIO(written("npz", values)), allow_pickle=False)
    assert arrays["label"].tolist() == [one or "" for one in labels]
    assert arrays["probabilities"].shape == (6, 3)
    assert arrays["classes"].tolist() == list(CLASSES)
    assert arrays["row"].tolist() == list(range(6))
    parquet = pytest.importorskip("pyarrow.parquet")
    found = parquet.read_table(io.BytesIO(written("parquet", values))).to_pylist()
    assert found == listed


def test_nothing_at_all_is_written_as_nothing() -> None:
    assert (written("json", []), written("jsonl", []), written("csv", [])) == (b"[]\n", b"", b"")


def test_a_model_of_numbers_gives_them_in_the_unit_of_the_target(tmp_path: Path) -> None:
    told = predict_models.card(
        task="regression", classes=[], outputs=1, target_scale={"mean": 100.0, "std": 10.0},
        columns=[{"name": "size", "kind": "number", "mean": 5.0, "std": 2.0}], input_shape=[1],
    )  # fmt: skip
    folder = predict_models.write(tmp_path / "it", told, (np.array([[2.0]]), np.array([1.0])))
    assert columns(folder, "size\n7\n3\n\nx\n") == {"row": [0, 1, 2], "value": [130.0, 90.0, None]}
    assert tensors.infer({"X": np.array([[7.0], [3.0]])}, folder)["values"].tolist() == [[130.0], [90.0]]


@pytest.mark.parametrize("prefer_onnx", [False, True])
def test_both_engines_give_the_same_scores(model: str, prefer_onnx: bool) -> None:
    if prefer_onnx:
        pytest.importorskip("onnxruntime")
    X = np.random.default_rng(0).random((50, 4), np.float32)
    found = predictor.load(Path(model), prefer_onnx=prefer_onnx).scores(X)
    logits = X.astype(float) @ np.array([[-2, 0, 0, 0], [2, 0, 0, 0], [0, 9, 0, 0]]).T + [0.5, -0.5, -2]
    assert np.allclose(found, np.exp(logits) / np.exp(logits).sum(1, keepdims=True), atol=1e-6)
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-12
    assert predictor.load(Path(model), prefer_onnx=prefer_onnx).scores(X[:0]).shape == (0, 3)


def test_a_row_that_is_asked_for_by_itself_gets_plain_values(model: str) -> None:
    part = predict.predict(
        [Item("rows", b'[{"size": 9, "colour": "red"}, {"size": "x", "colour": "red"}]')], model=model
    )
    assert part.value == {"rows": {"start": 0, "rows": 2, "values": [{"label": "high"}, {"label": None}]}}
    assert part.failures == {"rows": "row 1: 'size' has 'x', which is no number"}
    made_up = predict.made_up(model)
    assert not predict.predict([made_up], model=model).failures


def test_tensors_of_a_table_have_a_number_for_each_column(model: str) -> None:
    about = tensors.about(model)
    assert about.inputs == (("X", "float64", (None, 2)),)
    assert about.outputs == (("probabilities", "float32", (None, 3)),)
    found = tensors.infer({"X": np.array([[9, 1], [3, 0]])}, model)["probabilities"]
    assert [CLASSES[at] for at in found.argmax(axis=1)] == ["high", "=blue"]
    for odd, why in (({"Y": np.zeros((1, 2))}, "takes the input X, and not Y"), ({"X": np.array(1)}, "is one number")):
        with pytest.raises(ValueError, match=why):
            tensors.infer(odd, model)


def pictures_model(folder: Path) -> str:
    told = predict_models.card(
        source="pictures", columns=[], classes=["dark", "light"], outputs=2, input_shape=[1, 2, 2], dtype="uint8",
        picture={"width": 2, "height": 2, "grey": True}, scaling={"axis": 1, "mean": [128.0], "std": [64.0]},
    )  # fmt: skip
    return predict_models.write(folder, told, (np.array([[-1.0] * 4, [1.0] * 4]), np.zeros(2)))


def test_pictures_are_answered_by_name_and_bad_ones_named(tmp_path: Path) -> None:
    Image = pytest.importorskip("PIL.Image")
    folder = tmp_path / "in"
    folder.mkdir()
    for name, shade in (("a.png", 0), ("b.png", 255), ("c.png", 9)):
        Image.new("L", (8, 8), shade).save(folder / name)
    (folder / "d.png").write_bytes(b"none")
    model = pictures_model(tmp_path / "model")
    assert not JOB.why_not_here({"model": model})
    options = JOB.check_options({"model": model})
    parts = [JOB.run_task(chunk, options) for chunk in JOB.chunks(folder, options)]
    found = JOB.result([part.value for part in parts], options)
    assert found == {"item": ["a.png", "b.png", "c.png"], "label": ["dark", "light", "dark"]}
    assert list(parts[-1].failures) == ["d.png"]
    assert predict.predict([predict.made_up(model)], model=model).failures == {}


def test_pictures_for_a_model_of_tables_are_refused(model: str) -> None:
    part = predict.predict([Item("a.png", b"\x89PNG\r\n\x1a\n")], model=model)
    assert part.failures == {"a.png": "the model takes the columns 'size', 'colour', and no pictures"}


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("card.json", b"", "card.json is no JSON"), ("card.json", b"[]", "card.json is damaged"),
        ("net.json", b"{}", "net is damaged"), ("weights.safetensors", b"x", "net is damaged"),
        ("card.json", json.dumps(predict_models.card(input_shape=[9])).encode(), "do not belong together"),
    ],
)  # fmt: skip
def test_a_damaged_model_is_told_before_the_first_row(model: str, name: str, data: bytes, why: str) -> None:
    (Path(model) / name).write_bytes(data)
    assert why in predict.why_unavailable(model=model)
    assert why in predict.unusable(model)
    with pytest.raises(ValueError, match=why):
        predict.predict([], model=model)


def test_a_run_needs_a_model() -> None:
    with pytest.raises(errors.UsageError, match="needs --model"):
        JOB.check_given({})
    with pytest.raises(ValueError, match="name one with --model"):
        predict.predict([])


@pytest.mark.parametrize(
    "odd",
    [
        {"x": {"start": -1, "rows": 1}}, {"x": {"start": 0, "rows": 2, "values": [{"label": "a"}]}},
        {"x": {"start": 0, "rows": 1, "columns": [{"name": "label", "codes": b"\x05\0\0\0", "of": ["a"]}]}},
        {"x": {"start": 0, "rows": 2, "columns": [{"name": "value", "floats": bytes(8)}]}},
        {"x": {"start": 0, "rows": 1, "columns": [{"name": "kept", "texts": [7]}]}},
        {"x rows 5-6": {"start": 4, "rows": 2, "columns": []}}, {"x": {"start": 0, "rows": 2**31 - 1, "columns": []}},
        {"x rows 5-6": {"start": 5, "rows": 10**9, "columns": []}}, {"x": {"start": 2**61, "rows": 0, "columns": []}},
        {"x": {"label": ["a"]}}, {"x": {"start": "0", "rows": 1}}, {"x": {"start": 0, "rows": 1, "columns": [{}]}},
    ],
)  # fmt: skip
def test_a_part_that_is_not_what_the_task_gives_is_refused(odd: Any) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        JOB.check_part(odd, odd.keys())


def test_long_numbers_keep_nine_digits() -> None:
    given_numbers = np.array([[123456789.123], [-1e-30 / 3], [0.0], [np.nan], [1e300]])
    [column] = predictions.packed(given_numbers, [], {}, probabilities=False)
    assert np.frombuffer(column["floats"]).tolist()[:3] == [123456789.0, pytest.approx(-3.33333333e-31, rel=1e-14), 0.0]


def test_rows_that_are_missing_are_told_of_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "BLANK_ROWS", 4)
    [label] = predictions.packed(np.eye(2), ["a", "b"], {}, probabilities=False)
    _, tables = predictions.read([{"x rows 9-10": {"start": 9, "rows": 2, "columns": [label]}}])
    found = [(list(table.ids), table.columns["label"]) for table in tables]
    assert found == [
        ([0, 1, 2, 3], [None] * 4), ([4, 5, 6, 7], [None] * 4), ([8], [None]), ([9, 10], ["a", "b"]),
    ]  # fmt: skip


def block_of(start: int, ids: Any) -> dict[str, Any]:
    """Two rows with a column that was kept; none that could be read if there are no ``ids``."""
    columns = [] if ids is None else predictions.packed(np.array([[0.5], [1.5]]), [], {"id": ids}, probabilities=False)
    return {f"t rows {start}-{start + 1}": {"start": start, "rows": 2, "columns": columns}}


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ([[7, 8], None], [7, 8, None, None]), ([None, [7, 8]], [None, None, 7, 8]), ([[7, 8]], [7, 8]),
        ([[7, 8], [9.0, np.nan]], [7, 8, 9, None]), ([["x", "y"], [7, 8]], ["x", "y", "7", "8"]),
    ],
)  # fmt: skip
def test_binary_formats_hold_blocks_of_other_kinds(blocks: list[Any], expected: list[Any]) -> None:
    held = [None if ids is None else ids if isinstance(ids[0], str) else np.array(ids) for ids in blocks]
    parts = [block_of(2 * at, ids) for at, ids in enumerate(held)]
    values = [value for ids in held for value in ([0.5, 1.5] if ids is not None else [None, None])]
    with np.load(io.BytesIO(written("npz", parts))) as found:
        plain = [None if value != value else value for value in found["id"].tolist()]
        assert (plain, found["row"].tolist()) == (expected, list(range(2 * len(blocks))))
        assert [None if value != value else value for value in found["value"].tolist()] == values
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(io.BytesIO(written("parquet", parts))).to_pydict()
    assert (table["id"], table["value"]) == (expected, values)


def test_long_whole_numbers_of_parquet_keep_their_digits_beside_missing_ones(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    long = [2**53 + 1, None, 7, 8, -5, 2**63 - 1]
    table = {"long": pa.array(long, pa.int64()), "short": pa.array([1, None, 3, 4, 5, 6], pa.int64())}
    parquet.write_table(pa.table(table), tmp_path / "a.parquet")
    blocks = [*parquet_files.blocks(tmp_path / "a.parquet", "a", 2)]
    assert [text for block in blocks for text in block["long"]] == ["" if one is None else str(one) for one in long]
    assert all(isinstance(block["short"], np.ndarray) for block in blocks)


def test_parquet_does_not_cut_off_decimals() -> None:
    pytest.importorskip("pyarrow")
    parts = [block_of(0, np.array([7, 8])), block_of(2, np.array([7.5, 8]))]
    with pytest.raises(ValueError, match=r"'id' begins with numbers of the type int64, and 7\.5 is none"):
        written("parquet", parts)
    with np.load(io.BytesIO(written("npz", parts))) as found:
        assert found["id"].tolist() == [7, 8, 7.5, 8]


@pytest.mark.parametrize("number", ["1e300", "-1e39"])
def test_a_number_that_no_model_can_reckon_with_is_named(model: str, number: str) -> None:
    rows = [("a", "1", "red"), ("b", number, "red")]
    values, failures = done(model, predict_models.csv(rows))
    assert failures == {"t.csv rows 0-1": f"row 1: 'size' is {float(number):g}, which is too large"}
    assert predictions.finish(predictions.join(values))["label"] == ["low", None]
    with pytest.raises(ValueError, match=r"row 0: 'size' is .*, which is too large"):
        tensors.infer({"X": np.array([[float(number), 0]])}, model)
