"""The inputs of the figures: what a person names, else data that are at hand offline."""

from __future__ import annotations

import sys
from pathlib import Path

from cluster import errors

DIGITS = "the digits of scikit-learn: 1,797 pictures of 8x8, 10 classes"
PICTURES = Path(__file__).parents[3] / "deploy" / "examples" / "images"
"""In a clone; an installed package has none."""


def digits(given: Path | None, folder: Path) -> tuple[Path, str]:
    """The input to train with, and a word for it.

    Args:
        given: That of the user; None: scikit-learn's digits, which it installs with itself.
        folder: Where these are written.

    Raises:
        errors.UsageError: The given one does not exist.
        errors.NotInstalled: None is given, and scikit-learn is not installed.
    """
    if given is not None:
        return _existing(given), given.name
    try:
        import numpy as np
        from sklearn.datasets import load_digits
    except ImportError:
        raise errors.NotInstalled(
            "without INPUT the digits of scikit-learn are taken, and it is not installed: give a table, arrays (.npz)"
            f' or a folder of pictures, or: {sys.executable} -m pip install "cluster[ensemble]"'
        ) from None
    found = load_digits()
    path = folder / "digits.npz"
    np.savez(path, X=(found.images * 15).astype(np.uint8), y=found.target)
    return path, DIGITS


def pictures(given: Path | None) -> tuple[Path, str]:
    """The folder of pictures to read, and a word for it.

    Raises:
        errors.UsageError: There is none.
    """
    if given is not None:
        return _existing(given), given.name
    if not PICTURES.is_dir():
        raise errors.UsageError("give INPUT, a folder of scanned pages: the example pictures are only in a clone")
    return PICTURES, "the example pictures"


def _existing(given: Path) -> Path:
    if not given.exists():
        raise errors.UsageError(f"no such file or folder: {given}")
    return given
