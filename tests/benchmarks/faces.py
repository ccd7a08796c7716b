"""Recognise people on real portraits: how often the name is right, and how often a stranger gets one.

Of 20 people with 10 pictures each, 15 are learnt from 5 pictures each; the others of theirs are shown, and all of the
5 people who were not learnt. The mean of 20 random splits, the same for each way to do it.
"""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aggregators import people, recogniser
from splitters import Item
from tasks import faces, faces_train
from tests.benchmarks import Case, Options
from tests.benchmarks.measure import ROOT, Failed

DATA = ROOT.parent / "shared" / "data"
YUNET = DATA / "models" / "face_detection_yunet.onnx"
PEERS = ROOT / ".venv-peers" / "bin" / "python"
LBPH = Path(__file__).with_name("lbph.py")
LEARNT_PEOPLE, LEARNT_PICTURES = 15, 5
SPLITS, SMALL_SPLITS = 20, 2
SEED = 5
STRANGERS_NAMED = 0.05
TIMEOUT_S = 900

Album = Mapping[str, Sequence[str]]
"""Person -> pictures."""


class Split(NamedTuple):
    """Pictures of one round, each with its person."""

    learnt: list[tuple[str, str]]
    known: list[tuple[str, str]]
    strangers: list[tuple[str, str]]


class Answer(NamedTuple):
    """What a recogniser says of one picture."""

    label: str
    """Of the known people the one who is most like it; "" where no face was found."""
    score: float
    """How like, the higher the more."""
    named: bool = False
    """Whether it gives that name by the threshold it chose itself."""


class Answers(NamedTuple):
    """Of one round, in the order of the split."""

    known: list[Answer]
    strangers: list[Answer]


def splits(album: Album, number: int) -> list[Split]:
    """The same ones each time."""
    chance, made = random.Random(SEED), []
    for _ in range(number):
        order = chance.sample(sorted(album), len(album))
        split = Split([], [], [(who, picture) for who in order[LEARNT_PEOPLE:] for picture in sorted(album[who])])
        for who in order[:LEARNT_PEOPLE]:
            pictures = chance.sample(sorted(album[who]), len(album[who]))
            split.learnt.extend((who, picture) for picture in pictures[:LEARNT_PICTURES])
            split.known.extend((who, picture) for picture in pictures[LEARNT_PICTURES:])
        made.append(split)
    return made


def rates(split: Split, answers: Answers) -> dict[str, float]:
    """Shares, by what they are shares of."""
    right = [who == answer.label for (who, _), answer in zip(split.known, answers.known, strict=True)]
    strangers = sorted((answer.score for answer in answers.strangers), reverse=True)
    at = strangers[int(STRANGERS_NAMED * len(strangers))]
    scored = list(zip(right, answers.known, strict=True))
    return {
        "rank-1": _mean(right),
        "named rightly, 5 % of strangers named": _mean(one and answer.score > at for one, answer in scored),
        "named rightly at its own threshold": _mean(one and answer.named for one, answer in scored),
        "strangers named at its own threshold": _mean(answer.named for answer in answers.strangers),
    }


def ours(described: people.Portraits, split: Split) -> Answers:
    """Fit a recogniser to what the pictures of ``split`` gave, and ask it."""
    import numpy as np

    model = people.fit({name: described[name] for _, name in split.learnt if name in described})
    known = recogniser.unpack(model.files[recogniser.FILE])

    def ask(shown: Sequence[tuple[str, str]]) -> list[Answer]:
        answers = []
        for _, name in shown:
            if name not in described:
                answers.append(Answer("", -9.0))
                continue
            portrait = described[name]
            label, score = known.most_like(np.frombuffer(portrait["features"], portrait["type"]))
            answers.append(Answer(label, score, score > known.threshold))
        return answers

    return Answers(ask(split.known), ask(split.strangers))


def describe(folder: Path, model: str | None) -> tuple[people.Portraits, dict[str, float]]:
    """What the pictures of ``folder`` give, how many no face was found on, and what one takes."""
    pictures = [Item(f"{file.parent.name}/{file.name}", file.read_bytes()) for file in sorted(folder.glob("*/*"))]
    faces_train.embed_people(pictures[:1], model=model)  # what is loaded once does not count
    begun = time.process_time()
    part = faces_train.embed_people(pictures, model=model)
    each_s = (time.process_time() - begun) / len(pictures)
    return part.value, {"faces missed": len(part.failures), "ms a portrait, to find and describe": each_s * 1000}


def mean_rates(split: Sequence[Split], answers: Sequence[Answers]) -> dict[str, float]:
    """Of all rounds."""
    each = [rates(one, answer) for one, answer in zip(split, answers, strict=True)]
    return {name: _mean(one[name] for one in each) for name in each[0]}


def album_of(folder: Path) -> Album:
    """The people of a folder and the names of their pictures."""
    return {
        person.name: [f"{person.name}/{file.name}" for file in sorted(person.iterdir())]
        for person in sorted(folder.iterdir())
    }


def cases(options: Options, folder: Path) -> Iterator[Case]:
    """Without any download, with YuNet, and the way of old."""
    portraits = DATA / "faces"
    if not portraits.is_dir() or faces.why_unavailable():
        yield Case(name="faces", skipped=faces.why_unavailable() or f"there is no folder {portraits}")
        return
    made = splits(album_of(portraits), SMALL_SPLITS if options.small else SPLITS)
    yield _case("faces, no download", portraits, None, made)
    if YUNET.is_file():
        (folder / YUNET.name).write_bytes(YUNET.read_bytes())
        yield _case("faces, with YuNet", portraits, str(folder), made)
    else:
        yield Case(name="faces, with YuNet", skipped=f"there is no {YUNET}")
    if PEERS.is_file():
        yield Case(name="faces, Haar + LBPH", notes=_shown(_lbph(portraits, made)))
    else:
        yield Case(name="faces, Haar + LBPH", skipped=f"there is no {PEERS} (`make bench-peers` makes it)")


def _case(name: str, portraits: Path, model: str | None, made: Sequence[Split]) -> Case:
    described, notes = describe(portraits, model)
    return Case(name=name, notes=_shown(mean_rates(made, [ours(described, split) for split in made]) | notes))


def _lbph(portraits: Path, made: Sequence[Split]) -> dict[str, float]:
    """In an environment of its own: OpenCV with its contributed modules takes the place of the one here.

    Raises:
        Failed: It ended badly.
    """
    question = json.dumps({"folder": str(portraits), "splits": [split._asdict() for split in made]})
    command = [str(PEERS), "-E", str(LBPH)]
    told = subprocess.run(command, input=question, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if told.returncode:
        raise Failed(f"LBPH ended with code {told.returncode}: {told.stderr.strip()}")
    found: dict[str, Any] = json.loads(told.stdout)
    answers = [Answers(*([Answer(*one) for one in side] for side in round_)) for round_ in found["rounds"]]
    shares = mean_rates(made, answers)
    return {name: share for name, share in shares.items() if "own" not in name} | {"faces missed": found["missed"]}


def _shown(notes: Mapping[str, float]) -> dict[str, float | str]:
    return {name: f"{note:.3f}" if "missed" not in name else f"{note:.0f}" for name, note in notes.items()}


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers)
