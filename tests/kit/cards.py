"""Cards of data, as ``splitters.tables`` makes them, with what a net's file needs."""

from __future__ import annotations

from typing import Any


def card(classes: int = 0, **changes: Any) -> dict[str, Any]:
    """Unscaled arrays with so many classes, called "c0" and on; numbers of mean 0 and std 1 if there is none."""
    return {
        "dtype": "float32",
        "columns": [],
        "scaling": None,
        "classes": [f"c{number}" for number in range(classes)],
        "target_scale": None if classes else {"mean": 0.0, "std": 1.0},
        **changes,
    }
