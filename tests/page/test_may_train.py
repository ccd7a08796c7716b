"""Who may make the next version of a model that all runs get."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cluster import errors
from cluster.client.run import Belongs
from cluster.roles import Role
from cluster.web import publishing
from cluster.web.face_rows import Face
from cluster.web.problems import Problem
from cluster.web.routes import Who
from tests.kit import tagged
from tests.kit.page_runs import PageRun
from tests.kit.pages import Page, Visitor
from tests.page import sending

BUTTON = "Publish the model"


@pytest.mark.parametrize("model", ["taken", "taken:1"])
def test_a_submitter_trains_no_next_version_of_a_model(page: Page, model: str) -> None:
    tagged.push(page.web.client.stores, "taken", "a")
    kim = page.visitor(Role.SUBMITTER, "kim")
    asked = {"job": "train", "upload": sending.begin(kim, files=1), "options": {"model": model}}
    answer = kim.ask("POST", "/api/runs", json=asked)
    assert (answer.status_code, "taken:1 is there" in answer.json()["detail"]) == (403, True)


@pytest.mark.parametrize(
    ("role", "job", "options", "is_allowed"),
    [
        (Role.SUBMITTER, "train", {"model": "fresh"}, True),
        (Role.SUBMITTER, "predict", {"model": "taken"}, True),
        (Role.SUBMITTER, "faces-train", {"model": "fresh", "changes": '{"forget": ["ada"]}\n'}, False),
        (Role.OPERATOR, "faces-train", {"model": "taken", "changes": '{"forget": ["ada"]}\n'}, True),
    ],
)
def test_a_new_name_is_free_and_changes_are_an_operators(
    page: Page, role: Role, job: str, options: dict[str, Any], *, is_allowed: bool
) -> None:
    tagged.push(page.web.client.stores, "taken", "a")
    asked: Any = SimpleNamespace(who=Who("kim", role), web=page.web)
    if is_allowed:
        publishing.require_may_train(asked, job, options)
    else:
        with pytest.raises(Problem, match="--changes") as refused:
            publishing.require_may_train(asked, job, options)
        assert refused.value.status == 403


def test_people_of_a_bundle_that_is_there_are_trained_by_an_operator(page: Page) -> None:
    tagged.push(page.web.client.stores, "taken", "a")
    kim = page.visitor(Role.SUBMITTER, "kim")
    run = PageRun(page.web.client.stores, "faces", {"a.jpg": []}, belongs=Belongs("kim")).end()
    face = Face(run.id, "a.jpg", 0, (1, 1, 9, 9), 0.8, "unknown", 0.9, "", "")
    page.web.decisions.decide("taken", [face], "not", "ada", "kim")
    answer = kim.ask("POST", "/api/people/taken/train")
    assert (answer.status_code, "ask an operator" in answer.json()["detail"]) == (403, True)


def trained(page: Page, owner: str, model: str, text: str) -> str:
    """A run of a submitter that has trained a model, and that nobody has published yet."""
    belongs = Belongs(owner, publishes="first")
    return (
        PageRun(page.web.client.stores, "tag-train", {"a.txt": text}, options={"model": model}, belongs=belongs)
        .end()
        .id
    )


def published(visitor: Visitor, run: str) -> tuple[int, str]:
    """What came of asking for it: the status, and the version that runs get, or why not."""
    answer = visitor.ask("POST", f"/api/runs/{run}/publish")
    return answer.status_code, answer.json().get("current") or answer.json()["detail"]


def test_of_two_submitters_with_one_new_name_the_second_publishes_nothing(page: Page) -> None:
    maria, kim = page.visitor(Role.SUBMITTER, "maria"), page.visitor(Role.SUBMITTER, "kim")
    runs = [trained(page, owner, "twice", owner) for owner in ("maria", "kim")]
    assert BUTTON in kim.html(f"/runs/{runs[1]}/results")
    assert published(maria, runs[0]) == published(maria, runs[0]) == (200, "twice:1")
    status, why = published(kim, runs[1])
    assert (status, why.partition(",")[0]) == (403, "twice:1 is there already")
    shown = kim.html(f"/runs/{runs[1]}/results")
    assert (BUTTON in shown, why in shown) == (False, True)
    with pytest.raises(errors.RunFailed, match="others have made a model 'twice' already"):
        page.web.client.run(runs[1]).result()  # as its submitter's process and a master do
    jan = page.visitor(Role.OPERATOR, "jan")
    assert BUTTON in jan.html(f"/runs/{runs[1]}/results")
    assert published(jan, runs[1]) == (200, "twice:2")


@pytest.mark.parametrize(("role", "may"), [(Role.SUBMITTER, "first"), (Role.OPERATOR, "any"), (Role.ADMIN, "any")])
def test_what_a_run_may_publish_is_its_owners_role(role: Role, may: str) -> None:
    assert publishing.publishes(Who("kim", role)) == may


@pytest.mark.parametrize("role", Role)
def test_a_model_is_published_by_the_owner_of_its_run_or_an_operator(page: Page, role: Role) -> None:
    run = trained(page, "maria", f"of-{role.word}", "x")
    page.web.client.run(run).share("cluster")
    other = page.visitor(role, f"other-{role.word}")
    may = role >= Role.OPERATOR
    assert (BUTTON in other.html(f"/runs/{run}/results")) == may
    assert published(other, run)[0] == (200 if may else 403)
