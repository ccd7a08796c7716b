"""What may come by the broker, and what is dropped before kombu or Celery reads it."""

from __future__ import annotations

import base64
import json
import lzma
from collections.abc import Callable
from typing import Any

import pytest

from cluster import keys
from cluster.messaging import messages

QUEUE = keys.queue("wordcount.1")
PARTIAL = {"run": "wordcount-1", "level": 0, "number": 0}
HEADERS: dict[str, Any] = {
    "lang": "py", "task": "cluster.map", "id": "wordcount-1.3", "shadow": "cluster.wordcount",
    "eta": None, "expires": None,
    "group": "650ca3df-b4d9-4642-baa4-e0289ed1133b", "group_index": 0, "retries": 0, "timelimit": [630, 600],
    "root_id": "wordcount-1.3", "parent_id": None, "argsrepr": "({'run': 'wordcount-1', 'chunks': [3]},)",
    "kwargsrepr": "{}", "origin": "gen1@pc", "ignore_result": True, "replaced_task_nesting": 0,
    "stamped_headers": None, "stamps": {},
}  # fmt: skip
JOIN = {
    "task": "cluster.aggregate", "args": [PARTIAL], "kwargs": {}, "subtask_type": None, "immutable": True,
    "options": {"task_id": "wordcount-1.partial.0.0", "queue": QUEUE, "shadow": "cluster.wordcount.aggregate",
        "time_limit": 630, "soft_time_limit": 600, "ignore_result": True, "reply_to": "a-1", "group_id": "b-1",
    },
}  # fmt: skip
EMBEDDED = {"callbacks": None, "errbacks": None, "chain": None, "chord": JOIN}
BODY = [[{"run": "wordcount-1", "chunks": [3]}], {}, EMBEDDED]


