"""The script that draws people who do not exist, for tests that need faces."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import pytest

from tests.kit.programs import ROOT

FOLDER = ROOT / "deploy" / "examples"


def script() -> ModuleType:
    """`deploy/examples/draw_faces.py`, imported; without its libraries the test is skipped."""
    pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    pytest.importorskip("numpy", reason="NumPy is not installed")
    sys.path.insert(0, str(FOLDER))  # it imports the module beside it, as scripts do
    try:
        return importlib.import_module("draw_faces")
    finally:
        sys.path.remove(str(FOLDER))
