"""Descriptors of faces, groups of faces by likeness, and faces that are never given a name again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from aggregators import face_descriptors, face_groups, people, people_changes, recogniser, rejections
from aggregators.people_changes import Changes
from aggregators.rejections import Rejection
from splitters import Item
from tasks import faces, faces_train
from tests.kit.programs import ROOT

np = pytest.importorskip("numpy")
if faces.why_unavailable():
    pytest.skip(faces.why_unavailable(), allow_module_level=True)

EXAMPLES = ROOT / "deploy" / "examples"
PEOPLE = ("ada", "gus", "kim", "rosa")


def portraits(*labels: str, folder: Path = EXAMPLES / "people") -> list[Item]:
    return [
        Item(f"{label}/{n}.jpg", (folder / label / f"{n}.jpg").read_bytes()) for label in labels for n in range(1, 6)
    ]


@pytest.fixture(scope="module")
def described() -> people.Portraits:
    """The example portraits of four people."""
    return faces_train.embed_people(portraits(*PEOPLE)).value


@pytest.fixture(scope="module")
def looked_at() -> dict[str, list[faces.Face]]:
    """Faces on all example pictures, without a bundle."""
    party = [Item(file.name, file.read_bytes()) for file in sorted((EXAMPLES / "party").glob("*.jpg"))]
    return faces.recognise([*portraits(*PEOPLE), *party], describe=True).value


def folder_of(model: Any, folder: Path) -> str:
    folder.mkdir(parents=True)
    for name, data in model.files.items():
        (folder / name).write_bytes(data)
    (folder / "bundle.json").write_text(json.dumps({"job": "faces", "parameters": model.parameters}))
    return str(folder)


@pytest.fixture(scope="module")
def bundle(described: people.Portraits, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a bundle that knows the four people."""
    return folder_of(people.fit(described), tmp_path_factory.mktemp("bundle") / "1")


def test_example_faces_are_grouped_one_group_a_person(looked_at: dict[str, list[faces.Face]]) -> None:
    told = [(name, face) for name, here in looked_at.items() for face in here]
    kind = face_descriptors.read(told[0][1]["descriptor"])[0]
    _, numbers = face_descriptors.read_all((face["descriptor"] for _, face in told), kind)
    groups = face_groups.group(numbers, numbers[:0])
    assert sorted(at for group in groups for at in group) == list(range(26))
    portraits_of = [{told[at][0].split("/")[0] for at in group if "/" in told[at][0]} for group in groups]
    assert sorted(map(sorted, filter(None, portraits_of))) == [["ada"], ["gus"], ["kim"], ["rosa"]]
    assert [len(group) for group in groups] == sorted(map(len, groups), reverse=True)


def test_two_strangers_alone_are_told_apart_by_the_faces_around(looked_at: dict[str, list[faces.Face]]) -> None:
    told = {name: face_descriptors.read(here[0]["descriptor"])[1] for name, here in looked_at.items()}
    few = np.array([told["ada/1.jpg"], told["ada/2.jpg"], told["kim/1.jpg"]])
    around = np.array([told[f"{label}/{n}.jpg"] for label in ("gus", "rosa") for n in (1, 2, 3)])
    assert sorted(map(sorted, face_groups.group(few, around))) == [[0, 1], [2]]


def test_a_few_pictures_of_one_person_alone_are_few_groups(looked_at: dict[str, list[faces.Face]]) -> None:
    ada = [face_descriptors.read(looked_at[f"ada/{n}.jpg"][0]["descriptor"])[1] for n in (1, 2, 3, 4, 5)]
    assert len(face_groups.group(np.array(ada), np.zeros((0, 512)))) <= 2


def test_one_picture_each_of_six_people_are_six_groups(looked_at: dict[str, list[faces.Face]]) -> None:
    party = [face["descriptor"] for name in ("garden.jpg", "kitchen.jpg") for face in looked_at[name]]
    numbers = np.array([face_descriptors.read(text)[1] for text in party])
    assert len(face_groups.group(numbers, numbers[:0])) == 6


def test_no_faces_and_one_face_give_as_many_groups() -> None:
    assert face_groups.group(np.zeros((0, 4))) == []
    assert face_groups.group(np.ones((1, 4)), np.zeros((0, 4))) == [[0]]


def test_groups_do_not_depend_on_the_order_of_faces() -> None:
    chance = np.random.default_rng(3)
    centres = np.repeat(chance.normal(size=(12, 64)), 9, axis=0)
    rows = centres + 0.6 * chance.normal(size=centres.shape)
    whole = {frozenset(group) for group in face_groups.group(rows, rows[:0])}
    assert whole == {frozenset(range(9 * at, 9 * at + 9)) for at in range(12)}
    order = chance.permutation(len(rows))
    assert {frozenset(order[at] for at in group) for group in face_groups.group(rows[order], rows[:0])} == whole


def test_a_descriptor_is_short_and_only_given_when_it_is_asked_for(looked_at: dict[str, list[faces.Face]]) -> None:
    face = looked_at["garden.jpg"][0]
    assert len(face["descriptor"]) == 706
    assert face["like"] == ""
    item = Item("garden.jpg", (EXAMPLES / "party" / "garden.jpg").read_bytes())
    assert faces.recognise([item]).value["garden.jpg"][0].keys() == {"box", "score", "label", "confidence"}


