"""A model of rows that is served: by JSON, by tensors and from Python it says what the job `predict` says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest

import cluster as api
from cluster import catalog, settings
from cluster.bundles.content import Content
from cluster.stores import Stores
from tests.kit import serve_example
from tests.kit.programs import Worker, cluster
from tests.kit.serving import Gateway, served

np = pytest.importorskip("numpy", reason="NumPy is not installed")
pytest.importorskip("sklearn", reason="scikit-learn is not installed")
COLUMNS = ("height", "width", "petals")


class Flowers(NamedTuple):
    """A served model, and what it is to say of its table."""

    url: str
    gateway: Gateway
    rows: list[dict[str, float]]
    labels: list[str]


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory, broker: str) -> Iterator[Flowers]:
    folder = tmp_path_factory.mktemp("flowers")
    table = serve_example.draw(folder / "flowers.csv", 300)
    made = catalog.get("ensemble").run_locally(table, target="kind", model="flowers", kind="rf:trees=3", parts=2)
    for name, data in made.files.items():
        (folder / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "model" / name).write_bytes(data)
    labels = catalog.get("predict").run_locally(table, model=str(folder / "model"))["label"]
    stores = Stores.connect(settings.load(broker_url=broker))
    stores.models.bundles.push("flowers", Content("predict", made.files, (), made.parameters), "a test")
    rows = [{name: float(row[name]) for name in COLUMNS} for row in serve_example.read(table)]
    token = cluster("token", "new", "test", "--broker", broker).stdout.strip()
    with (
        Worker("one", broker, folder, "-c", "1", "-Q", "predict", CLUSTER_CACHE_DIR=str(folder / "cache")) as worker,
        served("flowers", "--broker", broker, token=token) as gateway,
    ):
        yield Flowers(broker, gateway, rows, labels)
        assert "Traceback" not in worker.text()


def test_rows_are_answered_as_in_a_run(flowers: Flowers) -> None:
    answer = flowers.gateway.ask(json.dumps(flowers.rows).encode(), kind="application/json")
    assert answer.status_code == 200, answer.text
    assert [row["label"] for row in answer.json()["rows"]] == flowers.labels
    assert (answer.json()["version"], answer.json()["missing"]) == (1, {})


def test_columns_are_found_by_name(flowers: Flowers) -> None:
    turned = [dict(reversed(row.items())) for row in flowers.rows[:5]]
    answer = flowers.gateway.ask(json.dumps({"rows": turned}).encode(), kind="application/json")
    assert [row["label"] for row in answer.json()["rows"]] == flowers.labels[:5]
    lacking = [{"height": 1.0}]
    refused = flowers.gateway.ask(json.dumps(lacking).encode(), kind="application/json")
    assert refused.status_code == 422
    assert "width" in refused.text


def test_tensors_are_answered_by_the_protocol_of_kserve(flowers: Flowers) -> None:
    data = [list(row.values()) for row in flowers.rows]
    asked = {"inputs": [{"name": "X", "shape": [len(data), 3], "datatype": "FP64", "data": data}]}
    answer = flowers.gateway.request(
        "POST", "/v2/models/flowers/infer", body=json.dumps(asked).encode(), kind="application/json"
    )
    assert answer.status_code == 200, answer.text
    [output] = answer.json()["outputs"]
    likely = np.array(output["data"]).reshape(output["shape"]).argmax(axis=1)
    assert ["rst"[at] for at in likely] == flowers.labels


def test_python_gets_the_same_answers(flowers: Flowers) -> None:
    X = np.array([list(row.values()) for row in flowers.rows])
    with api.connect(flowers.url) as c:
        service = c.service("flowers")
        answer = service.predict(flowers.rows)
        arrays = service.infer({"X": X})
    assert [row["label"] for row in answer.items["rows"]] == flowers.labels
    assert ["rst"[at] for at in arrays["probabilities"].argmax(axis=1)] == flowers.labels
