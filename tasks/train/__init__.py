"""Train a net on a shard of the data, a few steps a round, with PyTorch."""

from __future__ import annotations

import importlib.util


def why_unavailable() -> str:
    """Say why this machine cannot train, or ""; looks for the libraries without importing them."""
    for name, package in (("torch", "PyTorch"), ("numpy", "NumPy")):
        if importlib.util.find_spec(name) is None:
            return f"{package} is not installed (a CPU build is enough: docs/howto/install.md)"
    return ""
