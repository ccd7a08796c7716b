"""Any body is an inference request or is refused with a sentence; numbers come back as they were sent."""

from __future__ import annotations

import contextlib
import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("python_multipart", reason="a gateway needs cluster[serve]")

from cluster.gateway import forms, paths, tensors
from cluster.gateway.problems import Problem
from cluster.services.messages import Request, Tensor

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "data"]), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(["name", "shape", "datatype", "data", "parameters"])
INPUTS = st.dictionaries(FIELDS, VALUES | st.sampled_from(["FP32", "INT8", [1], [1, 2]]), max_size=5)
BODIES = st.fixed_dictionaries(
    {"inputs": st.lists(INPUTS, max_size=2) | VALUES}, optional={"id": VALUES, "parameters": VALUES, "outputs": VALUES}
)


@given(st.binary(max_size=100) | BODIES.map(lambda body: json.dumps(body).encode()), st.none() | st.integers(-1, 120))
def test_any_body_is_read_or_refused_with_a_sentence(body: bytes, header_bytes: int | None) -> None:
    try:
        asked = tensors.read(body, header_bytes)
    except Problem as found:
        problem = found
    else:
        Request.unpack(Request(1, "0" * 16, 1, "tensor", "", asked.data, asked.shapes).pack())
        return
    assert problem.status == 400
    assert problem.message


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_floats_come_back_bit_by_bit(values: list[float]) -> None:
    tensor = {"name": "x", "shape": [len(values)], "datatype": "FP32", "data": values}
    asked = tensors.read(json.dumps({"inputs": [tensor]}).encode())
    assert asked.data == struct.pack(f"<{len(values)}f", *values)
    body, _ = tensors.write("net", None, asked, [Tensor("y", "float32", (len(values),), asked.data)])
    found = json.loads(body)["outputs"][0]["data"]
    assert [math.copysign(1, one) * one for one in found] == [math.copysign(1, one) * one for one in values]


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_any_form_is_read_or_refused_with_a_sentence(body: bytes, content_type: bytes) -> None:
    for kind in (content_type, b"multipart/form-data; boundary=x"):
        with contextlib.suppress(Problem):
            assert forms.parts(body, kind)


@given(st.text(max_size=60) | st.lists(st.sampled_from(["v1", "v2", "models", "a", "versions", "3", ""])).map("/".join))
def test_any_path_means_a_route_or_nothing(path: str) -> None:
    with contextlib.suppress(Problem):
        route: Any = paths.read(path)
        assert route.what in {"", *paths.METHODS}
