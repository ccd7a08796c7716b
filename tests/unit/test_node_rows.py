"""Nodes as the page shows them: a word for each state, what they lack, and how busy they were."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from cluster.client.nodes import PENDING
from cluster.web import node_history, node_rows, render
from cluster.web.node_history import History
from tests.kit.nodes import a_node


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ("online", "")),
        ({"held_back": "in use", "slots_allowed": 1}, ("in use", "fills 1 of 2 slots")),
        ({"held_back": "in use", "slots_allowed": 0}, ("paused", "in use")),
        ({"held_back": "by maria", "paused_by": "maria", "slots_allowed": 0}, ("paused", "by maria")),
        ({"state": "leaving", "held_back": "in use"}, ("leaving", "ends what it works on")),
    ],
)
def test_each_state_of_a_node_is_a_word_and_a_reason(fields: dict[str, Any], expected: tuple[str, str]) -> None:
    assert node_rows.state(a_node(slots=2, **fields)) == expected


def test_a_node_that_is_not_heard_of_says_since_when() -> None:
    word, why = node_rows.state(a_node(state="silent"))
    assert word == "silent"
    assert why.startswith("last heard ")


def test_what_a_node_lacks_is_told_once_for_a_job_that_it_lacks_altogether() -> None:
    missing = {"ocr": "no tesseract", "ocr@deu": "no tesseract", "faces@a:1": "no file", "onnx@b:1": PENDING}
    found = node_rows.lacks(a_node(missing=missing, outdated={"wordcount": "was upgraded"}))
    assert found == {"ocr": "no tesseract", "faces@a:1": "no file", "wordcount": "was upgraded"}


def test_a_version_that_most_others_do_not_have_is_told() -> None:
    nodes = [
        a_node(name, versions={"celery": version}) for name, version in zip("abc", ("5.5", "5.4", "5.5"), strict=True)
    ]
    found = {row.node.name: row.unlike for row in node_rows.rows(nodes, {})}
    assert found == {"a": {}, "b": {"celery": "5.4"}, "c": {}}


def test_nodes_that_are_gone_stand_last() -> None:
    found = node_rows.rows([a_node("a", state="gone"), a_node("c"), a_node("b")], {})
    assert [row.node.name for row in found] == ["b", "c", "a"]
    assert not node_rows.cells(found[-1]).here


def test_the_history_of_a_node_is_a_path_that_ends_now() -> None:
    assert node_history.path([]) == ""
    assert node_history.path([0.5, 0.5, 1.0]) == "M117 20V10H119V0H120V20Z"
    assert node_history.path([1.0, None, 0.25]) == "M117 20V0H118V20ZM119 20V15H120V20Z"
    assert node_history.path([0.0] * 500) == "M0 20V20H120V20Z"


def test_the_history_keeps_ten_minutes_and_forgets_nodes_that_are_forgotten() -> None:
    history = History()
    history.add([a_node("a", slots=4, busy=2), a_node("b")])
    history.miss()
    history.add([a_node("a", slots=4, busy=5)])
    assert history.recent() == {"a": [0.5, None, 1.0]}
    assert history.paths() == {"a": node_history.path([0.5, None, 1.0])}
    for _ in range(node_history.WIDTH):
        history.miss()
    assert history.recent() == {"a": [None] * node_history.WIDTH}
    assert history.paths() == {"a": ""}


def test_a_command_shows_what_turns_the_direction_of_text_as_bash_reads_it() -> None:
    name = "it's\\n\u202e @host"
    shown = render.command(["printf", "%s", name])
    assert shown == "printf %s $'it\\'s\\\\n\\u202e @host'"
    told = subprocess.run(["bash", "-c", shown], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})
    assert told.stdout.decode() == name