@pytest.mark.parametrize("text", ["", "discriminant-1a2b3c4d:", "cosine-1a2b3c4d:AA", "x" * 2000, None, "a:AAAA"])
def test_what_is_no_descriptor_is_refused_and_shown(text: Any) -> None:
    with pytest.raises(face_descriptors.BadDescriptor, match="is no descriptor of a face"):
        face_descriptors.read(text)


def test_a_rejected_face_never_gets_that_name_again_and_others_still_do(
    described: people.Portraits, looked_at: dict[str, list[faces.Face]], bundle: str, tmp_path: Path
) -> None:
    wrong = looked_at["kim/3.jpg"][0]["descriptor"]  # let it be somebody who looks like kim
    changes = people_changes.write(Changes(rejected=(Rejection("kim", wrong),)))
    model = people.fit({}, model=bundle, more=True, changes=changes)
    assert model.report["rejected"] == 1
    assert model.report["people"] == dict.fromkeys(PEOPLE, 5)
    second = folder_of(model, tmp_path / "2")
    # As kim's own picture is the very same one, the rejected one must win by being given: leave it out of hers.
    third = folder_of(
        people.fit({n: p for n, p in described.items() if n != "kim/3.jpg"}, model=second), tmp_path / "3"
    )
    for folder, expected in ((bundle, "kim"), (third, "unknown")):
        [face] = faces.recognise(portraits("kim")[2:3], model=folder, describe=True).value["kim/3.jpg"]
        assert face["label"] == expected, folder
        assert (face["like"] == "kim") == (expected == "kim")
    for label in PEOPLE:
        [face] = faces.recognise(portraits(label)[:1], model=third).value[f"{label}/1.jpg"]
        assert face["label"] == label


def test_a_name_that_is_given_later_takes_a_rejection_back(
    described: people.Portraits, looked_at: dict[str, list[faces.Face]], tmp_path: Path
) -> None:
    wrong = looked_at["kim/3.jpg"][0]["descriptor"]
    changes = people_changes.write(Changes(rejected=(Rejection("kim", wrong), Rejection("ada", wrong))))
    first = folder_of(people.fit(described, changes=changes), tmp_path / "1")
    assert len(json.loads(Path(first, "bundle.json").read_text())["parameters"]["rejected"]) == 2
    kim = {name: entry for name, entry in described.items() if name.startswith("kim/")}
    model = people.fit(kim, model=first, more=True)
    assert [one["label"] for one in model.parameters["rejected"]] == ["ada"]


def test_more_pictures_of_a_known_person_keep_those_it_knows(described: people.Portraits, tmp_path: Path) -> None:
    known = {name: entry for name, entry in described.items() if not name.endswith(("/4.jpg", "/5.jpg"))}
    first = folder_of(people.fit(known), tmp_path / "1")
    model = people.fit({"ada/4.jpg": described["ada/4.jpg"]}, model=first, more=True)
    assert model.report["people"] == {"ada": 4, "gus": 3, "kim": 3, "rosa": 3}


def test_a_person_who_is_forgotten_is_in_nothing_of_the_next_version(
    described: people.Portraits, looked_at: dict[str, list[faces.Face]], tmp_path: Path
) -> None:
    wrong = looked_at["kim/3.jpg"][0]["descriptor"]
    given = people_changes.write(Changes(rejected=(Rejection("rosa", wrong),)))
    first = folder_of(people.fit(described, changes=given), tmp_path / "1")
    model = people.fit({}, model=first, more=True, changes=people_changes.write(Changes(forget=("rosa",))))
    assert model.report["people"] == {"ada": 5, "gus": 5, "kim": 5}
    assert "rejected" not in model.parameters
    samples = people.read_samples(folder_of(model, tmp_path / "2"))
    assert samples
    assert set(samples.labels) == {"ada", "gus", "kim"}
    assert len(samples.digests) == 15


@pytest.mark.parametrize("text", ["[]", "{", '{"forget": "rosa"}', '{"rejected": [1]}', '{"rename": []}',
                                  '{"rejected": [{"label": "rosa", "descriptor": "x"}]}'])  # fmt: skip
def test_changes_of_another_form_are_refused_before_a_run_begins(text: str, tmp_path: Path) -> None:
    (tmp_path / "changes.json").write_text(text)
    with pytest.raises(ValueError, match=r"changes|rejected|descriptor"):
        people_changes.prepare({"changes": str(tmp_path / "changes.json")})


def test_a_bundle_with_bad_rejections_is_refused_with_its_name(bundle: str, tmp_path: Path) -> None:
    folder = shutil.copytree(bundle, tmp_path / "1")
    Path(folder, "bundle.json").write_text('{"job": "faces", "parameters": {"rejected": [{"label": "ada"}]}}')
    with pytest.raises(recogniser.BadRecogniser, match=r"bundle\.json.*no descriptor"):
        people.read_recogniser(str(folder), {"rejected": [{"label": "ada"}]})
    assert "no descriptor" in faces.why_unavailable(model=str(folder))


def test_only_the_latest_rejections_are_kept() -> None:
    many = [Rejection(f"p{number}", "d") for number in range(rejections.MOST + 5)]
    assert [one["label"] for one in rejections.write(many + many[-1:])] == [one.label for one in many[5:]]
