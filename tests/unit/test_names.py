"""Every structured string comes back as it was, and what is malformed is refused."""

from __future__ import annotations

import socket
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster import errors, keys, names, redis_rows
from cluster.messaging import publish
from cluster.names import Capability, ModelRef, Partial, TaskId
from cluster.redis_rows import ClaimRow, NodeRow, WantedRow

JOBS = st.from_regex(names.JOB, fullmatch=True)
RUNS = st.from_regex(names.RUN, fullmatch=True)
VERSIONS = st.from_regex(names.VERSION, fullmatch=True)
PINNED = st.builds(
    ModelRef,
    st.from_regex(names.MODEL, fullmatch=True),
    st.integers(1, 10**9 - 1),
    st.just("") | st.from_regex(r"[0-9a-f]{8}", fullmatch=True),
)
MODELS = PINNED | st.from_regex(names.MODEL, fullmatch=True).map(ModelRef)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
CAPABILITIES = st.builds(Capability, JOBS, VERSIONS, st.lists(TEXTS | PINNED, max_size=4).map(tuple))
PARTIALS = st.builds(Partial, st.integers(0, 15), st.integers(0, 2**31 - 1))
UNITS = st.integers(0, 2**31 - 1) | PARTIALS
CHUNKS = st.builds(
    lambda first, count: tuple(range(first, first + count)),
    st.integers(0, 2**31),
    st.integers(1, names.MAX_CHUNKS_PER_MESSAGE),
)
TASK_IDS = st.builds(TaskId, RUNS, CHUNKS | st.tuples(PARTIALS))
NEARLY = st.text("abZ019.:@;%-+/ \n~partial?²٣")
"""Texts that are likelier to be misread than any."""


@given(CAPABILITIES)
def test_a_capability_comes_back_as_written(capability: Capability) -> None:
    assert Capability.parse(str(capability)) == capability
    assert str(capability.plain) == names.plain(str(capability))
    assert keys.capability_of(keys.queue(str(capability))) == str(capability)


@given(CAPABILITIES, CAPABILITIES)
def test_two_capabilities_are_never_written_alike(one: Capability, other: Capability) -> None:
    assert (one == other) == (str(one) == str(other))


@given(CAPABILITIES)
def test_a_capability_fits_queues_and_rows(capability: Capability) -> None:
    assert not set(str(capability)) & set(", \n'\"")
    assert str(capability).isascii()


@given(TEXTS)
def test_an_option_is_never_taken_for_a_model(text: str) -> None:
    assert Capability.parse(str(Capability("ocr", needs=(text,)))).models == []


@given(NEARLY | st.text())
def test_a_capability_is_read_whole_or_refused(text: str) -> None:
    try:
        found = Capability.parse(text)
    except ValueError:
        assert names.capabilities([text]) == []
        return
    assert str(found) == text
    assert names.capabilities([text]) == [found]


@pytest.mark.parametrize(
    ("text", "capability"),
    [
        ("ocr", Capability("ocr")),
        ("ocr.2.1-b", Capability("ocr", "2.1-b")),
        ("ocr@deu+eng", Capability("ocr", needs=("deu+eng",))),
        ("ocr@office%3A3", Capability("ocr", needs=("office:3",))),
        ("ocr@", Capability("ocr", needs=("",))),
        ("picky@saw;firm", Capability("picky", needs=("saw", "firm"))),
        ("faces@office:3.1a2b3c4d", Capability("faces", needs=(ModelRef("office", 3, "1a2b3c4d"),))),
        ("faces-train@office", Capability("faces-train", needs=("office",))),
    ],
)
def test_capabilities_look_as_on_the_wire(text: str, capability: Capability) -> None:
    assert str(capability) == text
    assert Capability.parse(text) == capability


@pytest.mark.parametrize(
    ("text", "told", "unversioned"),
    [
        ("measure", "measure", "measure"), ("ocr@", "ocr", "ocr@"),
        ("ocr.2@deu+eng;tesseract;", "ocr with deu+eng, tesseract", "ocr@deu+eng;tesseract;"),
        ("faces.2@office:3.1a2b3c4d", "faces with office:3", "faces@office:3.1a2b3c4d"),
    ],
)  # fmt: skip
def test_people_read_a_capability_without_its_signs(text: str, told: str, unversioned: str) -> None:
    assert Capability.parse(text).told == told
    assert names.unversioned(text) == unversioned


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "@deu",
        "ocr.",
        "ocr deu",
        "ocr@deu\n",
        "ocr@%ff",
        "ocr@a,b",
        "ocr@%64eu",
        "ocr@:",
        "ocr@office:0",
        "faces@office:3.1A2B3C4D",
        "faces@office:3.1a2b",
        "ocr@deu@eng",
        "öcr",
        "a" * 56,
        "ocr@" + "%" * 10_000,
    ],
)
def test_malformed_capabilities_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="capability"):
        Capability.parse(text)


