"""Join the described portraits of people, and fit a recogniser to them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from aggregators import Model, by_name, face_descriptors, people_changes, recogniser, rejections, threshold
from aggregators.recogniser import FILE, Arrays, Recogniser

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


DIGEST_BYTES = 32
TYPES = {"|u1": 1, "<f2": 2, "<f4": 4}
"""Type of features in NumPy's notation -> bytes of one feature."""
TRAINED, KEPT = "trained", ("people", "pictures", "engine", "threshold", "threshold_chosen", "self_check")
"""The parameter in which a bundle tells of its training, and what of the report: all that its content decides."""
MOST_NAMED = 1000
"""People that the parameters name, at most: all parameters together may have 256 KiB."""


class Portrait(TypedDict):
    """A person's face on a picture, described. About 41 kB with the features that need no download."""

    label: str
    """The person's label."""
    sha256: bytes
    """The digest of the picture's file: 32 bytes."""
    engine: str
    """The engine that found and described the face."""
    compare: str
    """``discriminant`` or ``cosine``: how such features compare."""
    type: str
    """NumPy's name of the type of the features, little-endian: ``|u1`` or ``<f2``."""
    features: bytes
    mirrored: bytes
    """The features of the face's mirror image."""


Portraits = dict[str, Portrait]
"""Item name -> what its picture gave."""


class NothingToLearn(ValueError):
    """The portraits give no recogniser; the message says why, and what to do."""


class Samples(NamedTuple):
    """Described pictures as arrays, ordered by label and digest."""

    labels: list[str]
    digests: npt.NDArray[np.uint8]
    """(n, 32)."""
    features: npt.NDArray[Any]
    """(n, 2, d): of the face, of its mirror image."""
    engine: str
    compare: str


def join(parts: Iterable[Portraits]) -> Portraits:
    """One mapping with the entries of all parts: 41 kB a picture, all held.

    Names are unique in a run; the same part handed in twice changes nothing.
    """
    joined: Portraits = {}
    for part in parts:
        joined.update(part)
    return joined


def check(part: Any, names: Collection[str] | None = None) -> None:
    """See that a part is of the form of ``Portraits``, of items of these ``names`` (None: of any).

    Raises:
        ValueError: It is not.
    """
    by_name.check(part, names)
    texts, columns = ("label", "engine", "compare", "type"), ("sha256", "features", "mirrored")
    for name, portrait in part.items():
        if not isinstance(portrait, Mapping) or set(portrait) != {*texts, *columns}:
            raise ValueError(f"it has no portrait for {name!r}")
        if not all(isinstance(portrait[key], str) for key in texts):
            raise ValueError(f"the portrait of {name!r} has no label, engine, compare or type")
        if not all(isinstance(portrait[key], bytes) for key in columns) or len(portrait["sha256"]) != DIGEST_BYTES:
            raise ValueError(f"the portrait of {name!r} has no digest or features")
        size = TYPES.get(portrait["type"])
        if not size or len(portrait["features"]) % size or len(portrait["features"]) != len(portrait["mirrored"]):
            raise ValueError(f"the features of {name!r} cannot be read")


def fit(
    joined: Portraits, *, model: str | None = None, add: bool = False, more: bool = False, changes: str | None = None
) -> Model:
    """A recogniser of the people in ``joined``, the same bytes in whatever order they came.

    Args:
        joined: What ``join`` gave.
        model: The folder of the bundle that this becomes a new version of: its networks and parameters are kept.
        add: Keep its people that are not in ``joined``, with the features that stand in it, but for pictures that stand
            for another one in ``joined``. Else they are forgotten.
        more: As ``add``, and keep what it knows of the people in ``joined``, too.
        changes: Whom to forget besides, and which faces are not whose: see ``people_changes.Changes``.

    Takes 1.5 s for 75 pictures of 15 people, 5 s for 1,000 of 100. Holds 300 MB and some 150 kB a picture.

    Raises:
        NothingToLearn: No usable face, or faces that were described in different ways.
    """
    import numpy as np

    samples, left_out = _collect(joined)
    new, wanted = samples, people_changes.read(changes)
    moved: Counter[str] = Counter()
    if (add or more) and model:
        samples, moved = _with_the_others(samples, model, more=more, forget=wanted.forget)
    if samples is None:
        raise NothingToLearn(
            "there is no face to learn: no picture with one lies in a folder named after a person"
            + "".join(f"; {name}: {why}" for name, why in list(left_out.items())[:3])
        )
    people = sorted(set(samples.labels))
    owners = np.array([people.index(label) for label in samples.labels])
    centre = samples.compare == "discriminant" and len(people) > 1
    projection = recogniser.project(samples.features.reshape(-1, samples.features.shape[2]), centre=centre)
    plain, mirrored = projection(samples.features[:, 0]), projection(samples.features[:, 1])
    choice = threshold.choose(plain, mirrored, owners, compare=samples.compare)
    known = threshold.learn(plain, mirrored, owners, compare=samples.compare)
    fitted = Recogniser(people, samples.engine, projection, known, choice.threshold, choice.slope)
    kept = {
        "sample_owners": owners,
        "sample_digests": samples.digests,
        "sample_features": samples.features,
        "sample_compare": np.array(samples.compare),
    }
    if model and not Path(model).is_dir():
        raise FileNotFoundError(f"the folder {model} of the bundle is gone: what was read of it may be a part")
    files = _networks(model) | {FILE: recogniser.pack(fitted, kept)}
    parameters = _parameters(model)
    if rejected := _rejected(parameters, wanted, new, projection.middle):
        parameters[rejections.PARAMETER] = rejected
    else:
        parameters.pop(rejections.PARAMETER, None)
    report = _report(samples, choice, left_out, moved, len(rejected))
    parameters[TRAINED] = {name: report[name] for name in KEPT if name != "people" or len(people) <= MOST_NAMED}
    return Model(files, parameters, report)


