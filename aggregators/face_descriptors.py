"""A face's descriptor: its features in so few bytes that they travel beside its box, as text.

Of features of 20,208 numbers each is added to one of 512 sums or taken from it (a count sketch; Charikar et al., 2002):
differences between faces keep their length to about a tenth. Features of a trained network are few; they are rounded.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Features = npt.NDArray[Any]
    Numbers = npt.NDArray[np.int8]

SUMS = 512
STEP = 8
"""A step of a descriptor in a sum of features. The sums of portraits stay below 640."""
UNIT = 508
"""Steps in a length of 1, of features of a trained network: of 128 numbers none reaches a quarter."""
MOST_CHARS = 1024
FORM = re.compile(r"(discriminant|cosine)-([0-9a-f]{8}):([A-Za-z0-9+/]+={0,2})")


class BadDescriptor(ValueError):
    """A text is no descriptor."""


class Kind(NamedTuple):
    """What must be equal in two descriptors that are compared."""

    compare: str
    """``discriminant`` or ``cosine``: how the features compare."""
    engine: str
    """The first 8 hex digits of the SHA-256 of the engine's id."""


def describe(features: Features, engine: str, compare: str) -> str:
    """The descriptor of a face, as text: ``discriminant-1a2b3c4d:…``, 706 characters; of SFace 192.

    Args:
        features: (d,).
        engine: The id of the engine that made them.
        compare: How they compare.
    """
    kind = kind_of(engine, compare)
    return f"{kind.compare}-{kind.engine}:{base64.b64encode(numbers(features[None], compare)[0].tobytes()).decode()}"


def kind_of(engine: str, compare: str) -> Kind:
    """The kind of the descriptors of an engine."""
    return Kind(compare, hashlib.sha256(engine.encode()).hexdigest()[:8])


def numbers(features: Features, compare: str) -> Numbers:
    """(n, d) features -> (n, k) descriptors. Bytes are summed exactly, so all machines agree."""
    import numpy as np

    steps = sums(features) / STEP if compare == "discriminant" else features.astype(np.float64) * UNIT
    return np.clip(np.rint(steps), -127, 127).astype(np.int8)


def sums(features: Features) -> Any:
    """(n, d) -> (n, SUMS), as floating numbers, without loss of those of ``|u1``."""
    import numpy as np

    places, signs = _places(features.shape[1])
    return np.array([np.bincount(places, row * signs, SUMS) for row in features]).reshape(-1, SUMS)


def read(text: str) -> tuple[Kind, Numbers]:
    """A descriptor's kind and its numbers.

    Raises:
        BadDescriptor: It is none.
    """
    import numpy as np

    found = FORM.fullmatch(text) if isinstance(text, str) and len(text) <= MOST_CHARS else None
    try:
        if found is None:
            raise ValueError("of another form")
        data = base64.b64decode(found[3], validate=True)
    except ValueError:
        raise BadDescriptor(f"{str(text)[:40]!r} is no descriptor of a face, as `--describe` gives them") from None
    return Kind(found[1], found[2]), np.frombuffer(data, np.int8)


def kind_in(text: str) -> Kind:
    """A descriptor's kind, without its numbers.

    Raises:
        BadDescriptor: It is none.
    """
    found = FORM.fullmatch(text) if len(text) <= MOST_CHARS else None
    if found is None:
        raise BadDescriptor(f"{text[:40]!r} is no descriptor of a face, as `--describe` gives them")
    return Kind(found[1], found[2])


def read_all(texts: Iterable[str], kind: Kind) -> tuple[list[int], Numbers]:
    """Which of the descriptors are of that kind, and their numbers: (n, k). Others are passed over.

    Raises:
        BadDescriptor: One is none.
    """
    import numpy as np

    rows = [(at, row) for at, (of, row) in enumerate(map(read, texts)) if of == kind]
    if len({len(row) for _, row in rows}) > 1:
        raise BadDescriptor(f"descriptors of the engine {kind.engine} have different lengths")
    return [at for at, _ in rows], np.array([row for _, row in rows] or np.zeros((0, 0)), np.int8)


@functools.cache
def _places(width: int) -> tuple[Any, Any]:
    """For each feature the sum it belongs to, and its sign: the same on all machines, with any release of NumPy."""
    import numpy as np

    chance = np.frombuffer(hashlib.shake_256(b"descriptor 1").digest(4 * width), "<u4")
    return (chance % SUMS).astype(np.intp), np.where(chance >> 31, 1.0, -1.0)