@pytest.mark.parametrize("parts", [("",), ("ocr", "a b"), ("ocr.2",), ("ocr", "", (ModelRef("office"),)), ("a@b",)])
def test_a_capability_nobody_could_read_is_not_made(parts: tuple[str]) -> None:
    with pytest.raises(ValueError, match="no capability"):
        Capability(*parts)


@given(MODELS)
def test_a_model_reference_comes_back_as_written(ref: ModelRef) -> None:
    assert ModelRef.parse(str(ref)) == ref
    assert ModelRef.typed(str(ref.without_digest)) == ref.without_digest


@given(NEARLY | st.text())
def test_a_model_reference_is_read_whole_or_refused(text: str) -> None:
    try:
        found = ModelRef.parse(text)
    except errors.UsageError:
        return
    assert str(found) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "Office",
        "office:",
        "office:0",
        "office:03",
        "office:x",
        "a:1:2",
        "-a",
        "a b",
        "a" * 65,
        "office\n",
        "office.1a2b3c4d",
        "office:3.",
        "office:3.1a2b3c4",
        "office:3.1a2b3c4d5",
        "office:٣",
        "office:9999999999",
    ],
)
def test_malformed_model_references_are_refused(text: str) -> None:
    with pytest.raises(errors.UsageError, match="write NAME or NAME:VERSION"):
        ModelRef.parse(text)


def test_a_person_types_no_digest_of_a_model() -> None:
    with pytest.raises(errors.UsageError, match="write NAME or NAME:VERSION"):
        ModelRef.typed("office:3.1a2b3c4d")


@given(UNITS)
def test_a_unit_comes_back_as_written(unit: names.Unit) -> None:
    assert names.unit(str(unit)) == unit
    assert type(names.unit(str(unit))) is type(unit)
    assert names.described(unit) == names.described(str(unit))


@given(PARTIALS)
def test_the_field_of_a_partial_comes_back(partial: Partial) -> None:
    assert Partial.parse_field(partial.field) == partial


@given(NEARLY | st.text())
def test_a_unit_is_read_whole_or_refused(text: str) -> None:
    try:
        found = names.unit(text)
    except ValueError:
        return
    assert str(found) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "007",
        "1.5",
        "²",
        "٣",
        "17 ",
        "partial",
        "partial 0",
        "partial 16:0",
        "partial 00:1",
        "partial 0:1\n",
        "0:3",
    ],
)
def test_malformed_units_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither a chunk nor|no partial"):
        names.unit(text)


@given(TASK_IDS)
def test_a_task_id_comes_back_as_written(task_id: TaskId) -> None:
    assert TaskId.parse(str(task_id)) == task_id
    assert TaskId.run_of(str(task_id)) == task_id.run


@given(NEARLY | st.text())
def test_a_task_id_is_read_whole_or_not(text: str) -> None:
    found = TaskId.parse(text)
    assert found is None or str(found) == text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ocr-1.17", TaskId("ocr-1", (17,))),
        ("ocr-1.17-19", TaskId("ocr-1", (17, 18, 19))),
        ("face-train-1a.partial.1.3", TaskId("face-train-1a", (Partial(1, 3),))),
        ("ocr-1.19-17", None),
        ("ocr-1.0-999999999", None),
        ("ocr-1.0-64", None),
        ("ocr-1.17-17", None),
        ("ocr-1.partial.16.0", None),
        ("9b2e.x", None),
        ("", None),
        ("a.b.17", None),
    ],
)
def test_which_units_a_message_is_about(text: str, found: TaskId | None) -> None:
    assert TaskId.parse(text) == found


@given(CAPABILITIES, RUNS)
def test_a_wanted_capability_comes_back_as_written(capability: Capability, run: str) -> None:
    row = WantedRow(str(capability), run)
    assert WantedRow.parse(str(row)) == row
    assert not row.is_submission
    assert WantedRow(str(capability), WantedRow.new_submission()).is_submission


@given(st.text())
def test_any_text_is_some_wanted_row(text: str) -> None:
    assert str(WantedRow.parse(text)) in (text, f" {text}")


@given(RUNS, JOBS)
def test_a_submission_is_never_called_like_a_run(run: str, job: str) -> None:
    assert names.is_run(run)
    assert names.is_run(names.new_run(job))
    assert not names.is_run(WantedRow.new_submission())


@pytest.mark.parametrize("text", ["", "a/b", "..", "a.b", "run\n", "r" * 65, "löwe"])
def test_malformed_run_ids_are_refused(text: str) -> None:
    assert not names.is_run(text)


