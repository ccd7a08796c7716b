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
    Mask = npt.NDArray[np.bool_]

RIDGE = 0.05
"""Share of the average variance that is added to each direction: few pictures tell little about how a face varies."""
TINY = 1e-9


class Faces(NamedTuple):
    """Features of some faces, in a space of fewer dimensions than they were made in."""

    rows: Floats
    """(n, d)."""
    lost: Floats
    """(n,) the length of what lies outside of that space."""

    def of(self, which: Mask) -> Faces:
        """Some of them."""
        return Faces(self.rows[which], self.lost[which])


class Space(NamedTuple):
    """Known faces as points on a sphere."""

    samples: Floats
    """(n, k), length 1 at most, ordered by person."""
    averages: Floats
    """(people, k), of length 1."""


class Likeness(NamedTuple):
    """The learnt features of some people, to compare faces with."""

    middle: Floats
    """(d,) the average of the features."""
    axes: Floats
    """(d, k) onto the directions that tell people apart; k is 0 where that cannot be learnt."""
    starts: Whole
    """(people,) where each one's samples begin."""
    plain: Space
    apart: Space


def learn(faces: Faces, owners: Whole, *, discriminant: bool) -> Likeness:
    """Learn from some pictures each of some people.

    Args:
        faces: Of ``owners``.
        owners: (n,) whose, in ascending order, each number from 0 on.
        discriminant: False for features that compare by their cosine as they are.
    """
    import numpy as np

    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    dimensions = faces.rows.shape[1]
    middle, axes = np.zeros(dimensions), np.zeros((dimensions, 0))
    if discriminant and len(starts) > 1:  # of one person, the average is what she or he has in common with all
        middle = faces.rows.mean(axis=0)
        axes = _axes(faces.rows - middle, owners, starts)
    centred = Faces(faces.rows - middle, faces.lost)
    whole = Faces(centred.rows @ axes, np.zeros(len(owners)))
    return Likeness(middle, axes, starts, _space(centred, starts), _space(whole, starts))


def scores(known: Likeness, faces: Faces) -> Floats:
    """(m, people): how like each face is to each person, -1 to 1."""
    import numpy as np

    centred = faces.rows - known.middle
    found = _cosines(Faces(centred, faces.lost), known.plain, known.starts)
    if known.axes.shape[1]:
        whole = Faces(centred @ known.axes, np.zeros(len(centred)))
        found = (found + _cosines(whole, known.apart, known.starts)) / 2
    return found


def _axes(centred: Floats, owners: Whole, starts: Whole) -> Floats:
    import numpy as np

    main = _main_directions(centred, max(1, len(centred) - len(starts)))
    reduced = centred @ main
    means = _means(reduced, starts)
    within = _covariance(reduced - means[owners])
    within = (1 - RIDGE) * within + RIDGE * max(TINY, np.trace(within) / len(within)) * np.eye(len(within))
    variances, directions = np.linalg.eigh(within)
    even = directions / np.sqrt(variances)
    _, directions = np.linalg.eigh(even.T @ _covariance(means - means.mean(axis=0)) @ even)
    axes: Floats = main @ even @ directions[:, ::-1][:, : len(starts) - 1]
    return axes


def _main_directions(centred: Floats, most: int) -> Floats:
    """(d, k) with k up to ``most``: those in which the rows differ at all, the main ones first."""
    import numpy as np

    # Of the smaller one of the two products, which have the same eigenvalues but for zeros.
    tall = len(centred) > centred.shape[1]
    squares, directions = np.linalg.eigh(centred.T @ centred if tall else centred @ centred.T)
    number = max(1, min(most, int((squares > 1e-8 * squares[-1]).sum())))
    chosen = directions[:, ::-1][:, :number]
    if not tall:
        chosen = centred.T @ chosen / np.sqrt(np.maximum(squares[::-1][:number], TINY**2))
    return chosen


def _covariance(centred: Floats) -> Floats:
    return centred.T @ centred / len(centred)


def _means(rows: Floats, starts: Whole) -> Floats:
    import numpy as np

    return np.add.reduceat(rows, starts) / np.diff(starts, append=len(rows))[:, None]


def _space(faces: Faces, starts: Whole) -> Space:
    import numpy as np

    samples = _unit(faces)
    averages = _means(samples, starts)
    return Space(samples, _unit(Faces(averages, np.zeros(len(starts)))))


def _cosines(faces: Faces, space: Space, starts: Whole) -> Floats:
    import numpy as np

    rows = _unit(faces)
    return (rows @ space.averages.T + np.maximum.reduceat(rows @ space.samples.T, starts, axis=1)) / 2


def _unit(faces: Faces) -> Floats:
    import numpy as np

    lengths = np.sqrt((faces.rows**2).sum(axis=1) + faces.lost**2)
    rows: Floats = faces.rows / np.maximum(lengths, TINY)[:, None]
    return rows
