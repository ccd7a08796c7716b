"""The people that a version of a bundle knows: how many pictures of each, and what their faces look like."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from aggregators import face_descriptors, people, recogniser
from aggregators.face_descriptors import Kind
from cluster import errors
from cluster.web.kept import Kept

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from cluster.client import Client

MOST_SAMPLES = 500
"""Pictures that stand for all known faces where unknown ones are compared."""
_kept: Kept[Known] = Kept(8)


class Known(NamedTuple):
    """The people of a version of a bundle."""

    ref: str
    """NAME:VERSION; "" where there is no such bundle yet."""
    people: Mapping[str, int]
    """Label -> pictures that it was learnt from."""
    kind: Kind | None
    """The kind of the descriptors; None where it knows nobody."""
    numbers: npt.NDArray[np.int8] | None
    """(n, k) descriptors of known pictures, up to ``MOST_SAMPLES`` of them."""
    threshold: float | None
    rejected: int
    """Faces that never get a certain name again."""
    problem: str = ""
    """Why its people cannot be read, for people; "" if they can."""


NOBODY = Known("", {}, None, None, None, 0)


def of_bundle(client: Client, name: str) -> Known:
    """The people of the version that runs get now; nobody where there is no bundle of that name.

    Raises:
        errors.UsageError: It is for another job than faces.
    """
    models = client.models
    try:
        manifest = models.get(name)
    except errors.UnknownBundle:
        return NOBODY
    if manifest.job != "faces":
        raise errors.UsageError(f"the bundle {name} is for the job {manifest.job}, and knows no people")
    return _kept.get(f"{manifest.ref} {manifest.digest}", lambda: _read(client, str(manifest.ref), manifest.parameters))


def _read(client: Client, ref: str, parameters: Mapping[str, Any]) -> Known:
    import numpy as np

    rejected = parameters.get("rejected")
    number = len(rejected) if isinstance(rejected, list) else 0
    with tempfile.TemporaryDirectory(prefix="cluster-people-") as held:
        folder = Path(held) / "bundle"
        client.models.pull(ref, folder)
        try:
            samples, known = people.read_samples(str(folder)), recogniser.read(str(folder))
        except recogniser.BadRecogniser as error:
            return NOBODY._replace(ref=ref, rejected=number, problem=str(error))
    if samples is None or known is None:
        return NOBODY._replace(ref=ref, rejected=number)
    chosen = np.linspace(0, len(samples.labels) - 1, min(MOST_SAMPLES, len(samples.labels))).round().astype(int)
    numbers = face_descriptors.numbers(samples.features[chosen, 0], samples.compare)
    kind = face_descriptors.kind_of(samples.engine, samples.compare)
    return Known(ref, dict(sorted(Counter(samples.labels).items())), kind, numbers, known.threshold, number)
