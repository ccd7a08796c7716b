"""The file by which people are recognised: ``recogniser.npz`` of a bundle, arrays only, never a pickle."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from aggregators import likeness
from aggregators.likeness import Faces, Likeness, Space
from aggregators.rejections import Rejections

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FILE = "recogniser.npz"
FORMAT = 1
UNKNOWN = "unknown"
MOST_DIMENSIONS = 256
"""Dimensions that features are projected to at most: for features of 20,208 numbers that takes 20 MB of memory."""
MOST_ARRAYS = 32
"""In a file; ``pack`` makes 17."""
MOST_ROWS = 1500
"""Faces from which that space is made; more are passed over evenly."""


class BadRecogniser(ValueError):
    """The file is damaged, or of another format."""


class Projection(NamedTuple):
    """Projects features to a space of fewer dimensions."""

    middle: npt.NDArray[np.float32]
    """(d,)."""
    basis: npt.NDArray[np.float32]
    """(k, d), orthonormal but for rounding."""

    def __call__(self, features: npt.NDArray[Any]) -> Faces:
        """(n, d) -> n faces. Holds 500 of them at a time as floating numbers."""
        import numpy as np

        rows, lost = [], []
        for at in range(0, len(features), 500):
            block = features[at : at + 500].astype(np.float32) - self.middle
            rows.append((block @ self.basis.T).astype(np.float64))
            left = (block.astype(np.float64) ** 2).sum(axis=1) - (rows[-1] ** 2).sum(axis=1)
            lost.append(np.sqrt(np.maximum(left, 0)))
        return Faces(np.concatenate(rows), np.concatenate(lost))


class Guess(NamedTuple):
    """Whose face it is."""

    label: str
    """The person's, or ``UNKNOWN``."""
    confidence: float
    """Of the label: see ``Recogniser.guess``."""
    like: str
    """The person whom it is most like and for whom it was not rejected, also where that is too little for a name;
    "" where it was rejected for all."""


class Recogniser(NamedTuple):
    """Known people."""

    people: list[str]
    engine: str
    """The engine that finds and describes the faces; features of other engines do not compare."""
    projection: Projection
    known: Likeness
    threshold: float
    slope: float
    rejected: Rejections | None = None

    def name(self, features: npt.NDArray[Any]) -> tuple[str, float]:
        """Return the label of the face's person, or ``UNKNOWN``, and the confidence; see ``guess``."""
        guess = self.guess(features)
        return guess.label, guess.confidence

    def guess(self, features: npt.NDArray[Any]) -> Guess:
        """Return whose face it is, and the confidence of that.

        The confidence is 0.5 to 1: 0.5 for a score at the threshold, where a name and none are as good, and 0.95 for a
        name with the score that the person's own pictures have in the middle. It grows with the distance from the
        threshold (a logistic function), and orders faces by how sure they are; it is no measured probability.
        """
        found = likeness.scores(self.known, self.projection(features[None]))[0]
        for best in (-found).argsort(kind="stable").tolist():
            label, score = self.people[best], float(found[best])
            if self.rejected is None or not self.rejected.refuse(label, features):
                confidence = 1 / (1 + math.exp(-min(50.0, self.slope * abs(score - self.threshold))))
                return Guess(label if score > self.threshold else UNKNOWN, confidence, label)
        return Guess(UNKNOWN, 1.0, "")

    def most_like(self, features: npt.NDArray[Any]) -> tuple[str, float]:
        """Return the known person who is most like the face, and the score, -1 to 1; nothing is refused."""
        found = likeness.scores(self.known, self.projection(features[None]))[0]
        best = int(found.argmax())
        return self.people[best], float(found[best])


def project(features: npt.NDArray[Any], *, centre: bool) -> Projection:
    """The space in which these features, or as many as it has dimensions for, differ most.

    Args:
        features: (n, d).
        centre: Whether to take off their average.
    """
    import numpy as np

    width = features.shape[1]
    middle = features.mean(axis=0, dtype=np.float64).astype(np.float32) if centre else np.zeros(width, np.float32)
    if width <= MOST_DIMENSIONS:
        return Projection(middle, np.eye(width, dtype=np.float32))
    chosen = np.linspace(0, len(features) - 1, min(len(features), MOST_ROWS)).round().astype(int)
    rows = features[chosen].astype(np.float32) - middle
    squares, directions = np.linalg.eigh((rows @ rows.T).astype(np.float64))
    number = max(1, min(MOST_DIMENSIONS, int((squares > 1e-6 * squares[-1]).sum())))
    chosen_ones = directions[:, ::-1][:, :number] / np.sqrt(np.maximum(squares[::-1][:number], likeness.TINY))
    # As it will be read again: what is learnt is learnt of the same numbers.
    return Projection(middle, (chosen_ones.T.astype(np.float32) @ rows).astype(np.float16).astype(np.float32))


