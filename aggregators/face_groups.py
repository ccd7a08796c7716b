"""Group faces by likeness: average linkage over the cosines of their descriptors.

Two groups become one while the mean cosine between their faces is above a bound (UPGMA; Sokal and Michener, 1958).
The nearest-neighbour chain (Murtagh, 1983) finds the same groups in n² steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aggregators import face_middle

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

ALIKE = 0.22
"""The mean cosine above which two groups become one, of features made without a trained network. Of the 20 people with
10 portraits each of the ORL database it makes 32 groups, of which 30 hold one person alone; 195 of the 200 portraits
are in a group of mostly their own person. A lower one mixes people, which costs a wrong name; a higher one makes more
groups, which costs a moment each."""
ALIKE_BY_NETWORK = 0.363
"""The same for features of SFace, as its authors say."""
MOST_FACES = 3000
"""Faces that are compared at most: 72 MB of cosines, and a second."""


def group(
    numbers: npt.NDArray[Any], around: npt.NDArray[Any] | None = None, *, alike: float = ALIKE
) -> list[list[int]]:
    """The faces in groups, the largest group first, and of equal ones that with the first face.

    Args:
        numbers: (n, d) descriptors, all of one engine; n up to ``MOST_FACES``.
        around: (m, d) other faces: what all have in common is taken off, and few faces do not tell what that is.
            None: nothing is taken off, for descriptors of a trained network.
        alike: As ``ALIKE``.

    Returns:
        Each face's row once. A group begins with the face that is most like the others of it.
    """
    import numpy as np

    if not len(numbers):
        return []
    rows = numbers.astype(np.float32)
    if around is not None:
        rows = rows - _middle(rows, around.astype(np.float32))
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    cosines = (rows @ rows.T).astype(np.float32)
    found = [_best_first(members, cosines) for members in _linked(cosines.copy(), alike)]
    return sorted(found, key=lambda members: (-len(members), min(members)))


def differing(numbers: npt.NDArray[Any], most: int) -> list[int]:
    """Up to ``most`` faces that differ most, the first face first: each next one is furthest from all before it."""
    import numpy as np

    if not len(numbers):
        return []
    rows = numbers.astype(np.float32)
    chosen, nearest = [0], ((rows - rows[0]) ** 2).sum(axis=1)
    while len(chosen) < min(most, len(rows)):
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, ((rows - rows[chosen[-1]]) ** 2).sum(axis=1))
    return chosen


def _middle(rows: Floats, around: Floats) -> Floats:
    """(d,) what all faces have in common."""
    import numpy as np

    usual: Any = np.frombuffer(face_middle.MIDDLE, np.int8)
    weight = face_middle.FACES if len(usual) == rows.shape[1] else 0
    total = rows.sum(axis=0) + around.sum(axis=0) + (weight * usual.astype(np.float32) if weight else 0)
    return total / (len(rows) + len(around) + weight)  # type: ignore[no-any-return]


def _best_first(members: Sequence[int], cosines: Floats) -> list[int]:
    likes = cosines[list(members)][:, list(members)].mean(axis=1)
    return [member for _, member in sorted(zip((-likes).tolist(), members, strict=True))]


def _linked(likes: Floats, alike: float) -> list[list[int]]:
    """Groups by average linkage; ``likes`` (n, n) is changed."""
    import numpy as np

    groups: dict[int, list[int]] = {at: [at] for at in range(len(likes))}
    np.fill_diagonal(likes, -np.inf)
    done: list[list[int]] = []
    chain: list[int] = []
    while groups:
        if not chain:
            chain.append(next(iter(groups)))
        last = chain[-1]
        best = int(likes[last].argmax())
        if len(chain) > 1 and likes[last, chain[-2]] >= likes[last, best]:
            best = chain[-2]
        if likes[last, best] <= alike:  # nothing comes nearer by other merges: the mean of lower ones is lower
            done.append(groups.pop(last))
            likes[last, :] = likes[:, last] = -np.inf
            chain.pop()
        elif len(chain) > 1 and best == chain[-2]:
            a, b = len(groups[last]), len(groups[best])
            merged = (a * likes[last] + b * likes[best]) / (a + b)
            groups[best] += groups.pop(last)
            likes[best, :] = likes[:, best] = merged
            likes[best, best] = -np.inf
            likes[last, :] = likes[:, last] = -np.inf
            del chain[-2:]
        else:
            chain.append(best)
    return done
