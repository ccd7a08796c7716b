"""Who is this? Faces that nobody knows are named on the page, learnt, and known in the next run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from cluster import catalog
from cluster.roles import Role
from tests.kit import faces, stages
from tests.kit.pages import Page, Visitor
from tests.kit.waiting import wait_until
from tests.page import sending

if problem := catalog.get("faces").why_not_here():
    pytest.skip(problem, allow_module_level=True)

MINUTE = 60.0
STRANGER = ("garden.jpg", 2)
"""Whom the example people do not include."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page of a cluster with a worker, and a bundle that knows three of the example people."""
    with stages.staged(tmp_path_factory.mktemp("people")) as stage:
        everybody = sending.of_folder(faces.FOLDER / "people")
        known = {f"{who}/{n}.jpg": everybody[f"{who}/{n}.jpg"] for who in ("ada", "kim", "rosa") for n in (1, 2, 3)}
        assert stage.client.submit("faces-train", known, model="office").result(MINUTE)["model"] == "office:1"
        yield stage.page


@pytest.fixture(scope="module")
def maria(page: Page) -> Visitor:
    return page.visitor(Role.OPERATOR, "maria")


@pytest.fixture(scope="module")
def upload(maria: Visitor) -> str:
    """The example pictures with three faces each."""
    files = sending.of_folder(faces.FOLDER / "party")
    sent = sending.begin(maria, files=len(files), job="faces")
    assert sending.send(maria, sent, sending.bundle(files.items())).status_code == 200
    maria.ask("POST", f"/api/uploads/{sent}/close")
    return sent


def looked_at(page: Page, maria: Visitor, upload: str) -> str:
    """A run of the upload with the version that runs get now, once it is done."""
    run = sending.run(maria, upload, "faces", model="office", describe=True)
    assert page.web.client.run(run).wait(MINUTE).state == "done"
    return run


@pytest.fixture(scope="module")
def run(page: Page, maria: Visitor, upload: str) -> str:
    return looked_at(page, maria, upload)


def labels(maria: Visitor, run: str, item: str) -> list[str]:
    found = maria.get(f"/runs/{run}/results.json", params={"item": item})["found"]
    return [face["label"] for face in found["one"]["faces"]]


def people(maria: Visitor, **query: Any) -> dict[str, Any]:
    return dict(maria.get("/people/office.json", params=query))


def group_of(found: dict[str, Any], item: str, number: int) -> dict[str, Any]:
    [group] = [one for one in found["groups"] if any((f["item"], f["number"]) == (item, number) for f in one["shown"])]
    return dict(group)


def say(maria: Visitor, kind: str, group: dict[str, Any], person: str = "", runs: str = "") -> httpx.Response:
    first = group["shown"][0]
    about = {"run": first["run"], "item": first["item"], "number": first["number"], "of": group["faces"]}
    return maria.ask("POST", "/api/people/office/say", json={"kind": kind, "person": person, "runs": runs, **about})


def test_boxes_are_shown_over_the_picture(maria: Visitor, run: str) -> None:
    found = maria.get(f"/runs/{run}/results.json", params={"item": "garden.jpg"})["found"]
    assert [face["label"] for face in found["one"]["faces"]] == ["kim", "ada", "unknown"]
    assert found["one"]["size"] == [720, 400]
    assert found["is_described"]
    html = maria.html(f"/runs/{run}/results?item=garden.jpg")
    assert html.count('<rect class="box"') == 3
    assert 'viewBox="0 0 720 400"' in html


def shown_face(maria: Visitor, run: str, item: str, label: str) -> dict[str, Any]:
    """A face as a group of its own."""
    found = maria.get(f"/runs/{run}/results.json", params={"item": item})["found"]["one"]["faces"]
    return {"shown": [next(face for face in found if face["label"] == label)], "faces": 1}


