"""Who may make the next version of a model that all runs get."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cluster.client.run import Belongs
from cluster.roles import Role
from cluster.web import submit
from cluster.web.face_rows import Face
from cluster.web.problems import Problem
from cluster.web.routes import Who
from tests.kit import tagged
from tests.kit.page_runs import PageRun
from tests.kit.pages import Page
from tests.page import sending


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
        submit.require_may_train(asked, job, options)
    else:
        with pytest.raises(Problem, match="--changes") as refused:
            submit.require_may_train(asked, job, options)
        assert refused.value.status == 403


def test_people_of_a_bundle_that_is_there_are_trained_by_an_operator(page: Page) -> None:
    tagged.push(page.web.client.stores, "taken", "a")
    kim = page.visitor(Role.SUBMITTER, "kim")
    run = PageRun(page.web.client.stores, "faces", {"a.jpg": []}, belongs=Belongs("kim")).end()
    face = Face(run.id, "a.jpg", 0, (1, 1, 9, 9), 0.8, "unknown", 0.9, "", "")
    page.web.decisions.decide("taken", [face], "not", "ada", "kim")
    answer = kim.ask("POST", "/api/people/taken/train")
    assert (answer.status_code, "ask an operator" in answer.json()["detail"]) == (403, True)
