"""Views: the weights as nodes hold them, bit for bit the same as on the machine that coordinates the run.

A whole view is float16. The views after it travel as quantized changes from the view before. The coordinator knows
what nodes make of them, so what a change leaves over is in the next one. (The measurements: a change in 8 bits cost no
accuracy beside float32, and a quarter of the bytes.)

Form: a byte that says how many bits a value has, then what ``codec.encode`` makes of one group of all weights. ``bits``
is 16 or 32 for a whole view; 32 where float16 cannot hold a weight.
"""

from __future__ import annotations

import numpy as np

from aggregators import codec
from aggregators.codec import Floats
from aggregators.layer_groups import BITS, Group


def whole(weights: Floats) -> tuple[bytes, Floats]:
    """Return a whole view as bytes, and as nodes see it: float32 of shape (n,).

    Raises:
        codec.NotEncodable: The weights diverged.
    """
    bits = 16 if float(np.abs(weights).max(initial=0)) <= codec.LARGEST_HALF else 32
    data = _encode(weights, bits)
    return data, see(None, data, whole=True)


def change(view: Floats, weights: Floats, bits: int) -> tuple[bytes, Floats]:
    """Return the change from a view to these weights as bytes, and the new view as nodes see it.

    It is rounded to the nearest: what is left over comes later, so on average nothing is lost.

    Raises:
        codec.NotEncodable: The weights diverged.
    """
    data = _encode(weights - view, bits)
    return data, see(view, data, whole=False)


def size_bytes(values: int, bits: int) -> int:
    """Exact size of a view of so many weights."""
    return 1 + sum(codec.sizes_bytes(_groups(values, bits)))


def see(view: Floats | None, data: bytes, whole: bool) -> Floats:
    """Return the view after one more: float32 of shape (n,), not writeable. ``view`` stays as it is.

    Args:
        view: The one before; not used where the next one is ``whole``.
        data: What ``whole`` or ``change`` gave.
        whole: Whether it was ``whole``.

    Raises:
        codec.BadCode: It is no such view, or none that goes with the one before.
    """
    bits = data[0] if data else 0
    if bits not in ((16, 32) if whole else BITS) or (view is None and not whole):
        raise codec.BadCode(f"a view of {len(data):,} bytes with {bits} bits a weight, whole: {whole}, cannot be read")
    size = (len(data) - 1) * 8 // bits if whole or view is None else len(view)
    seen = np.zeros(size, np.float32) if whole or view is None else view.copy()
    codec.decode_into(seen, [data[1:]], _groups(size, bits))
    seen.flags.writeable = False
    return seen


def _encode(values: Floats, bits: int) -> bytes:
    return bytes([bits]) + codec.encode(values, _groups(len(values), bits))[0]


def _groups(size: int, bits: int) -> tuple[Group, ...]:
    return (Group("view", ((0, size),), bits),)