def pack(recogniser: Recogniser, samples: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """The file, not compressed, the same bytes for the same arrays; ``samples`` are more arrays to keep in it."""
    import numpy as np

    known = recogniser.known
    out = io.BytesIO()
    np.savez(
        out,
        allow_pickle=False,
        format=np.array(FORMAT),
        engine=np.array(recogniser.engine),
        people=np.array(recogniser.people),
        numbers=np.array((recogniser.threshold, recogniser.slope)),
        projection_middle=recogniser.projection.middle,
        projection_basis=recogniser.projection.basis.astype(np.float16),
        middle=known.middle,
        axes=known.axes,
        starts=known.starts,
        plain_samples=known.plain.samples.astype(np.float32),
        plain_averages=known.plain.averages,
        apart_samples=known.apart.samples.astype(np.float32),
        apart_averages=known.apart.averages,
        **samples,
    )
    return out.getvalue()


def read(folder: str) -> Recogniser | None:
    """Read the recogniser in a bundle's folder, only the arrays that recognising needs; None where it has none.

    Raises:
        BadRecogniser: It cannot be read.
    """
    file = Path(folder) / FILE
    return unpack(file) if file.is_file() else None


def unpack(file: Path | bytes) -> Recogniser:
    """The recogniser that ``pack`` made a file of.

    Raises:
        BadRecogniser: It cannot be read.
    """
    arrays = Arrays(file)
    with arrays.reading():
        return _recogniser(arrays)


def _recogniser(arrays: Arrays) -> Recogniser:
    import numpy as np

    engine, people = str(arrays["engine"]), [str(name) for name in arrays["people"]]
    projection = Projection(arrays["projection_middle"], arrays["projection_basis"].astype(np.float32))
    plain = Space(arrays["plain_samples"].astype(float), arrays["plain_averages"])
    apart = Space(arrays["apart_samples"].astype(float), arrays["apart_averages"])
    threshold, slope = map(float, arrays["numbers"])
    known = Likeness(arrays["middle"], arrays["axes"], arrays["starts"], plain, apart)
    arrays.check(
        projection.basis.shape == (len(known.middle), len(projection.middle))
        and len(people) == len(known.starts) == len(plain.averages) == len(apart.averages) > 0
        and known.axes.shape == (len(known.middle), apart.samples.shape[1])
        and plain.samples.shape == (len(apart.samples), len(known.middle))
        and bool((np.diff(known.starts, prepend=-1, append=len(plain.samples)) > 0).all())
        and math.isfinite(threshold)
        and 0 <= slope < math.inf
    )
    return Recogniser(people, engine, projection, known, threshold, slope)


class Arrays:
    """The arrays of a recogniser's file, each read when asked for. No more memory is taken than the file has bytes."""

    def __init__(self, file: Path | bytes) -> None:
        self._file = file
        self._name = str(file) if isinstance(file, Path) else FILE
        with self.reading():
            self._check_members()
            found = int(self["format"])
        if found != FORMAT:
            raise BadRecogniser(f"{self._name} has format {found}, this release reads {FORMAT}; train again")

    def __getitem__(self, name: str) -> Any:
        import numpy as np

        with self.reading(), self._opened() as stream, np.load(stream, allow_pickle=False) as arrays:
            found = arrays[name]
            if found.size > self._size_bytes:  # of nothing, however many: a shape that costs no bytes
                raise BadRecogniser(f"{self._name}: its array {name} has {found.size:,} entries of no size")
            return found

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turn each error that the file's content causes in this block into ``BadRecogniser``."""
        try:
            yield
        except BadRecogniser:
            raise
        except Exception as error:  # noqa: BLE001 - NumPy stumbles over wrong bytes in many ways
            raise BadRecogniser(f"{self._name} is no recogniser, or damaged: {error}") from None

    def check(self, fit: bool) -> None:
        """Whether what was read fits together.

        Raises:
            BadRecogniser: It does not.
        """
        if not fit:
            raise BadRecogniser(f"{self._name}: its arrays do not fit each other; train again")

    def _check_members(self) -> None:
        """Refuse what would unpack to more than the file has: compressed arrays, and those that share their bytes."""
        with self._opened() as stream:
            self._size_bytes = stream.seek(0, io.SEEK_END)
            with zipfile.ZipFile(stream) as archive:
                members = archive.infolist()
        if len(members) > MOST_ARRAYS:
            raise BadRecogniser(f"{self._name} has {len(members):,} arrays; a recogniser has {MOST_ARRAYS} at most")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise BadRecogniser(f"{self._name} is compressed; a recogniser is not")
        unpacked_bytes = sum(member.file_size for member in members)
        if unpacked_bytes > self._size_bytes:
            raise BadRecogniser(
                f"{self._name} has {self._size_bytes:,} bytes, and says that {unpacked_bytes:,} are in it"
            )

    def _opened(self) -> IO[bytes]:
        return self._file.open("rb") if isinstance(self._file, Path) else io.BytesIO(self._file)
