"""Models on the page: push, pin, remove, and who may."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from cluster.roles import Role
from tests.kit import tagged
from tests.kit.pages import Page, Visitor
from tests.kit.waiting import wait_until

BYTES = {"Content-Type": "application/octet-stream"}
DESCRIBED = b'{"job": "tagged", "parameters": {"metrics": {"test": {"accuracy": 0.75, "rows": 8}}}}'


def packed(files: Mapping[str, bytes]) -> bytes:
    """Files one after another, as a browser sends a folder."""
    return b"".join(
        json.dumps({"name": name, "size": len(data)}).encode() + b"\n" + data for name, data in files.items()
    )


def zipped(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


@pytest.fixture(scope="module")
def operator(visitors: dict[Role, Visitor]) -> Visitor:
    return visitors[Role.OPERATOR]


def push(visitor: Visitor, name: str, body: bytes, **query: str) -> dict[str, object]:
    answer = visitor.ask("POST", f"/api/models/{name}/versions", content=body, headers=BYTES, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


def test_a_folder_sent_as_bytes_is_the_next_version_of_a_model(operator: Visitor) -> None:
    first = push(operator, "folder", packed({"office/tag.txt": b"red", "office/bundle.json": DESCRIBED}))
    assert (first["ref"], first["new"]) == ("folder:1", True)
    again = push(operator, "folder", packed({"other/tag.txt": b"red", "other/bundle.json": DESCRIBED}))
    assert (again["ref"], again["new"]) == ("folder:1", False)
    second = push(operator, "folder", zipped({"tag.txt": b"blue", ".hidden": b""}), job="tagged")
    assert (second["ref"], second["left_out"]) == ("folder:2", [".hidden"])
    found = operator.get("/models.json")["models"]
    assert [(one["name"], one["current"]["version"], one["versions"]) for one in found] == [("folder", 2, 2)]
    shown = operator.get("/models/folder:1.json")
    assert [file["path"] for file in shown["files"]] == ["tag.txt"]
    assert shown["shown"]["score"] == "accuracy 0.7500 on 8 rows"
    assert shown["shown"]["by"] == "operator"


def test_a_version_is_pinned_and_removed_on_the_page(operator: Visitor, page: Page) -> None:
    for tag in ("a", "b"):
        tagged.push(page.web.client.stores, "pinned", tag)
    assert operator.ask("POST", "/api/models/pinned:1/pin").json() == {"current": "pinned:1"}
    assert "Unpin" in operator.html("/models/pinned")
    assert operator.ask("DELETE", "/api/models/pinned/pin").json() == {"current": "pinned:2"}
    gone = operator.ask("DELETE", "/api/models/pinned:2")
    assert gone.json() == {"removed": ["pinned:2"], "failed": [], "current": "pinned:1"}
    assert operator.ask("GET", "/models/pinned:2.json").status_code == 404
    assert page.web.client.models.state("pinned").current == 1


@pytest.mark.parametrize("role", [Role.VIEWER, Role.SUBMITTER])
def test_who_is_no_operator_sees_no_buttons_and_changes_nothing(
    role: Role, page: Page, visitors: dict[Role, Visitor]
) -> None:
    tagged.push(page.web.client.stores, "guarded", "a")
    visitor = visitors[role]
    for path in ("/models", "/models/guarded"):
        assert "guarded" in visitor.html(path)
        assert "data-p" not in visitor.html(path)
    for method, path in (
        ("POST", "/api/models/guarded:1/pin"), ("DELETE", "/api/models/guarded/pin"), ("DELETE", "/api/models/guarded"),
    ):  # fmt: skip
        assert visitor.ask(method, path).status_code == 403
    sent = visitor.ask("POST", "/api/models/guarded/versions", content=packed({"a": b""}), headers=BYTES)
    assert sent.status_code == 403
    assert visitor.get("/models/guarded.json")["pinned"] == 0


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "holds no file"),
        (b"nonsense", "describes no file"),
        (b"[]\n", "describes no file"),
        (b'{"name": "a", "size": 9}\nfew', "too early"),
        (packed({"../../escaped": b"x"}), "no path below a folder"),
        (packed({"/etc/escaped": b"x"}), "no path below a folder"),
        (packed({"C:/escaped": b"x"}), "no path below a folder"),
        (packed({"a": b"x"}) * 2, "came twice"),
        (packed({"a": b"x", "a/b": b"x"}), "another file or folder"),
        (zipped({"../escaped": b"x"}), "no path below a folder"),
        (b"PK\x03\x04 is no archive", "cannot be read"),
        (packed({"model.pkl": b"\x80\x04}q\x00."}), "pickle"),
        (packed({"tag.txt": b"x", "bundle.json": b"{"}), "bundle.json is no JSON"),
    ],
)
def test_what_is_no_model_is_refused_and_leaves_nothing(operator: Visitor, page: Page, body: bytes, told: str) -> None:
    answer = operator.ask("POST", "/api/models/bad/versions", content=body, headers=BYTES, params={"job": "tagged"})
    assert answer.status_code == 422
    assert told in answer.json()["detail"]
    assert str(page.web.folder) not in answer.text
    assert operator.ask("GET", "/models/bad.json").status_code == 404
    assert list((page.web.folder / "models").iterdir()) == []
    assert not list(page.web.folder.parent.rglob("escaped"))


def test_a_model_for_no_job_of_models_is_refused(operator: Visitor) -> None:
    answer = operator.ask("POST", "/api/models/bad/versions", content=packed({"a.txt": b"x"}), headers=BYTES)
    assert answer.status_code == 422
    assert "for which job is it?" in answer.json()["detail"]
    sent = operator.ask(
        "POST", "/api/models/bad/versions", content=packed({"a.txt": b"x"}), headers=BYTES, params={"job": "wordcount"}
    )
    assert "no bundle is for the job wordcount" in sent.json()["detail"]


def test_names_and_texts_of_strangers_are_shown_as_they_are(operator: Visitor) -> None:
    evil = "<img src=x onerror=alert(1)>"
    described = json.dumps({"job": "tagged", "parameters": {"classes": [evil], "note": evil}}).encode()
    push(operator, "evil", packed({"tag.txt": b"x", "data (1).txt": b"", "bundle.json": described}))
    shown = operator.html("/models/evil")
    assert "<img" not in shown
    assert "&lt;img src=x onerror=alert(1)&gt;" in shown


def test_a_sender_that_breaks_off_leaves_nothing(
    operator: Visitor, page: Page, caplog: pytest.LogCaptureFixture
) -> None:
    place = page.web.folder / "models"
    seen: list[Path] = []

    def pieces() -> Iterator[bytes]:
        yield b'{"name": "tag.txt", "size": 100000000}\n'
        for _ in range(8):
            yield bytes(2**20)
        seen.extend(wait_until("some of it is written", lambda: list(place.rglob("tag.txt"))))
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        operator.ask("POST", "/api/models/broken/versions", content=pieces(), headers=BYTES)
    wait_until("it is gone", lambda: not list(place.iterdir()))
    assert seen
    operator.get("/models.json")  # the page has told of the other request by then
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
