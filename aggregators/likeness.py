"""How like a face is to those of known people: what is learnt from their features, and how it is scored.

Linear algebra alone: it needs NumPy, and is used both where a recogniser is fitted and where it recognises.

A score is the mean of two cosines, each again the mean of that with a person's average and that with the most like of
her or his pictures. One is taken where within-person differences are evened out and between-person ones stand out
(regularised linear discriminant analysis after a principal component analysis); the other of the features as they
are, less their average. The first is better with many people, the second with few; the mean was as good as the better
one, or better, from 2 to 15 people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Whole = npt.NDArray[np.intp]

RIDGE = 0.05
"""Share of the average variance that is added to each direction: few pictures tell little about how a face varies."""
TINY = 1e-9


class Likeness(NamedTuple):
    """What was learnt of some people."""

    middle: Floats
    """(d,) the average of the features."""
    axes: Floats
    """(d, k) onto the directions that tell people apart; k is 0 where that cannot be learnt."""
    samples: Floats
    """(n, d) features of known faces, less the average."""
    owners: Whole
    """(n,) whose, 0 to the number of people - 1; each has one or more."""


def learn(samples: Floats, owners: Whole, *, discriminant: bool) -> Likeness:
    """Learn from some pictures each of some people.

    Args:
        samples: (n, d).
        owners: (n,) whose; each number from 0 on at least once.
        discriminant: False for features that compare by their cosine as they are.
    """
    import numpy as np

    people = int(owners.max()) + 1
    dimensions = samples.shape[1]
    if people < 2 or not discriminant:  # of one person, the average is what she or he has in common with all
        return Likeness(np.zeros(dimensions), np.zeros((dimensions, 0)), samples, owners)
    middle = samples.mean(axis=0)
    centred = samples - middle
    main = _main_directions(centred, max(1, len(samples) - people))
    reduced = centred @ main
    means = _means(reduced, owners)
    within = np.cov((reduced - means[owners]).T, bias=True).reshape(main.shape[1], -1)
    within = (1 - RIDGE) * within + RIDGE * max(TINY, np.trace(within) / len(within)) * np.eye(len(within))
    variances, directions = np.linalg.eigh(within)
    even = directions / np.sqrt(variances)
    _, directions = np.linalg.eigh(even.T @ np.cov(means.T, bias=True).reshape(within.shape) @ even)
    return Likeness(middle, main @ even @ directions[:, ::-1][:, : people - 1], centred, owners)


def scores(known: Likeness, faces: Floats, lengths: Floats | None = None) -> Floats:
    """(m, people): how like each face is to each person, -1 to 1.

    Args:
        known: What was learnt.
        faces: (m, d).
        lengths: (m,) those of ``faces`` less the average, where ``faces`` has lost something by projection.
    """
    centred = faces - known.middle
    found = _cosines(centred, known.samples, known.owners, lengths)
    if known.axes.shape[1]:
        found = (found + _cosines(centred @ known.axes, known.samples @ known.axes, known.owners, None)) / 2
    return found


def _cosines(faces: Floats, samples: Floats, owners: Whole, lengths: Floats | None) -> Floats:
    import numpy as np

    samples = _unit(samples)
    faces = _unit(faces) if lengths is None else faces / np.maximum(lengths, TINY)[:, None]
    each = faces @ samples.T
    best = np.full((len(faces), int(owners.max()) + 1), -1.0)
    for person in range(best.shape[1]):
        best[:, person] = each[:, owners == person].max(axis=1)
    return (faces @ _unit(_means(samples, owners)).T + best) / 2  # type: ignore[no-any-return]


def _main_directions(centred: Floats, most: int) -> Floats:
    """(d, k) with k up to ``most``: those in which the rows differ at all, the main ones first."""
    import numpy as np

    _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
    return directions[: max(1, min(most, int((lengths > 1e-4 * lengths[0]).sum())))].T


def _means(rows: Floats, owners: Whole) -> Floats:
    """(people, d)."""
    import numpy as np

    sums = np.zeros((int(owners.max()) + 1, rows.shape[1]))
    np.add.at(sums, owners, rows)
    return sums / np.bincount(owners)[:, None]


def _unit(rows: Floats) -> Floats:
    import numpy as np

    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), TINY)  # type: ignore[no-any-return]