def read_samples(folder: str) -> Samples | None:
    """Read the samples that a bundle keeps of the pictures it was fitted to; None where it has no recogniser.

    Raises:
        recogniser.BadRecogniser: The file cannot be read.
    """
    file = Path(folder) / FILE
    if not file.is_file():
        return None
    arrays = Arrays(file)
    with arrays.reading():
        people, owners = arrays["people"], arrays["sample_owners"]
        digests, features = arrays["sample_digests"], arrays["sample_features"]
        arrays.check(len(owners) == len(digests) == len(features) > 0 == owners.min() and owners.max() < len(people))
        arrays.check(features.ndim == 3 and features.dtype.kind in "uf")
        arrays.check(digests.shape[1:] == (32,) and digests.dtype.str == "|u1")
        labels = [str(people[owner]) for owner in owners]
        return Samples(labels, digests, features, str(arrays["engine"]), str(arrays["sample_compare"]))


def _collect(joined: Portraits) -> tuple[Samples | None, dict[str, str]]:
    """The portraits as arrays, and those left out with the reason."""
    import numpy as np

    owners: dict[bytes, set[str]] = {}
    for portrait in joined.values():
        owners.setdefault(portrait["sha256"], set()).add(portrait["label"])
    left_out: dict[str, str] = {}
    first: dict[bytes, str] = {}
    for name, portrait in sorted(joined.items()):
        among = owners[portrait["sha256"]]
        if len(among) > 1:
            left_out[name] = f"the same picture stands for {' and for '.join(sorted(among))}"
        elif first.setdefault(portrait["sha256"], name) != name:
            left_out[name] = f"the same picture as {first[portrait['sha256']]}"
    used = [joined[name] for name in first.values() if name not in left_out]
    if not used:
        return None, left_out
    used.sort(key=lambda portrait: (portrait["label"], portrait["sha256"]))
    kinds = {
        (portrait["engine"], portrait["compare"], portrait["type"], len(portrait["features"])) for portrait in used
    }
    if len(kinds) > 1:
        raise NothingToLearn(f"the faces were described in {len(kinds)} ways that do not compare: {sorted(kinds)}")
    [(engine, compare, kind, _)] = kinds
    features = np.array([[np.frombuffer(portrait[key], kind) for key in ("features", "mirrored")] for portrait in used])
    digests = np.array([np.frombuffer(portrait["sha256"], np.uint8) for portrait in used])
    return Samples([portrait["label"] for portrait in used], digests, features, engine, compare), left_out


def read_recogniser(folder: str, parameters: Mapping[str, Any]) -> Recogniser | None:
    """Read the recogniser of a bundle, with what its parameters say was rejected; None where it has none.

    Raises:
        recogniser.BadRecogniser: It cannot be read.
    """
    known = recogniser.read(folder)
    try:
        rejected = rejections.read(parameters)
    except ValueError as error:
        raise recogniser.BadRecogniser(f"{Path(folder) / 'bundle.json'}: {error}; train again") from None
    if known is None or not rejected:
        return known
    samples = read_samples(folder)
    assert samples is not None  # noqa: S101 - it is in the same file
    labels = {one.label for one in rejected}
    kind = face_descriptors.kind_of(samples.engine, samples.compare)
    of_labels = _by_label(samples, labels)
    return known._replace(rejected=rejections.learn(rejected, of_labels, known.projection.middle, kind))


