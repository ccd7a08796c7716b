"""What of the job train works without PyTorch."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec

import pytest

from tasks import train


def test_a_node_without_torch_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "torch" else ModuleSpec(name, None)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    assert "PyTorch is not installed" in train.why_unavailable()


def test_asking_whether_a_node_can_train_imports_nothing_heavy() -> None:
    code = "import sys; from tasks import train; train.why_unavailable(); print({'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
