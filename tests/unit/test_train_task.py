"""What of the job train works without PyTorch."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
import tomllib
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from packaging.requirements import Requirement

from tasks import train
from tasks.train import devices, seeds
from tasks.train.batches import Batches
from tests.kit.programs import ROOT


def test_a_node_without_torch_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "torch" else ModuleSpec(name, None)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    assert "PyTorch is not installed" in train.why_unavailable()


@pytest.mark.parametrize(("version", "said"), [("2.5.1+cu121", "PyTorch 2.5.1+cu121 is too old"), ("2.13.0+cpu", "")])
def test_a_node_with_an_old_torch_says_so(version: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: ModuleSpec(name, None))
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    assert train.why_unavailable()[: len(said)] == said
    assert bool(train.why_unavailable()) == bool(said)


def test_the_least_torch_is_that_of_the_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    [torch] = [line for line in extras["train"] if line.startswith("torch")]
    assert Requirement(torch).specifier.contains(str(train.LEAST))
    assert not Requirement(torch).specifier.contains("2.5.1")


def test_asking_whether_a_node_can_train_imports_nothing_heavy() -> None:
    code = "import sys; from tasks import train; train.why_unavailable(); print({'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_random_numbers_depend_on_the_place_alone() -> None:
    assert seeds.generator(0, 1, 2, 3, "batches").random() == seeds.generator(0, 1, 2, 3, "batches").random()
    places: list[tuple[int | str, ...]] = [
        (1, 2, 3, "batches"),
        (1, 3, 2, "batches"),
        (1, 2, 3, "augment"),
        (12, 3, "batches"),
    ]
    assert len({seeds.number(0, *place) for place in places}) == len(places)


def test_an_epoch_has_each_row_once_in_another_order() -> None:
    batches = Batches(rows=12, size=4, seed=1, shard=0)
    epochs = [np.concatenate([batches.at(3 * epoch + index) for index in range(3)]) for epoch in range(2)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(12))] * 2
    assert list(epochs[0]) != list(epochs[1])


def test_a_batch_is_the_same_whichever_came_before() -> None:
    batches = Batches(rows=10, size=3, seed=1, shard=0)
    in_order = [list(batches.at(number)) for number in range(9)]
    assert [list(Batches(10, 3, 1, 0).at(number)) for number in (8, 4)] == [in_order[8], in_order[4]]
    assert list(Batches(10, 3, 1, shard=1).at(4)) != in_order[4]


def test_a_shard_smaller_than_the_batch_is_one_batch() -> None:
    assert sorted(Batches(rows=7, size=32, seed=1, shard=0).at(5)) == list(range(7))


class Gpus:
    """A stand-in for ``torch.cuda``."""

    def __init__(self, count: int) -> None:
        self.count = count

    def is_available(self) -> bool:
        return self.count > 0

    def device_count(self) -> int:
        if self.count > 99:
            raise RuntimeError("driver too old")
        return self.count

    def get_device_properties(self, device: int) -> SimpleNamespace:
        return SimpleNamespace(uuid=f"GPU-{device}")


def test_one_slot_takes_each_gpu_others_the_cpu(tmp_path: Path) -> None:
    assert [devices.take(Gpus(2), tmp_path) for _ in range(4)] == ["cuda:0", "cuda:1", "cpu", "cpu"]


def test_a_gpu_is_free_when_its_process_ends(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from tasks.train import devices
from tests.unit.test_train_task import Gpus
print(devices.take(Gpus(1), Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == "cuda:0"
        assert devices.take(Gpus(1), tmp_path) == "cpu"
        other.kill()
    assert devices.take(Gpus(1), tmp_path) == "cuda:0"


@pytest.mark.parametrize("count", [0, 100])
def test_without_a_gpu_that_works_the_cpu_trains(count: int, tmp_path: Path) -> None:
    assert devices.take(Gpus(count), tmp_path) == "cpu"


def test_a_lock_that_cannot_be_opened_leaves_the_gpu(tmp_path: Path) -> None:
    assert devices.take(Gpus(1), tmp_path / "missing") == "cpu"
