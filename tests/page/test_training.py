"""A run in rounds on the page: its curve, its table, its report."""

from __future__ import annotations

import csv
import io

import pytest

from cluster.bundles.content import Content
from cluster.roles import Role
from tests.integration.test_curve import closed
from tests.kit.pages import Page, Visitor
from tests.kit.played_rounds import PlayedRounds
from tests.unit.test_page_reports import ENSEMBLE


@pytest.fixture(scope="module")
def run(page: Page) -> PlayedRounds:
    played = PlayedRounds(page.web.client.stores, job="train")
    closed(played, 0, 1)
    closed(played, 2, late=1, late_shards=[2], rejected={"1": "<b>NaN</b>"})
    return played


def test_a_training_shows_its_curve_as_drawing_and_table(run: PlayedRounds, admin: Visitor) -> None:
    found = admin.get(f"/runs/{run.run}/training.json")
    assert [chart["name"] for chart in found["charts"]] == ["loss", "accuracy"]
    assert (found["rounds"], found["best"]) == (3, "accuracy 0.700 in round 2")
    shown = admin.html(f"/runs/{run.run}/training")
    assert shown.count("<polyline") == 2
    assert found["charts"][0]["points"] in shown
    assert "shard 1 rejected: &lt;b&gt;NaN&lt;/b&gt;" in shown
    assert "cluster curve" in shown


def test_the_rows_of_a_training_can_be_taken_as_csv(run: PlayedRounds, admin: Visitor) -> None:
    answer = admin.ask("GET", f"/runs/{run.run}/curve.csv")
    assert answer.headers["content-disposition"] == f'attachment; filename="{run.run}-curve.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["loss"] for row in rows] == ["2.0", "1.0", "0.0"]
    assert rows[0]["compute_s"] == "0.1"


def test_a_run_without_rounds_has_no_training(page: Page, admin: Visitor) -> None:
    assert admin.ask("GET", "/runs/ocr-00000000/training.json").status_code == 404


def test_the_report_of_a_run_is_shown_once_its_model_is_published(
    page: Page, visitors: dict[Role, Visitor], admin: Visitor
) -> None:
    played = PlayedRounds(page.web.client.stores, job="train")
    closed(played, 0, last=0)
    before = admin.get(f"/runs/{played.run}/results.json")
    assert (before["kind"], before["is_whole"], before["found"]["is_published"]) == ("report", False, False)
    assert "Publish the model" in admin.html(f"/runs/{played.run}/results")
    assert "Publish the model" not in visitors[Role.VIEWER].html(f"/runs/{played.run}/results")
    assert (before["formats"], admin.ask("GET", f"/runs/{played.run}/text.json?item=x").status_code) == ([], 404)
    assert admin.ask("GET", f"/runs/{played.run}/download/json").status_code == 409
    page.web.client.stores.ledger.reports.enter(played.run, ENSEMBLE)
    assert admin.get(f"/runs/{played.run}/download/json")["model"] == ENSEMBLE["model"]
    after = admin.get(f"/runs/{played.run}/results.json")
    assert after["is_whole"]
    assert after["found"]["confusion"]["table"] == [[9, 1], [0, 12]]
    shown = admin.html(f"/runs/{played.run}/results")
    assert '<a href="/models/letters:2">letters:2</a>' in shown
    assert "a taken for b (1 of 10)" in shown
    assert "missing: it fell over" in shown


def test_confusions_of_a_net_have_the_names_of_its_model(page: Page, admin: Visitor) -> None:
    played = PlayedRounds(page.web.client.stores, job="train")
    closed(played, 0, last=0)
    unnamed = {key: value for key, value in ENSEMBLE.items() if key != "classes"}
    page.web.client.stores.ledger.reports.enter(played.run, {**unnamed, "model": "shapes:1"})
    shown = admin.get(f"/runs/{played.run}/results.json")["found"]
    assert shown["confusion"]["classes"] == ["0", "1"]  # the model is gone
    made = Content("predict", {"weights": b"x"}, parameters={"classes": ["round", "square"]})
    page.web.client.stores.models.bundles.push("shapes", made, "a test")
    shown = admin.get(f"/runs/{played.run}/results.json")["found"]
    assert shown["confusion"]["classes"] == ["round", "square"]


def test_a_run_that_goes_on_or_a_viewer_publishes_nothing(run: PlayedRounds, visitors: dict[Role, Visitor]) -> None:
    assert visitors[Role.VIEWER].ask("POST", f"/api/runs/{run.run}/publish").status_code == 403
    assert visitors[Role.OPERATOR].ask("POST", f"/api/runs/{run.run}/publish").status_code == 409
