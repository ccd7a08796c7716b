"""The tree of errors."""

from __future__ import annotations

import json
import re

import pytest
from celery import Celery

from cluster import errors

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_crosses_the_broker_whole(kind: type[errors.ClusterError]) -> None:
    backend = Celery(set_as_current=False).backend
    sent = json.loads(json.dumps(backend.prepare_exception(kind("what, which, do"), "json")))
    back = backend.exception_to_python(sent)
    assert type(back) is kind
    assert str(back) == "what, which, do"


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_stands_in_the_drawing_of_the_tree_with_its_code(kind: type[errors.ClusterError]) -> None:
    rows = dict(re.findall(r"(\w+)(?: +(\d))?", errors.__doc__ or ""))
    assert kind.__name__ in rows
    if rows[kind.__name__]:
        assert kind.exit_code == int(rows[kind.__name__])


def test_an_error_without_a_message_says_what_its_class_says() -> None:
    assert str(errors.NothingToDo()) == "The input holds nothing that the job can work on."
