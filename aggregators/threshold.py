"""From which score on a face gets a name: chosen so that few strangers do, though none is at hand.

Each known person is treated as a stranger to a recogniser of the others: what she or he scores there, strangers will
score. And each picture is shown to a recogniser that has not learnt from it, to see how well it would be named.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from aggregators import likeness

if TYPE_CHECKING:
    from aggregators.likeness import Faces, Floats, Mask, Whole

STRANGERS_NAMED = 0.05
"""The share of strangers that may get a name."""
FEWEST_PEOPLE = 3
"""People below which the pictures do not tell how much strangers resemble each other."""
DEFAULTS = {("discriminant", 1): 0.86, ("discriminant", 2): 0.62, ("cosine", 1): 0.363, ("cosine", 2): 0.363}
"""(how features compare, people) -> threshold where it cannot be chosen. For discriminant features: what 5 % of the
strangers reach on portraits of the ORL database; for cosine ones: what SFace's authors give."""
ROUNDS = 20
FOLDS = 5
USUAL_SPREAD = 0.15
"""Distance from the threshold to the score that most pictures reach, where it cannot be measured."""
CONFIDENT = 0.95


class Choice(NamedTuple):
    """A threshold, and how well known people are recognised with it."""

    threshold: float
    slope: float
    """Confidence is 0.5 at the threshold and ``CONFIDENT`` at the median score of known people's new pictures."""
    chosen: bool
    """False for a default."""
    right: float | None
    """Share of pictures, each unknown to the recogniser, whose person scores highest. None where each person has
    one picture only."""
    named: float | None
    """Share of them that also reach the threshold, so that they get their name."""
    strangers_named: float | None
    """Share of the pictures of people, each unknown to the recogniser, that get a name. None for a default."""


def choose(plain: Faces, mirrored: Faces, owners: Whole, *, compare: str) -> Choice:
    """Choose it.

    Args:
        plain: All pictures.
        mirrored: Their mirror images.
        owners: (n,) whose, ascending.
        compare: ``discriminant`` or ``cosine``.
    """
    import numpy as np

    people = int(owners[-1]) + 1
    named, right = _known(plain, mirrored, owners, compare)
    if people < FEWEST_PEOPLE:
        threshold = DEFAULTS[compare, people]
        if len(named) >= FOLDS:  # at home with these pictures: stay near what they reach
            threshold = max(threshold, float(named.mean() - 2 * named.std()))
        strangers = None
    else:
        strangers = np.sort(_strangers(plain, mirrored, owners, compare))[::-1]
        by_rank = strangers[int(STRANGERS_NAMED * len(strangers))]
        # Pictures of one person are alike, so few people tell less than many pictures: hence 1 / people.
        by_spread = strangers.mean() + 1.645 * (1 + 1 / people) * strangers.std()
        threshold = float(max(by_rank, by_spread))
    spread = float(np.median(named)) - threshold if len(named) else USUAL_SPREAD
    return Choice(
        threshold=threshold,
        slope=math.log(CONFIDENT / (1 - CONFIDENT)) / max(0.02, spread),
        chosen=strangers is not None,
        right=float(right.mean()) if len(right) else None,
        named=float((right & (named > threshold)).mean()) if len(right) else None,
        strangers_named=None if strangers is None else float((strangers > threshold).mean()),
    )


def _known(plain: Faces, mirrored: Faces, owners: Whole, compare: str) -> tuple[Floats, Mask]:
    """Score each picture of a person with several: its owner's score, and whether that is the highest one."""
    import numpy as np

    number = np.arange(len(owners)) - np.flatnonzero(np.diff(owners, prepend=-1))[owners]
    several = np.bincount(owners)[owners] > 1
    scores, right = [np.zeros(0)], [np.zeros(0, bool)]
    for fold in range(FOLDS):
        away = several & (number % FOLDS == fold)
        # A person with fewer pictures than folds keeps at least one: its number belongs to another fold.
        if away.any():
            found = likeness.scores(_learn(plain, mirrored, owners, ~away, compare), plain.of(away))
            scores.append(found[np.arange(len(found)), owners[away]])
            right.append(found.argmax(axis=1) == owners[away])
    return np.concatenate(scores), np.concatenate(right)


def _strangers(plain: Faces, mirrored: Faces, owners: Whole, compare: str) -> Floats:
    """Return the highest score of each picture with a recogniser that does not know its person."""
    import numpy as np

    found = []
    for away in _groups(owners):
        known = _learn(plain, mirrored, owners, ~away, compare)
        found.append(likeness.scores(known, plain.of(away)).max(axis=1))
    return np.concatenate(found)


def _groups(owners: Whole) -> Iterator[Mask]:
    """Yield the people left out in each round: one person, or several where there are more people than rounds."""
    people = int(owners[-1]) + 1
    for turn in range(min(people, ROUNDS)):
        yield owners % min(people, ROUNDS) == turn


def _learn(plain: Faces, mirrored: Faces, owners: Whole, which: Mask, compare: str) -> likeness.Likeness:
    import numpy as np

    _, renumbered = np.unique(owners[which], return_inverse=True)
    return learn(plain.of(which), mirrored.of(which), renumbered, compare=compare)


def learn(plain: Faces, mirrored: Faces, owners: Whole, *, compare: str) -> likeness.Likeness:
    """Learn from pictures and their mirror images."""
    import numpy as np

    order = np.argsort(np.concatenate((owners, owners)), kind="stable")
    both = likeness.Faces(
        np.concatenate((plain.rows, mirrored.rows))[order], np.concatenate((plain.lost, mirrored.lost))[order]
    )
    return likeness.learn(both, np.concatenate((owners, owners))[order], discriminant=compare == "discriminant")
