"""Services on the page: who answers and how fast; serve, scale, promote, stop."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cluster.names import Target
from cluster.roles import Role
from tests.kit.pages import Page, Visitor
from tests.kit.played_replica import PlayedReplica
from tests.kit.tagged import push
from tests.kit.waiting import wait_until


@pytest.fixture(scope="module")
def operator(visitors: dict[Role, Visitor]) -> Visitor:
    return visitors[Role.OPERATOR]


def serve(visitor: Visitor, **given: Any) -> None:
    answer = visitor.ask("POST", "/api/services", json=given)
    assert answer.status_code == 200, answer.text


def row(visitor: Visitor, name: str) -> Any:
    return next(one for one in visitor.get("/services.json")["rows"] if one["name"] == name)


def test_a_service_shows_its_replicas_and_how_fast_they_answer(page: Page, operator: Visitor) -> None:
    serve(operator, job="measure", replicas=1)
    assert row(operator, "measure")["state"] == "waiting"
    with PlayedReplica(page.web.client.stores.redis, Target("measure")):
        wait_until("it is ready", lambda: row(operator, "measure")["state"] == "ready")
        assert page.web.client.service("measure").predict({"a.txt": b"12345"}).items == {"a.txt": {"size": 5}}
        told = wait_until("its traffic is told", lambda: row(operator, "measure")["versions"])
        assert row(operator, "measure")["replicas"][0][:3] == ["played@pc", "ready", "measure"]
        assert row(operator, "measure")["facts"]["95 % within"].endswith(" ms")
        assert len(told) == 1
        shown = operator.html("/services")
        assert 'data-service="measure"' in shown
        assert "played@pc" in shown


def test_watchers_hear_of_a_service_as_it_is_scaled(page: Page, operator: Visitor) -> None:
    serve(operator, job="measure", name="watched")
    with operator.asker.stream("GET", "/api/services/live") as events:
        lines = events.iter_lines()
        told = wanted(lines, "watched")
        assert told == 1
        assert operator.ask("POST", "/api/services/watched/scale", json={"replicas": 3}).status_code == 204
        wait_until("the new number is told", lambda: wanted(lines, "watched") == 3)
    assert operator.ask("DELETE", "/api/services/watched").status_code == 204
    assert all(one["name"] != "watched" for one in operator.get("/services.json")["rows"])


def wanted(lines: Any, name: str) -> int:
    """How many replicas the next event says that a service is to have."""
    line = next(line for line in lines if line.startswith("data: "))
    return next(int(one["wanted"]) for one in json.loads(line[6:])["services"] if one["name"] == name)


def test_a_canary_is_promoted_by_pinning_its_version(page: Page, operator: Visitor) -> None:
    for tag in ("a", "b", "c"):
        push(page.web.client.stores, "office", tag)
    operator.ask("POST", "/api/models/office:1/pin")
    serve(operator, model="office", canary="office:2=10%")
    assert row(operator, "office")["promotable"] == ["office:2", "office:3"]
    assert "Promote office:2" in operator.html("/services")
    assert operator.ask("POST", "/api/services/office/promote", json={"ref": "office:2"}).status_code == 204
    assert page.web.client.models.state("office").pinned == 2
    assert page.web.client.service("office").status().canary == {}
    assert [one["services"] for one in operator.get("/models.json")["models"] if one["name"] == "office"] == [
        ["office"]
    ]
    assert "the service office" in operator.get("/models/office:2.json")["used_by"]
    other = operator.ask("POST", "/api/services/office/promote", json={"ref": "elsewhere:2"})
    assert other.status_code == 422


def test_a_version_that_a_service_serves_is_not_removed_unasked(page: Page, operator: Visitor) -> None:
    push(page.web.client.stores, "held", "a")
    serve(operator, model="held")
    refused = operator.ask("DELETE", "/api/models/held:1")
    assert refused.status_code == 422
    assert "in use by the service held" in refused.json()["detail"]
    assert "In use by the service held" in operator.html("/models/held")
    assert operator.ask("DELETE", "/api/models/held:1?force=true").json()["removed"] == ["held:1"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "name the job to serve"),
        ({"job": "wordcount"}, "cannot be served"),
        ({"model": "nobody"}, "no bundle 'nobody'"),
        ({"job": "measure", "replicas": 1000}, "the number of replicas is 1000"),
        ({"job": "measure", "name": "Not a name"}, "cannot name a service"),
        ({"job": "measure", "colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_served_is_refused_in_words(operator: Visitor, given: dict[str, Any], told: str) -> None:
    answer = operator.ask("POST", "/api/services", json=given)
    assert answer.status_code in (404, 422)
    assert told in answer.json()["detail"]


def test_the_form_asks_for_the_options_that_matter_for_single_items(operator: Visitor) -> None:
    found = {one["job"]: one for one in operator.get("/services.json")["form"]["jobs"]}
    assert "wordcount" not in found
    fields = {field["name"]: field for field in found["ocr"]["fields"]}
    assert {"lang", "max_megapixels", "engine"} <= set(fields)
    assert set(fields).isdisjoint({"model", "chunk_size", "password_file"})
    assert fields["words"]["default"] is False
    assert '<fieldset data-job="ocr" hidden disabled>' in operator.html("/services")


def test_a_service_gets_options_and_its_form_shows_them(page: Page, operator: Visitor) -> None:
    serve(operator, job="ocr", name="letters", options={"lang": "deu", "words": True})
    assert page.web.client.service("letters").status().options == {"lang": "deu", "words": True}
    begins = operator.get("/services.json?service=letters")["form"]
    assert begins["begins"] | {"options": {}} == {
        "model": None, "job": "ocr", "name": "letters", "replicas": 1, "max_waiting": 512, "deadline_s": 10.0,
        "canary": None, "shadow": None, "options": {},
    }  # fmt: skip
    [ocr] = [one for one in begins["jobs"] if one["job"] == "ocr"]
    assert {field["name"]: field["default"] for field in ocr["fields"]}["lang"] == "deu"
    shown = operator.html("/services?service=letters")
    assert '<fieldset data-job="ocr">' in shown
    assert 'id="ocr-words" checked' in shown
    serve(operator, job="ocr", name="letters", options={"words": False})
    assert page.web.client.service("letters").status().options == {"lang": "deu", "words": False}


def test_the_command_of_a_service_names_all_that_was_chosen(page: Page, operator: Visitor) -> None:
    push(page.web.client.stores, "spoken", "a")
    given = {"model": "spoken:1", "name": "said", "replicas": 2, "deadline_s": 2.5, "canary": "none"}
    told = operator.ask("POST", "/api/services/foresee", json=given).json()
    assert told["command"] == [
        "cluster", "serve", "spoken:1", "--name", "said", "--replicas", "2", "--deadline", "2.5", "--canary", "none",
    ]  # fmt: skip
    assert told["told"] == "No node is online: the service answers once one comes."
    options = {"lang": "deu", "words": False}
    told = operator.ask("POST", "/api/services/foresee", json={"job": "ocr", "options": options}).json()
    assert told["command"] == ["cluster", "serve", "--job", "ocr", "--lang", "deu", "--no-words"]
    assert all(one["name"] not in ("said", "ocr") for one in operator.get("/services.json")["rows"])


@pytest.mark.parametrize("path", ["/api/services", "/api/services/foresee"])
@pytest.mark.parametrize(
    ("given", "field", "told"),
    [
        ({"job": "ocr", "options": {"max_megapixels": 1000}}, "options.max_megapixels", "it must be 178 or less"),
        ({"job": "ocr", "options": {"text": "no"}}, "options.text", "it must be one of skip, redo, force"),
        ({"job": "ocr", "options": {"password_file": "/etc/passwd"}}, "options.password_file", "names a file of the"),
        ({"model": "nobody"}, "model", "no bundle 'nobody'"),
        ({"job": "ocr", "options": {"colour": "red"}}, "", "job ocr has no option 'colour'"),
    ],
)
def test_what_is_wrong_with_a_service_is_told_at_its_field(
    operator: Visitor, path: str, given: dict[str, Any], field: str, told: str
) -> None:
    answer = operator.ask("POST", path, json={"name": "wrong", **given})
    assert answer.status_code in (404, 422)
    assert answer.json()["field"] == field
    assert told in answer.json()["detail"]
    assert all(one["name"] != "wrong" for one in operator.get("/services.json")["rows"])


def test_who_is_no_operator_sees_services_and_changes_none(operator: Visitor, visitors: dict[Role, Visitor]) -> None:
    serve(operator, job="measure", name="guarded")
    for visitor in (visitors[Role.VIEWER], visitors[Role.SUBMITTER]):
        shown = visitor.html("/services")
        assert "guarded" in shown
        assert "<form class" not in shown
        assert "data-post" not in shown
        for method, path, body in (
            ("POST", "/api/services", {"job": "measure"}), ("POST", "/api/services/guarded/scale", {"replicas": 0}),
            ("POST", "/api/services/guarded/promote", {"ref": "a:1"}), ("DELETE", "/api/services/guarded", None),
        ):  # fmt: skip
            assert visitor.ask(method, path, json=body).status_code == 403
    assert row(operator, "guarded")["wanted"] == 1
    assert operator.ask("POST", "/api/services/unknown/scale", json={"replicas": 1}).status_code == 404
