"""Files that would run when they are read are no data, whatever they are called."""

from __future__ import annotations

import array
import bz2
import collections
import gzip
import io
import json
import lzma
import os
import pickle
import random
import tarfile
import zipfile
import zlib
from typing import Any

import pytest

from cluster.bundles import pickles


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


LARGE = {"weights": array.array("f", range(50_000)), "names": [f"name {n}" for n in range(20_000)]}
VALUES: list[Any] = [
    {"a": 1}, [], None, 7, "text", b"x" * 200_000, [b"x" * 200_000], Evil(), LARGE, collections.OrderedDict(a=1),
    "x" * 200_000,
]  # fmt: skip


SKOPS = b'{"__class__": "call", "__module__": "os", "__loader__": "ReduceNode", "constructor": {"__id__": 1}}'


def npy(description: str, version: int = 1, data: bytes = b"\0" * 64) -> bytes:
    header = f"{{'descr': {description}, 'fortran_order': False, 'shape': (4,), }}\n".encode()
    return b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(2 if version == 1 else 4, "little") + header + data


def archive(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as found:
        for name, data in members.items():
            found.writestr(name.replace("__", "/"), data)
    return out.getvalue()


def problem(data: bytes, name: str = "file.bin") -> str:
    return pickles.problem(name, io.BytesIO(data), len(data))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__}-{value!s:.9}")
def test_a_pickle_is_known_by_its_content(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    assert "is a pickle" in problem(data)
    if value not in (None, 7):
        assert "is a pickle" in problem(data + b"\x93\x00 an array behind it")
    for compress in (gzip.compress, zlib.compress, bz2.compress, lzma.compress):
        assert "is a compressed pickle" in problem(compress(data)), compress


@pytest.mark.parametrize("protocol", [0, 1])
@pytest.mark.parametrize("value", [{"a": 1}, Evil(), LARGE, [1, 2], collections.OrderedDict(a=1)])
def test_a_pickle_without_a_header_is_known_too(value: Any, protocol: int) -> None:
    assert "is a pickle" in problem(pickle.dumps(value, protocol), "labels.txt")


@pytest.mark.parametrize("name", ["a.skops", "a.pkl", "a.PICKLE", "a.joblib", "a.pt", "deep/a.pth", "a.dill"])
def test_a_pickle_is_known_by_its_name(name: str) -> None:
    assert "named as a pickle" in problem(b"harmless", name)


@pytest.mark.parametrize("name", ["a.py", "a.so", "liba.so.1.2", "a.dll", "a.exe", "run.sh", "A.WHL"])
def test_a_program_is_known_by_its_name(name: str) -> None:
    assert "named as a program" in problem(b"harmless", name)


@pytest.mark.parametrize(
    "data",
    [
        b"\x7fELF\x02\x01",
        b"#!/bin/sh\n",
        b"MZ" + b"\0" * 58 + (64).to_bytes(4, "little") + b"PE\0\0",
        b"\xcf\xfa\xed\xfe",
    ],
)
def test_a_program_is_known_by_its_content(data: bytes) -> None:
    assert "is a program" in problem(data)


@pytest.mark.parametrize("description", ["'|O'", "'O'", "[('a', '<f4'), ('b', '|O')]", "[('a', [('b', 'O', (2,))])]"])
@pytest.mark.parametrize("version", [1, 2, 3])
def test_an_array_of_objects_is_a_pickle(description: str, version: int) -> None:
    data = npy(description, version)
    assert "holds an array of objects" in problem(data, "a.npy")
    assert "has the member 'a.npy', which holds an array of objects" in problem(archive(**{"a.npy": data}), "a.npz")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (archive(**{"archive__data.pkl": b"x", "archive__data__0": b"x"}), "a model of PyTorch's"),
        (archive(**{"schema.json": SKOPS, "0.npy": npy("'<f4'")}), "a model of skops's"),
        (archive(**{"x": b"x", "deep__schema.json": SKOPS.replace(b"_", b"\\u005F")}), "a model of skops's"),
        (archive(**{"schema.json": SKOPS.decode().encode("utf-16")}), "a model of skops's"),
        (archive(**{"model.bin": pickle.dumps(LARGE)}), "which is a pickle"),
        (archive(**{"code.py": b"x = 1"}), "named as a program"),
        (archive(**{"inner.zip": archive(a=b"x")}), "cannot be looked into"),
        (b"\0" * 100 + archive(**{"data.pkl": b"x"}), "a model of PyTorch's"),
        (archive(a=b"x" * 100)[:-30], "cannot be looked into"),
        (npy("'<f4'")[:20], "header cannot be read"),
        (npy("__import__('os')"), "header cannot be read"),
    ],
)
def test_what_lies_deeper_is_found(data: bytes, says: str) -> None:
    assert says in problem(data)


def test_a_tar_is_refused() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as found:
        found.addfile(tarfile.TarInfo("a"))
    assert "push the files in it" in problem(out.getvalue())
    assert "push the files in it" in problem(gzip.compress(out.getvalue(), mtime=0))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"x", b".", b"N.", b"0" * 1000, b"cat\ndog\n", b"(cat)\n", b"I am text.\n", b"NNNN" * 50_000,
        json.dumps({"a": [1, 2]}).encode(), b'<?xml version="1.0"?><cascade/>', b"\x80", b"\x80\x02", b"\x80\x04data",
        b"\x08\x07\x12\x07pytorch\x1a\x032.1:\x80\x02",  # ONNX
        b"\x89HDF\r\n\x1a\n" + b"\0" * 100, npy("'<f4'"), npy("[('a', '<f4'), ('b', '<i8', (2,))]"),
        archive(**{"a.npy": npy("'<f4'"), "b.npy": npy("'<U7'")}), archive(**{"config.json": b"{}"}),
        gzip.compress(b"text", mtime=0), zlib.compress(b"cos\nsystem\n"), b"x" * 100_000, bytes(range(256)) * 500,
    ],
    ids=lambda data: repr(data[:8]),
)  # fmt: skip
def test_data_is_let_through(data: bytes) -> None:
    assert problem(data) == ""


def squeezed(**sizes: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as found:
        for name, size in sizes.items():
            found.writestr(f"{name}.npy", npy("'<f4'") + bytes(size))
    return out.getvalue()


def test_an_archive_that_grows_beyond_all_measure_is_refused() -> None:
    assert "unpacks to 70,000" in problem(squeezed(a=40_000_000, b=30_000_000), "a.npz")
    assert problem(squeezed(a=40_000_000), "a.npz") == ""  # no harm in that much


def test_members_that_share_their_bytes_count_each() -> None:
    data = archive(**{"a.npy": npy("'<f4'", data=bytes(2**20))})
    entry = data[data.index(b"PK\1\2") : data.index(b"PK\5\6")]
    many = 100
    end = bytearray(data[data.index(b"PK\5\6") :])
    end[8:16] = many.to_bytes(2, "little") * 2 + (many * len(entry)).to_bytes(4, "little")
    assert "unpacks to 104," in problem(data[: data.index(b"PK\1\2")] + many * entry + end, "a.npz")


def test_numbers_are_let_through_whatever_they_are() -> None:
    dice = random.Random(5)
    for _ in range(2000):
        assert problem(dice.randbytes(200)) == ""
        assert problem(b"\x80" + bytes([dice.randint(2, 5)]) + dice.randbytes(200)) == ""


def test_a_schema_that_names_no_loaders_is_data() -> None:
    assert problem(archive(**{"schema.json": b'{"columns": ["a"]}', "0.npy": npy("'<f4'")}), "table.zip") == ""
