"""Faces that people name on the page: sorted by what runs and people said, grouped, and what is trained of it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from aggregators import face_middle
from cluster.web import people_groups, people_said, people_training
from cluster.web.decisions import Decisions
from cluster.web.face_rows import Face
from cluster.web.people_known import NOBODY
from cluster.web.problems import Problem

np = pytest.importorskip("numpy")


def descriptor(who: int, number: int = 0) -> str:
    chance = np.random.default_rng([who, number])
    usual = np.frombuffer(face_middle.MIDDLE, np.int8)
    row = usual + np.random.default_rng([who]).normal(0, 20, len(usual)) + chance.normal(0, 10, len(usual))
    return f"discriminant-1a2b3c4d:{base64.b64encode(row.clip(-127, 127).astype(np.int8).tobytes()).decode()}"


def face(run: str = "faces-1", item: str = "a.jpg", number: int = 0, **about: Any) -> Face:
    usual = {"box": (1, 1, 50, 50), "score": 0.8, "label": "unknown", "confidence": 0.9, "like": "", "descriptor": ""}
    return Face(run, item, number, **{**usual, **about})


@pytest.fixture
def decisions(tmp_path: Path) -> Decisions:
    return Decisions(tmp_path)


STRANGERS = [
    face(item=f"{who}-{number}.jpg", descriptor=descriptor(who, number)) for who in range(4) for number in range(3)
]


def test_faces_of_a_stranger_are_one_group_and_get_one_name(decisions: Decisions) -> None:
    groups = people_groups.group(STRANGERS, NOBODY, [], [])
    assert sorted(sorted(one.item for one in group.faces) for group in groups) == [
        [f"{who}-{number}.jpg" for number in range(3)] for who in range(4)
    ]
    decisions.decide("office", groups[0].faces, "name", "Otto", "maria")
    told = people_groups.sort(STRANGERS, decisions.all("office"))
    assert len(told.unknown) == 9
    assert people_groups.sort(STRANGERS, decisions.all("other")).unknown == STRANGERS


def test_a_suggestion_that_was_refused_is_not_made_again_also_in_a_later_run(decisions: Decisions) -> None:
    like = [one._replace(like="rosa", confidence=0.6) for one in STRANGERS[:3]]
    [group] = people_groups.group(like, NOBODY, [], STRANGERS[3:])
    assert (group.suggestion, round(group.likeness, 2)) == ("rosa", 0.4)
    decisions.decide("office", group.faces[:1], "not", "rosa", "maria")
    again = [one._replace(run="faces-2") for one in like]
    [group] = people_groups.group(again, NOBODY, decisions.all("office"), STRANGERS[3:])
    assert (group.suggestion, group.likeness) == ("", 0.0)


def test_a_name_that_was_refused_leaves_the_face_unknown(decisions: Decisions) -> None:
    rosa = STRANGERS[0]._replace(label="rosa", like="rosa", confidence=0.7)
    assert people_groups.sort([rosa], []).named == [rosa]
    decisions.decide("office", [rosa], "not", "rosa", "maria")
    assert people_groups.sort([rosa], decisions.all("office")).unknown == [rosa]


def test_the_same_face_in_two_runs_is_asked_for_once_and_stays_decided(decisions: Decisions) -> None:
    later = [one._replace(run="faces-2") for one in STRANGERS]
    assert people_groups.sort([*later, *STRANGERS], []).unknown == later
    decisions.decide("office", STRANGERS[:1], "no face", "", "maria")
    assert people_groups.sort(later, decisions.all("office")).unknown == later[1:]


def test_a_face_without_a_descriptor_is_counted_and_not_grouped() -> None:
    told = people_groups.sort([face(), face(number=1, descriptor="nonsense")], [])
    assert told.undescribed == 1
    assert people_groups.group(told.unknown, NOBODY, [], []) == []


def test_the_last_word_on_a_face_counts_and_can_be_taken_back(decisions: Decisions) -> None:
    [one] = STRANGERS[:1]
    for kind, person in (("name", "Otto"), ("not", "Otto"), ("not", "rosa"), ("no face", ""), ("name", "rosa")):
        decisions.decide("office", [one], kind, person, "maria")  # type: ignore[arg-type]
    assert [(each.kind, each.person) for each in decisions.all("office")] == [("not", "Otto"), ("name", "rosa")]
    decisions.take_back("office", "name", "rosa")
    assert [each.kind for each in decisions.all("office")] == ["not"]
    decisions.note_training("office", decisions.all("office"), "faces-train-1")
    decisions.take_back("office", "not", "Otto")
    assert [each.trained for each in decisions.all("office")] == ["faces-train-1"]


def test_what_was_said_lies_in_a_file_of_its_owner_alone_and_is_forgotten_with_its_run(
    decisions: Decisions, tmp_path: Path
) -> None:
    decisions.decide("office", STRANGERS[:2], "name", "Otto", "maria")
    assert (tmp_path / "people.sqlite").stat().st_mode & 0o777 == 0o600
    decisions.forget_run("faces-1")
    assert decisions.all("office") == []
    assert b"Otto" not in (tmp_path / "people.sqlite").read_bytes()


def test_of_many_rejected_faces_that_are_alike_a_few_are_kept(decisions: Decisions) -> None:
    many = [face(item=f"{n}.jpg", descriptor=descriptor(1, n)) for n in range(30)] + [STRANGERS[9]]
    decisions.decide("office", many, "not", "rosa", "maria")
    kept = people_training.rejected(decisions.all("office"))
    assert STRANGERS[9].descriptor in {one.descriptor for one in kept}
    assert len(kept) == people_training.MOST_REJECTED
    assert {one.label for one in kept} == {"rosa"}


@pytest.mark.parametrize(
    ("typed", "kept"), [("  Otto   Meier ", "Otto Meier"), ("Zoe\u0308", "Zoë"), ("小林", "小林"), ("o'Neil", "o'Neil")]
)
def test_names_are_kept_as_they_are_but_for_space_around_them(typed: str, kept: str) -> None:
    assert people_said.checked(typed) == kept


@pytest.mark.parametrize("typed", ["", " ", "unknown", "a/b", "a\\b", "..", ".", "C:x", "a\0b", "x" * 300])
def test_names_that_would_be_other_paths_are_refused(typed: str) -> None:
    with pytest.raises(Problem) as refused:
        people_said.checked(typed)
    assert refused.value.status == 422
