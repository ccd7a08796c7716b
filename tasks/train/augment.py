"""Small changes to pictures that do not change what is on them; each batch is changed in another way."""

from __future__ import annotations

import numpy as np
import torch

SHIFT_SHARE = 8
"""Pictures are shifted by up to an eighth of their sides, as 4 of 32 pixels in He et al., "Deep Residual Learning",
2016."""
KINDS = ("flip", "shift")


def kinds(text: str) -> frozenset[str]:
    """Return the kinds that an option names: "none", or some of ``KINDS`` with commas.

    Raises:
        ValueError: It names another one.
    """
    if text == "none":
        return frozenset()
    found = frozenset(text.split(","))
    if odd := sorted(found - set(KINDS)):
        raise ValueError(f"--augment is {text!r}; {odd[0]!r} is none of {', '.join(KINDS)}, none")
    return found


def change(pictures: torch.Tensor, which: frozenset[str], random: np.random.Generator) -> torch.Tensor:
    """Change float pictures of shape (rows, channels, height, width), whose mean is 0; the originals stay as they are.

    "flip" mirrors half of them. "shift" moves each by up to an eighth of its sides; what comes in is 0.
    """
    if "flip" in which:
        mirrored = torch.from_numpy(random.random(len(pictures)) < 0.5).to(pictures.device)
        pictures = torch.where(mirrored[:, None, None, None], pictures.flip(3), pictures)
    if "shift" in which:
        pictures = _shifted(pictures, random)
    return pictures


def _shifted(pictures: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    rows, channels, height, width = pictures.shape
    down, right = height // SHIFT_SHARE, width // SHIFT_SHARE
    padded = torch.nn.functional.pad(pictures, (right, right, down, down))
    top = torch.from_numpy(random.integers(0, 2 * down + 1, rows)).to(pictures.device)
    left = torch.from_numpy(random.integers(0, 2 * right + 1, rows)).to(pictures.device)
    row = torch.arange(rows, device=pictures.device)[:, None, None, None]
    channel = torch.arange(channels, device=pictures.device)[None, :, None, None]
    y = top[:, None, None, None] + torch.arange(height, device=pictures.device)[None, None, :, None]
    x = left[:, None, None, None] + torch.arange(width, device=pictures.device)[None, None, None, :]
    return padded[row, channel, y, x]