def _by_label(samples: Samples, labels: Collection[str]) -> dict[str, npt.NDArray[Any]]:
    """Label -> (n, d) features of that person's pictures, those of mirror images left out."""
    rows: dict[str, list[int]] = {}
    for at, label in enumerate(samples.labels):
        if label in labels:
            rows.setdefault(label, []).append(at)
    return {label: samples.features[at, 0] for label, at in rows.items()}


def _rejected(
    parameters: Mapping[str, Any], wanted: people_changes.Changes, new: Samples | None, middle: npt.NDArray[Any]
) -> list[dict[str, str]]:
    """What is rejected from now on: what was and what is, but for people who are forgotten or given that face now."""
    known = [one for one in rejections.read(parameters) if one.label not in wanted.forget]
    if new is not None:
        kind = face_descriptors.kind_of(new.engine, new.compare)
        of_labels = _by_label(new, {one.label for one in known})
        known = rejections.without_taken_back(known, of_labels, middle, kind)
    return rejections.write([*known, *wanted.rejected])


def _with_the_others(
    samples: Samples | None, model: str, *, more: bool, forget: Collection[str]
) -> tuple[Samples | None, Counter[str]]:
    """Together with the people of the bundle that are not among them; and how many pictures these lost to others.

    With ``more``, also together with what the bundle knows of the same people.
    """
    import numpy as np

    base = _without(read_samples(model), forget)
    if base is None or samples is None:
        return base or samples, Counter()
    if (base.engine, base.features.shape[2]) != (samples.engine, samples.features.shape[2]):
        raise NothingToLearn(
            f"people cannot be added: the bundle describes faces by {base.engine!r}, now they are described by "
            f"{samples.engine!r}; train with the pictures of all people, without adding"
        )
    new = set() if more else set(samples.labels)
    given = {digest.tobytes() for digest in samples.digests}
    others = [at for at, label in enumerate(base.labels) if label not in new]
    stay = [at for at in others if base.digests[at].tobytes() not in given]
    moved = Counter(base.labels[at] for at in set(others).difference(stay))
    labels = samples.labels + [base.labels[at] for at in stay]
    digests = np.concatenate((samples.digests, base.digests[stay]))
    features = np.concatenate((samples.features, base.features[stay]))
    order = sorted(range(len(labels)), key=lambda at: (labels[at], digests[at].tobytes()))
    together = [labels[at] for at in order]
    return Samples(together, digests[order], features[order], samples.engine, samples.compare), moved


def _without(samples: Samples | None, forget: Collection[str]) -> Samples | None:
    if samples is None:
        return None
    stay = [at for at, label in enumerate(samples.labels) if label not in forget]
    labels = [samples.labels[at] for at in stay]
    kept = samples._replace(labels=labels, digests=samples.digests[stay], features=samples.features[stay])
    return kept if stay else None


def _networks(model: str | None) -> dict[str, bytes]:
    files = sorted(Path(model).glob("*.onnx")) if model else []
    return {file.name: file.read_bytes() for file in files}


def _parameters(model: str | None) -> dict[str, Any]:
    file = Path(model or "") / "bundle.json"
    if not model or not file.is_file():
        return {}
    kept: Mapping[str, Any] = json.loads(file.read_bytes()).get("parameters", {})
    return dict(kept)


def _report(
    samples: Samples, choice: threshold.Choice, left_out: Mapping[str, str], moved: Mapping[str, int], rejected: int
) -> dict[str, Any]:
    """Report for people: pictures of each person, what was left out, and how well the recogniser should work."""
    number = Counter(samples.labels)
    notes = []
    if not choice.chosen:
        notes.append(
            f"with {len(number)} {'people' if len(number) > 1 else 'person'} the threshold is a default; from "
            f"{threshold.FEWEST_PEOPLE} on it is chosen by how like they are to each other"
        )
    if few := sorted(label for label, pictures in number.items() if pictures < 3):
        notes.append(f"fewer than 3 pictures of {', '.join(few)}: more make it surer")
    for label, pictures in sorted(moved.items()):
        notes.append(f"{pictures} of {label}'s pictures stand for somebody else now, as they were given")
    if choice.right is not None and choice.named is not None and choice.named < choice.right / 2:
        notes.append("hardly anybody will be named: is somebody here under two names, or in somebody else's folder?")
    return {
        "people": dict(sorted(number.items())),
        "pictures": len(samples.labels),
        "left_out": dict(left_out),
        "rejected": rejected,
        "engine": samples.engine,
        "threshold": round(choice.threshold, 4),
        "threshold_chosen": choice.chosen,
        "self_check": {
            "right": _rounded(choice.right),
            "named_rightly": _rounded(choice.named),
            "strangers_named": _rounded(choice.strangers_named),
        },
        "notes": notes,
    }


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
