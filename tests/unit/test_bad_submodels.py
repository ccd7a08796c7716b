"""Bytes that are no sub-model are refused with a sentence, and never more than that."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregators import submodels
from aggregators.submodels import spec

np = pytest.importorskip("numpy")
pytest.importorskip("sklearn")

from aggregators.submodels import about as abouts  # noqa: E402
from aggregators.submodels import archive, trees  # noqa: E402

KINDS = ["rf:trees=3,depth=4", "hgb:trees=2,leaf=5", "mlp:units=4,epochs=2", "logreg"]
WIDTH = 4


@cache
def packed(kind: str) -> bytes:
    from tasks.ensemble import fit

    draw = np.random.default_rng(0)
    rows = draw.normal(size=(60, WIDTH)).astype(np.float32)
    labels = (rows[:, 0] > 0).astype(int) + (rows[:, 1] > 0.5)
    return submodels.pack(fit.fit(spec.parse(kind), rows, labels, 4, 0))


def arrays_of(data: bytes) -> dict[str, Any]:
    with np.load(io.BytesIO(data), allow_pickle=False) as opened:
        return dict(opened)


def saved(arrays: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def with_about(data: bytes, **changes: Any) -> bytes:
    arrays = arrays_of(data)
    told = {**json.loads(arrays["about"].tobytes()), **changes}
    return saved({**arrays, "about": np.frombuffer(json.dumps(told).encode(), np.uint8)})


def is_refused_or_answers(data: bytes) -> None:
    rows = np.random.default_rng(1).normal(size=(20, WIDTH)).astype(np.float32)
    try:
        model = submodels.unpack(data)
        found = model.scores(rows)
    except ValueError:
        return
    assert np.isfinite(found).all()
    assert found.shape == (20, model.outputs)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None)
@given(at=st.floats(0, 1), byte=st.integers(0, 255), cut=st.floats(0, 1) | st.none())
def test_damaged_bytes_are_refused(kind: str, at: float, byte: int, cut: float | None) -> None:
    data = bytearray(packed(kind))
    data[int(at * (len(data) - 1))] = byte
    is_refused_or_answers(bytes(data if cut is None else data[: int(cut * len(data))]))


@given(data=st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no archive that can be read"):
        submodels.unpack(data)


ODD = st.sampled_from([-(2**31), -2, -1, 0, 1, 2, 7, 2**31 - 1])
ODD_FLOATS = st.sampled_from([0.0, -1.0, 1e-300, 1e19, -1e19, 1e300, float("nan"), float("inf"), float("-inf")])


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None)
@given(draw=st.data())
def test_changed_arrays_are_refused_or_make_another_model(kind: str, draw: st.DataObject) -> None:
    arrays = arrays_of(packed(kind))
    name = draw.draw(st.sampled_from(sorted(set(arrays) - {"about"})))
    array = arrays[name]
    what = draw.draw(st.sampled_from(["value", "short", "long", "flat", "type", "missing", "zeros"]))
    if what == "value":
        wide = array.astype(np.float64 if array.dtype.kind == "f" else np.int64)
        at = draw.draw(st.integers(0, wide.size - 1))
        wide.flat[at] = draw.draw(ODD_FLOATS if array.dtype.kind == "f" else ODD)
        with np.errstate(over="ignore"):
            array = wide.astype(np.float32 if name == "threshold" else wide.dtype)
        array = array.astype(np.int32) if array.dtype.kind == "i" else array
    elif what == "type":
        array = array.astype(draw.draw(st.sampled_from(["f8", "f4", "i4", "i1", "u1", "f2", "i8", "c8", "S3", "?"])))
    else:
        array = {
            "short": array[:-1], "long": np.concatenate([array, array]), "flat": array.reshape(-1, 1),
            "missing": array[:0], "zeros": np.zeros_like(array),
        }[what]  # fmt: skip
    is_refused_or_answers(saved({**arrays, name: array}))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": 2}, "format 2"),
        ({"kind": "svm"}, "kind 'svm'; known are rf"),
        ({"kind": ["rf"]}, "kind"),
        ({"kind": "ridge"}, "ridge is not for classification"),
        ({"width": 0}, "width is 0"),
        ({"width": 2.5}, "width is 2.5"),
        ({"width": True}, "width is True"),
        ({"outputs": 10**9}, "outputs is 1000000000"),
        ({"outputs": 2}, "rising numbers from 0 to 1"),
        ({"seen": [1, 0, 2]}, "rising"),
        ({"seen": [0, 1, 2, 3]}, "should be any x 4"),
        ({"seen": []}, "list of whole numbers"),
        ({"seen": "all"}, "list of whole numbers"),
        ({"seen": None}, "has 1 output"),
        ({"seen": None, "outputs": 1}, "should be any x 1"),
        ({"width": 2}, "asks about a column that rows of 2"),
        ({"more": 1}, "does not name"),
    ],
)
def test_a_wrong_description_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        submodels.unpack(with_about(packed(KINDS[0]), **changes))


def test_a_description_that_is_no_json_is_refused() -> None:
    for told in (b"{", b"[" * 100_000, b"\xff\xfe", b"9" * 5000, b"null"):
        with pytest.raises(ValueError, match="description"):
            submodels.unpack(saved({"about": np.frombuffer(told, np.uint8)}))
    with pytest.raises(ValueError, match="was not made by this program"):
        submodels.unpack(saved({"values": np.zeros(3)}))


@pytest.mark.parametrize(
    ("sizes", "feature"),
    [
        ([3, 3], [0, -1, -1, -1, -1, -1]),  # nobody's children
        ([5], [0, -1, -1, 0, 0]),  # the child of a later node
        ([2], [0, -1]),  # a child is missing
        ([3, 3], [0, 0, -1, -1, -1, -1]),  # a child in another tree
        ([1, 4], [0, -1, -1, 0, -1]),
    ],
)
def test_nodes_that_are_no_tree_are_refused(sizes: list[int], feature: list[int]) -> None:
    asks = sum(each >= 0 for each in feature)
    with pytest.raises(ValueError, match="no tree"):
        trees.Trees(np.array(sizes), np.array(feature), np.zeros(asks, np.float32), WIDTH)


def test_a_tree_that_is_a_chain_is_refused() -> None:
    chain = np.concatenate([[0], np.tile([-1, 0], 1000), [-1, -1]])
    with pytest.raises(ValueError, match="deeper than 512"):
        trees.Trees(np.array([len(chain)]), chain, np.zeros(1001, np.float32), WIDTH)


def member(name: str, content: bytes, claims: int | None = None) -> bytes:
    """An archive of one member, which may claim to be of another size."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr(name, content)
    data = stream.getvalue()
    if claims is None:
        return data
    size = struct.pack("<I", len(content))
    return data.replace(size, struct.pack("<I", claims))


