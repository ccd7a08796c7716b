"""The curl line that `cluster serve` prints, for each kind of request."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cluster.client import examples
from cluster.texts import service_texts
from tasks import Tensor, Tensors

ROWS = "-H 'Content-Type: application/json' -d '[{\"a\":1}]' http://h:1/v1/models/m/predict"
ZEROS = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [0, 0, 0]}]}


@pytest.mark.parametrize(
    ("example", "end"),
    [
        (None, "-H 'Content-Type: image/jpeg' --data-binary @picture.jpg http://h:1/v1/models/m/predict"),
        ([{"a": 1}], ROWS),
        ({}, '$TOKEN" http://h:1/v2/models/m'),
        ({"inputs": []}, "-d '{\"inputs\":[]}' http://h:1/v2/models/m/infer"),
    ],
)
def test_the_curl_line_asks_as_the_model_takes_it(example: Any, end: str) -> None:
    assert service_texts.curl("http://h:1", "m", example, None).endswith(end)


@pytest.mark.parametrize(
    ("parameters", "shape", "expected"),
    [
        ({"tensors": True}, (None, 3), ZEROS),
        ({"tensors": True}, (None, 500), {}),
        ({"tensors": True}, (None, None), {}),
        ({}, (None, 3), None),
    ],
)
def test_a_model_of_tensors_is_asked_for_zeros(parameters: Any, shape: Any, expected: Any) -> None:
    store = SimpleNamespace(
        manifest=lambda model: SimpleNamespace(parameters=parameters, reference="m:1.abc"), fetch=lambda ref: Path("m")
    )
    job = SimpleNamespace(infer_about=lambda model: Tensors((Tensor("x", "float32", shape),), ()))
    assert examples.tensors(cast(Any, store), cast(Any, job), "m") == expected