def test_a_stranger_is_named_a_name_refused_and_the_next_run_knows(
    page: Page, maria: Visitor, upload: str, run: str
) -> None:
    before = people(maria)
    assert (before["version"], before["unknown"]) == (1, 3)  # a stranger in the garden; gus and another in the kitchen
    group = group_of(before, *STRANGER)
    assert (group["faces"], group["pictures"]) == (1, 1)
    assert say(maria, "name", group, "  Otto   Meier ").status_code == 204
    assert say(maria, "not", shown_face(maria, run, "garden.jpg", "kim"), "kim").status_code == 204
    named = people(maria)
    assert [(one["kind"], one["person"], one["faces"]) for one in named["said"]] == [
        ("name", "Otto Meier", 1), ("not", "kim", 1),
    ]  # fmt: skip
    assert (named["unknown"], named["new_names"], named["next"]) == (3, 1, 2)
    assert group_of(named, "garden.jpg", 0)["suggestion"] != "kim"
    trained = maria.ask("POST", "/api/people/office/train").json()
    assert people(maria)["training"] == [trained["run"]]
    wait_until("it is trained", lambda: page.web.client.run(trained["run"]).report, timeout_s=MINUTE)
    after = people(maria)
    assert (after["version"], after["before"], after["said"], after["rejected"]) == (2, 1, [], 1)
    assert {one["label"]: one["learnt"] for one in after["people"]} == {"Otto Meier": 1, "ada": 3, "kim": 3, "rosa": 3}
    again = labels(maria, looked_at(page, maria, upload), "garden.jpg")
    assert again[0] != "kim"
    assert again[1:] == ["ada", "Otto Meier"]
    assert people(maria)["unknown"] == 3  # each of them once, though two runs have them
    assert maria.ask("POST", "/api/models/office:1/pin").status_code == 200
    assert labels(maria, looked_at(page, maria, upload), "garden.jpg") == ["kim", "ada", "unknown"]
    assert maria.ask("DELETE", "/api/models/office/pin").status_code == 200


@pytest.mark.parametrize(
    ("person", "why"),
    [("", "is no name"), ("unknown", "is no name"), ("a/b", "slash"), ("..", "no person"), ("\x01", "no")],
)
def test_what_can_be_no_name_is_refused_with_the_reason(maria: Visitor, run: str, person: str, why: str) -> None:
    first = maria.get(f"/runs/{run}/results.json", params={"item": "kitchen.jpg"})["found"]["one"]["faces"][0]
    answer = say(maria, "name", {"shown": [first], "faces": 1}, person, runs=run)
    assert answer.status_code == 422
    assert why in answer.json()["detail"]


def test_a_group_that_has_changed_is_not_named_in_place_of_another(maria: Visitor, run: str) -> None:
    group = people(maria, run=run)["groups"][0]
    assert say(maria, "name", {**group, "faces": group["faces"] + 7}, "gus", runs=run).status_code == 409


def test_what_was_said_can_be_taken_back_before_it_is_trained(maria: Visitor, run: str) -> None:
    before = people(maria, run=run)
    say(maria, "no face", before["groups"][-1], runs=run)
    assert people(maria, run=run)["of_groups"] == before["of_groups"] - 1
    maria.ask("POST", "/api/people/office/take-back", json={"kind": "no face"})
    assert people(maria, run=run)["groups"] == before["groups"]


def test_others_see_neither_runs_nor_faces_that_are_private(page: Page, run: str) -> None:
    other = page.visitor(Role.SUBMITTER, "kim")
    found = people(other, run=run)
    assert (found["runs"], found["groups"]) == ([], [])
    assert (
        say(
            other, "name", {"shown": [{"run": run, "item": "garden.jpg", "number": 2}], "faces": 1}, "x", runs=run
        ).status_code
        == 404
    )
    assert other.ask("POST", "/api/people/office/forget", json={"person": "ada"}).status_code == 403


def test_a_no_alone_needs_no_run(maria: Visitor, run: str) -> None:
    found = people(maria)
    say(maria, "not", shown_face(maria, run, "garden.jpg", "ada"), "ada", runs=run)
    made = maria.ask("POST", "/api/people/office/train").json()
    assert made == {"run": "", "model": f"office:{found['next']}"}
    assert people(maria)["rejected"] == found["rejected"] + 1


def test_a_person_is_forgotten_by_a_version_without(maria: Visitor) -> None:
    found = people(maria)
    made = maria.ask("POST", "/api/people/office/forget", json={"person": "rosa"}).json()
    assert made["model"] == f"office:{found['next']}"
    assert "rosa" not in [one["label"] for one in people(maria)["people"] if one["learnt"]]
    html = maria.html("/people/office")
    assert "Forget rosa" not in html
    assert "Forget ada" in html