def npy(header: str) -> bytes:
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode()


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 1000000000000000000000000000000)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (True,)}",
        "{'descr': '<f8', 'fortran_order': True, 'shape': (0,)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (0,)}",
        "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (0,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (0,) * 9}",
        "{'descr': '<f8', 'shape': (0,)}",
        "(" * 500,
        "__import__('os').system('true')",
        " " * 2000,
    ],
)
def test_a_wrong_header_of_an_array_is_refused(header: str) -> None:
    with pytest.raises(ValueError, match=r"the array 'values\.npy'"):
        submodels.unpack(member("values.npy", npy(header)))


def test_an_archive_that_unpacks_to_much_more_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 16 times as many"):
        submodels.unpack(member("values.npy", bytes(8 * 2**20)))
    with pytest.raises(ValueError, match="more than 16 times as many"):
        submodels.unpack(member("values.npy", bytes(2**10), claims=2**31))


def test_a_sub_model_that_fills_memory_is_neither_made_nor_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = archive.write(abouts.About("ridge", 3000, 1, None), {"weights0": np.random.default_rng(0).random((3000, 1))})
    monkeypatch.setattr(archive, "MOST_BYTES", 20_000)
    with pytest.raises(ValueError, match=r"unpack to 24,\d+, over the limit of 20,000"):
        submodels.unpack(data)
    with pytest.raises(ValueError, match=r"arrays have 24,\d+ bytes, over the limit of 20,000: make it smaller"):
        archive.write(abouts.About("ridge", 3000, 1, None), {"weights0": np.random.default_rng(0).random((3000, 1))})


def test_arrays_too_many_or_twice_are_refused() -> None:
    with pytest.raises(ValueError, match="65 arrays"):
        submodels.unpack(saved({f"a{at}": np.zeros(1) for at in range(65)}))
    stream = io.BytesIO(packed(KINDS[0]))
    with zipfile.ZipFile(stream, "a") as opened, pytest.warns(UserWarning, match="Duplicate"):
        opened.writestr("leaf.npy", b"")
    with pytest.raises(ValueError, match="same name"):
        submodels.unpack(stream.getvalue())


def test_trees_too_large_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "MOST_NODES", 10)
    with pytest.raises(ValueError, match="the limit is 10: fewer trees, less depth or more rows a leaf"):
        submodels.unpack(packed(KINDS[0]))


def test_weights_that_are_not_finite_are_never_packed() -> None:
    from aggregators.submodels import dense

    described = abouts.About("ridge", 2, 1, None)
    for number, reason in ((np.nan, "infinite or none"), (1e30, "numbers above 1e[+]20")):
        model = dense.Dense(described, {"weights0": np.array([[1.0], [number]]), "bias0": np.zeros(1)})
        with pytest.raises(ValueError, match=reason):
            submodels.pack(model)


def test_large_arrays_that_hardly_shrink_are_read_back() -> None:
    described = abouts.About("ridge", 2, 1, None)
    large = {"weights0": np.zeros((2**20, 1)), "bias0": np.zeros(1)}
    data = archive.write(described._replace(width=2**20), large)
    assert len(data) > 2**22
    assert archive.read(data)[1]["weights0"].shape == (2**20, 1)