def message(body: Any = BODY, sent_to: Any = None, properties: Any = None, **headers: Any) -> bytes:
    """One that ``messaging.publish`` publishes, but for what is given."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return json.dumps(
        {
            "body": base64.b64encode(raw).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {**HEADERS, **headers},
            "properties": {
                "correlation_id": "wordcount-1.3", "reply_to": "a-1", "delivery_mode": 2, "priority": 0,
                "delivery_info": sent_to or {"exchange": "", "routing_key": QUEUE},
                "body_encoding": "base64", "delivery_tag": "c-1", **(properties or {}),
            },
        }
    ).encode()  # fmt: skip


def body_of(raw: bytes) -> Any:
    return json.loads(base64.b64decode(json.loads(raw)["body"]))


def test_a_message_of_ours_keeps_all_that_celery_needs() -> None:
    checked = json.loads(messages.task(message(), QUEUE))
    assert body_of(messages.task(message(), QUEUE)) == BODY
    assert checked["properties"] == json.loads(message())["properties"]
    left_out = {"lang", "origin", "replaced_task_nesting", "stamped_headers", "stamps"}
    assert checked["headers"] == {name: value for name, value in HEADERS.items() if name not in left_out}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timelimit", ["x", "y"]),
        ("timelimit", [1e999, 1]),
        ("timelimit", [-1, 600]),
        ("timelimit", 600),
        ("compression", "application/x-lzma"),
        ("compression", "zlib"),
        ("eta", "soon"),
        ("eta", 12),
        ("eta", "9999-12-31T23:59:59+00:00"),
        ("expires", "2020-01-01T00:00:00+00:00"),
        ("retries", "many"),
        ("retries", -1),
        ("task", "celery.map"),
        ("task", "cluster.wordcount"),
        ("task", "cluster.aggregate.partial"),
        ("task", ["cluster.map"]),
        ("shadow", "celery.chord"),
        ("shadow", "cluster.\x1b[2J"),
        ("id", {"a": 1}),
        ("id", "\x1b[2J"),
        ("root_id", []),
        ("group", 7),
        ("group_index", "first"),
        ("argsrepr", ["x"]),
        ("argsrepr", "x" * 5000),
        ("ignore_result", "yes"),
        ("redelivered", "yes"),
        ("lost", -(10**9)),
    ],
)
def test_a_header_that_celery_would_stumble_over_is_rejected(name: str, value: Any) -> None:
    with pytest.raises(messages.BadMessage, match=rf"^headers\.{name}"):
        messages.task(message(**{name: value}), QUEUE)


@pytest.mark.parametrize(
    "properties",
    [
        {"delivery_tag": ["x"]},
        {"delivery_tag": None},
        {"body_encoding": "utf-8"},
        {"priority": 1e999},
        {"correlation_id": {}},
        {"delivery_info": {"exchange": "celeryev", "routing_key": QUEUE}},
        {"delivery_info": {"exchange": "", "routing_key": "elsewhere"}},
        {"delivery_info": "here"},
    ],
)
def test_properties_that_the_broker_would_stumble_over_are_rejected(properties: dict[str, Any]) -> None:
    with pytest.raises(messages.BadMessage):
        messages.task(message(properties=properties), QUEUE)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 30_000,
        b"not JSON",
        [],
        [[{"run": "../x", "chunks": [0]}], {}, {}],
        [[{"run": "a", "chunks": [0]}, 1], {}, {}],
        [[{"run": "a", "chunks": [0]}], {"more": 1}, {}],
        [[PARTIAL], {}, EMBEDDED],
        [BODY[0], {}, {"errbacks": [{"task": "cluster.wordcount", "args": []}]}],
        [BODY[0], {}, {"callbacks": [JOIN]}],
        [BODY[0], {}, {"chord": {**JOIN, "task": "cluster.map"}}],
        [BODY[0], {}, {"chord": {**JOIN, "immutable": False}}],
        [BODY[0], {}, {"chord": {**JOIN, "options": {**JOIN["options"], "queue": "celery"}}}],  # type: ignore[dict-item]
        [BODY[0], {}, {"chord": "x"}],
    ],
)
def test_a_body_that_is_none_of_ours_is_rejected(body: Any) -> None:
    with pytest.raises(messages.BadMessage):
        messages.task(message(body), QUEUE)


@pytest.mark.parametrize("raw", [b"[" * 200_000, b"[" * 60_000, b'{"a":' * 9_000, b"", b"{}", b"null", b"\xff", b"NaN"])
@pytest.mark.parametrize(
    "read",
    [
        lambda raw: messages.task(raw, QUEUE),
        lambda raw: messages.heard(raw, "celery.pidbox"),
        lambda raw: messages.heard(raw, "celeryev"),
        messages.noted,
        messages.reply,
    ],
)
def test_what_is_no_message_at_all_is_rejected(raw: bytes, read: Callable[[bytes], Any]) -> None:
    with pytest.raises(messages.BadMessage):
        read(raw)


@pytest.mark.parametrize("task", ["cluster.wordcount", "cluster.faces-train.fold"])
def test_a_message_of_an_older_version_is_named_so(task: str) -> None:
    with pytest.raises(messages.BadMessage, match=f"{task} is a task of an older version of cluster"):
        messages.task(message(task=task), QUEUE)


def test_a_message_over_the_limit_is_rejected_unread() -> None:
    with pytest.raises(messages.BadMessage, match="bytes; the limit is 65,536"):
        messages.task(message(more="x" * messages.MOST_TASK_BYTES), QUEUE)


def test_what_other_headers_say_never_reaches_celery() -> None:
    odd = message(origin=["x"], stamps="y", is_eager=True, called_directly=True, chain=[1])
    assert json.loads(messages.task(odd, QUEUE)) == json.loads(messages.task(message(), QUEUE))


def test_a_note_of_a_lost_node_is_checked_like_a_message() -> None:
    about = messages.noted(json.dumps([json.loads(message()), "", QUEUE]).encode())
    assert (about.queue, about.id, about.lost) == (QUEUE, "wordcount-1.3", 0)
    assert body_of(json.dumps(about.message).encode()) == BODY
    for wrong in (
        [{}, "", QUEUE],
        [json.loads(message()), "celeryev", QUEUE],
        [json.loads(message()), "", keys.run("x")],
    ):
        with pytest.raises(messages.BadMessage):
            messages.noted(json.dumps(wrong).encode())


def asked(**more: Any) -> bytes:
    body = {"method": "ping", "arguments": {}, "destination": None, "pattern": None, "matcher": None, **more}
    return message(body, {"exchange": "celery.pidbox", "routing_key": ""}, clock=10**18)


def test_a_command_of_remote_control_keeps_what_it_asks() -> None:
    reply_to = {"exchange": "reply.celery.pidbox", "routing_key": "a-1"}
    checked = messages.heard(asked(destination=["a@pc"], reply_to=reply_to, ticket="t-1"), "celery.pidbox")
    assert body_of(checked)["destination"] == ["a@pc"]
    assert body_of(checked)["reply_to"] == reply_to
    assert "clock" not in json.loads(checked)["headers"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": ["ping"]},
        {"arguments": "x"},
        {"destination": "a@pc"},
        {"pattern": "(a+)+$", "matcher": "pcre"},
        {"reply_to": {"exchange": keys.run("x"), "routing_key": "a"}},
        {"ticket": {}},
    ],
)
def test_an_odd_command_of_remote_control_is_rejected(wrong: dict[str, Any]) -> None:
    with pytest.raises(messages.BadMessage):
        messages.heard(asked(**wrong), "celery.pidbox")


def event(**more: Any) -> bytes:
    body = {
        "type": "worker-heartbeat",
        "hostname": "a@pc",
        "timestamp": 1.5,
        "utcoffset": 0,
        "pid": 1,
        "clock": 2,
        **more,
    }
    return message(body, {"exchange": "celeryev", "routing_key": "worker.heartbeat"}, hostname="a@pc")


def test_an_event_keeps_its_fields_and_an_odd_one_is_rejected() -> None:
    assert body_of(messages.heard(event(cores=4), "celeryev"))["cores"] == 4
    odd: list[tuple[str, Any]] = [("type", 7), ("timestamp", "now"), ("timestamp", 1e999), ("clock", "x")]
    for name, value in odd:
        with pytest.raises(messages.BadMessage):
            messages.heard(event(**{name: value}), "celeryev")


def test_nothing_compressed_is_unpacked_whatever_it_is() -> None:
    packed = base64.b64encode(lzma.compress(bytes(2**20))).decode()
    answer = json.loads(message({"a@pc": {"ok": "pong"}}, {"exchange": "reply.celery.pidbox", "routing_key": "a-1"}))
    assert body_of(messages.reply(json.dumps(answer).encode())) == {"a@pc": {"ok": "pong"}}
    answer |= {"body": packed, "headers": {"compression": "application/x-lzma"}}
    with pytest.raises(messages.BadMessage, match=r"^headers\.compression"):
        messages.reply(json.dumps(answer).encode())