def test_the_row_of_a_node_is_read() -> None:
    assert NodeRow.parse('1a 12.5 13.000001 here {"a": "b c"}') == NodeRow(
        "1a", 12.5, 13.000001, "here", '{"a": "b c"}'
    )


@pytest.mark.parametrize(
    "text", ["", "1a 12.5 13.0 here", "1a nan 13 here {}", "1a 1 inf here {}", "1a 1e400 1 here {}"]
)
def test_malformed_rows_of_nodes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no row"):
        NodeRow.parse(text)


@pytest.mark.parametrize("text", ["", "1", "1 a", "x a b", "-1 a b", "1_0 a b"])
def test_malformed_claims_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"values to unpack|no moment"):
        ClaimRow.parse(text)


@given(st.lists(st.integers(0, 2**31), min_size=1, max_size=3))
def test_a_row_of_numbers_comes_back(found: list[int]) -> None:
    row = " ".join(map(str, found))
    assert redis_rows.numbers(row, len(found)) == redis_rows.numbers(row.encode(), len(found)) == tuple(found)


@pytest.mark.parametrize("row", [b"", b"1", b"1 2 3 4", b"1  2 3", b"a b c", b"\xff", b"1 2 -3", "1 2 ٣", b"1 2 3\n"])
def test_malformed_rows_of_numbers_are_refused(row: bytes | str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - one is a UnicodeDecodeError
        redis_rows.numbers(row, 3)


@given(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])), st.binary())
def test_a_delayed_message_comes_back(queue: str, message: bytes) -> None:
    assert redis_rows.DelayedRow.parse(bytes(redis_rows.DelayedRow(queue, message))) == (queue, message)


@given(RUNS, st.integers(0, 2**31))
def test_keys_and_scopes_tell_what_they_belong_to(run: str, number: int) -> None:
    for key in (keys.run(run), keys.run(run, "claims"), keys.parts(run, number)):
        assert keys.run_of(key) == run
    for scope in (keys.input_scope(run, number), keys.parts_scope(run, number), keys.partial_scope(run, 0, number)):
        assert keys.scope_of(keys.blobs(scope)) == scope
        assert scope.startswith(f"{keys.run_folder(run)}/")
        assert not keys.is_bundle_scope(scope, run)


@given(st.from_regex(names.MODEL, fullmatch=True), st.from_regex(r"[0-9a-f]{16}", fullmatch=True), NEARLY)
def test_the_scope_of_a_bundle_is_its_own(name: str, token: str, other: str) -> None:
    scope = keys.bundle_scope(name, token)
    assert keys.is_bundle_scope(scope, name)
    assert keys.is_bundle_scope(scope, other) == (other == name)
    assert not keys.is_bundle_scope(f"{scope}{other or '/'}", name) or set(other) <= set("0123456789abcdef")


@given(st.text())
def test_a_connection_tells_its_incarnation(incarnation: str) -> None:
    assert names.incarnation_of(names.connection(incarnation)) == incarnation
    assert names.incarnation_of("redis-cli") == keys.capability_of("celery") == ""


@pytest.mark.parametrize("read", [Capability.parse, ModelRef.parse, names.unit, TaskId.parse, NodeRow.parse])
def test_a_long_text_is_refused_at_once(read: object) -> None:
    began = time.process_time()
    for text in (
        "a" * 10**5,
        "a@" + "%;" * 10**5,
        "partial 0:" + "1" * 10**5,
        "a.1-" + "9" * 10**5,
        "a 1 1" + " a" * 10**5,
    ):
        try:
            read(text)  # type: ignore[operator]
        except (ValueError, errors.UsageError):
            continue
    assert time.process_time() - began < 5


def test_the_queue_of_another_is_no_capability_of_a_run() -> None:
    came = {"routing_key": keys.queue("ocr@deu")}
    assert publish.capability_of(SimpleNamespace(delivery_info=came)) == "ocr@deu"
    came = {"routing_key": "mine"}
    assert publish.capability_of(SimpleNamespace(delivery_info=came)) == "mine"  # "" would be any run's


def test_an_edge_store_is_told_by_its_address_alone() -> None:
    digest = names.edge("redis://:secret@Box.lan:6379/0")
    assert digest == names.edge("redis://other:word@box.lan") == names.edge("redis://box.lan/")
    assert len({digest, names.edge("redis://box.lan/1"), names.edge("rediss://box.lan"), names.edge("redis://b")}) == 4
    assert len(digest) == names.EDGE_CHARS


def test_an_edge_store_on_two_machines_called_localhost_is_two(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("redis://localhost:1", "redis://127.0.0.1", "rediss://[::1]", "redis:///2"):
        here = names.edge(url)
        assert here == names.edge(url)
        with monkeypatch.context() as patched:
            patched.setattr(socket, "gethostname", lambda: "another")
            assert names.edge(url) != here
