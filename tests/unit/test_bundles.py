"""Bundles: what may be one, what a manifest says, and the store in a folder of this machine."""

from __future__ import annotations

import errno
import json
import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cluster import errors
from cluster.bundles import content, folder, paths
from cluster.bundles.content import Content
from cluster.bundles.local import FolderBundles
from cluster.bundles.manifest import PIECE_BYTES, File, Manifest, digest
from cluster.bundles.state import State
from cluster.cli import bundle_texts, doctor
from cluster.client import machine
from tests.kit import bundle_laws
from tests.kit.bundle_laws import model

NOW = datetime(2026, 11, 5, tzinfo=UTC)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source" / "deep").mkdir(parents=True)
    (tmp_path / "source" / "labels.txt").write_text("cat\ndog\n")
    (tmp_path / "source" / "deep" / "net.onnx").write_bytes(b"\x08\x07net")
    return tmp_path / "source"


def described(**said: Any) -> bytes:
    return json.dumps({"job": "ocr", **said}).encode()


@pytest.mark.parametrize("law", bundle_laws.LAWS, ids=lambda law: law.__name__)
def test_a_folder_of_this_machine_keeps_the(law: bundle_laws.Law, tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    law(FolderBundles(tmp_path / "store"), tmp_path / "place")


def test_a_folder_is_read_with_what_it_says_of_itself(source: Path) -> None:
    (source / "bundle.json").write_bytes(described(requirements=["click >= 8"], parameters={"mean": [0.5]}))
    (source / ".git").mkdir()
    (source / ".git" / "config").write_text("")
    (source / ".hidden").write_text("")
    (source / "link.txt").symlink_to(source / "labels.txt")
    found = content.read_folder(source)
    assert sorted(found.files) == ["deep/net.onnx", "labels.txt", "link.txt"]
    assert found.passed_over == (".git", ".hidden")
    assert (found.job, found.parameters) == ("ocr", {"mean": [0.5]})
    assert content.draft(found, "office", "anna", NOW).requirements == ("click>=8",)
    flags = content.read_folder(source, "wordcount", ["numpy==1.26.4"])
    assert (flags.job, flags.requirements, flags.parameters) == ("wordcount", ("numpy==1.26.4",), {"mean": [0.5]})


def test_what_is_pulled_and_pushed_again_is_the_same_content(source: Path, tmp_path: Path) -> None:
    (source / "bundle.json").write_bytes(described(requirements=["click>=8"], parameters={"mean": [0.5, 1.0], "n": 1}))
    store = FolderBundles(tmp_path / "store")
    pushed = store.push("office", content.read_folder(source), "anna")
    pulled = tmp_path / "pulled"
    pulled.mkdir()
    folder.write(pulled, pushed.manifest, store.read)
    assert not store.push("office", content.read_folder(pulled), "ben").new


@pytest.mark.parametrize(
    ("description", "says"),
    [
        (b"{", "is no JSON"),
        (b"[]", "must hold an object"),
        (described(job=""), "for which job is it"),
        (described(name="office"), "unknown key 'name'"),
        (described(parameters=[1]), "must be an object, not list"),
        (described(requirements="numpy"), "must be a list of lines"),
        (described(requirements=["numpy=1"]), "'numpy=1' is no requirement"),
        (described(requirements=["x @ https://example.org/x.whl"]), "has '@' in it"),
        (described(requirements=["-r other.txt"]), "has '-' in it"),
        (described(requirements=["numpy==1 --hash=md5:aa"]), "is no hash"),
        (described(parameters={"x": "y" * 300_000}), "the limit is 262,144"),
        (described(job="../x"), "job: "),
    ],
)
def test_a_wrong_description_is_refused_with_the_reason(description: bytes, says: str, source: Path) -> None:
    (source / "bundle.json").write_bytes(description)
    with pytest.raises(errors.BadBundle, match=says):
        content.draft(content.read_folder(source), "office", "anna", NOW)


def test_a_folder_that_cannot_be_a_bundle_is_refused_with_the_reason(source: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError, match="is no folder"):
        content.read_folder(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".hidden").write_text("")
    with pytest.raises(errors.BadBundle, match="holds no file"):
        content.read_folder(tmp_path / "empty", "ocr")
    (source / "out").symlink_to("/etc/passwd")
    with pytest.raises(errors.BadBundle, match="is a link out of the folder"):
        content.read_folder(source, "ocr")
    (source / "out").unlink()
    (source / "round").symlink_to(source)
    with pytest.raises(errors.BadBundle, match="is no file"):
        content.read_folder(source, "ocr")
    (source / "round").unlink()
    (source / "gone").symlink_to(source / "nothing")
    with pytest.raises(errors.UsageError, match="No such file"):
        content.read_folder(source, "ocr")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("../x", "leaves the folder"),
        ("/etc/x", "leaves the folder"),
        ("a//b", "leaves the folder"),
        ("a/./b", "leaves the folder"),
        ("", "leaves the folder"),
        (".x", "starts with a dot"),
        ("a/.x", "starts with a dot"),
        ("a\\b", "not every system"),
        ("C:x", "not every system"),
        ("a\nb", "not every system"),
        ("a\0", "not every system"),
        ("x" * 201, "too long"),
        ("x/" * 16 + "x", "too long or too deep"),
        ("Bundle.json", "is kept for"),
        ("\udc80", "not every system|UTF-8"),
    ],
)
def test_a_path_that_means_another_file_elsewhere_is_refused(path: str, says: str) -> None:
    with pytest.raises(errors.BadBundle, match=says):
        content.draft(Content("ocr", {path: b"x"}), "office", "anna", NOW)


@pytest.mark.parametrize(
    "names", [("A.txt", "a.txt"), ("é.txt", "e\u0301.txt"), ("a", "a/b"), ("a", "a.b", "A/b"), ("A/x", "a/y")]
)
def test_names_that_clash_on_some_system_are_refused(names: tuple[str, ...]) -> None:
    assert paths.clash(names)
    with pytest.raises(errors.BadBundle):
        content.draft(Content("ocr", dict.fromkeys(names, b"x")), "office", "anna", NOW)


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "large.bin").open("wb") as out:
        out.truncate(2**31 + 1)
    with pytest.raises(errors.BadBundle, match="has 2,147,483,649 bytes"):
        content.draft(Content("ocr", {"large.bin": tmp_path / "large.bin"}), "office", "anna", NOW)


@pytest.mark.parametrize("value", [float("nan"), b"x", {1, 2}, 1j, "\udc80", object()])
def test_parameters_that_json_does_not_carry_are_refused(value: Any) -> None:
    with pytest.raises(errors.BadBundle, match="plain JSON"):
        content.draft(model(parameters={"x": value}), "office", "anna", NOW)


def test_the_digest_is_that_of_the_content_alone() -> None:
    one = content.draft(model(requirements=["b==1", "a==2"], parameters={"x": 1, "y": (2,)}), "office", "anna", NOW)
    later = NOW + timedelta(days=1)
    two = content.draft(model(requirements=["a == 2", "b==1"], parameters={"y": [2], "x": 1}), "party", "ben", later)
    assert one.digest == two.digest
    assert one.description == two.description
    assert json.loads(one.description) == {
        "job": "ocr", "parameters": {"x": 1, "y": [2]}, "requirements": ["a==2", "b==1"],
    }  # fmt: skip


def test_a_file_that_changes_during_the_push_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("before")
    given = Content("ocr", {"a.txt": tmp_path / "a.txt"})
    draft = content.draft(given, "office", "anna", NOW)
    (tmp_path / "a.txt").write_text("after!")
    with pytest.raises(errors.BadBundle, match=r"a\.txt was changed while it was read"):
        list(content.pieces(given, draft.files))


def row(**changes: Any) -> bytes:
    found = json.loads(content.draft(model(), "office", "anna", NOW, "bundles/office/0123456789abcdef").row())
    first = {**found["files"][0], **changes.pop("first", {})}
    return json.dumps({**found, "files": [first, *found["files"][1:]], **changes}).encode()


def test_a_manifest_comes_back_from_its_row() -> None:
    found = Manifest.from_row("office", 3, row())
    assert (found.ref, found.size_bytes) == ("office:3", 7 + len(bundle_laws.BIG))
    assert [ref.size_bytes for ref in found.files[2].refs()] == [PIECE_BYTES, 9]
    assert Manifest.from_row("office", 3, row(added_later=1)) == found
    assert found.created.astimezone(timezone(timedelta(hours=2))) == NOW


@pytest.mark.parametrize(
    "bad",
    [
        b"", b"[]", b"\xff", b"{}", b'{"a":' * 5000,
        row(first={"path": "../../etc/cron.d/x"}),
        row(first={"path": "/etc/x"}),
        row(first={"path": "sub"}),
        row(first={"path": "MODEL.TXT"}),  # another content than the digest says
        row(first={"sha256": "0" * 64}),
        row(first={"sha256": "x"}),
        row(first={"size_bytes": -1}),
        row(first={"size_bytes": 2**40}),
        row(first={"pieces": []}),
        row(first={"pieces": ["0" * 64] * 3000, "size_bytes": 3000 * PIECE_BYTES}),
        row(files=[]),
        row(job="x/y"),
        row(requirements=["numpy @ file:///x"]),
        row(requirements=["x==1"] * 500),
        row(parameters={"threshold": 0.9}),
        row(scope="runs/other/in/0"),
        row(scope="bundles/other/0123456789abcdef"),
        row(by="\x1b[2J"),
        row(created="yesterday"),
        row(digest="0" * 64),
        b" " * 5_000_000,
    ],
)  # fmt: skip
def test_a_manifest_that_was_tampered_with_is_refused(bad: bytes) -> None:
    with pytest.raises(errors.BadBundle, match="the manifest of office:3 cannot be used"):
        Manifest.from_row("office", 3, bad)


@pytest.mark.parametrize(
    "line", ["click  >=8", "click>=8\n--no-index", 'click>=8; python_version > "\x1b[2J"', "click>=8 --hash=sha256:x"]
)
def test_a_requirement_of_a_store_that_is_not_in_its_plain_form_is_refused(line: str) -> None:
    found = json.loads(row())
    files = [File.model_validate(file) for file in found["files"]]
    right = digest(found["job"], files, [line], found["parameters"])
    with pytest.raises(errors.BadBundle, match=r"office:3 cannot be used: .*requirement"):
        Manifest.from_row("office", 3, row(requirements=[line], digest=right))
    plain = digest(found["job"], files, ["click>=8"], found["parameters"])
    assert Manifest.from_row("office", 3, row(requirements=["click>=8"], digest=plain))


def test_nothing_of_a_manifest_steers_a_terminal() -> None:
    evil = "\x1b[2J\r"
    made = Manifest.from_row("office", 3, row())
    required = f"click>=8{evil}"
    files = (made.files[0].model_copy(update={"path": f"a{evil}"}),)
    made = made.model_copy(update={"by": f"anna{evil}", "requirements": (required,), "files": files})
    for text in (bundle_texts.line(made, State()), bundle_texts.details(made, {required: f"not{evil}"})):
        assert text.replace("\n", "").isprintable()
        assert "anna\\x1b[2J" in text


def test_nor_does_what_the_doctor_says_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bundles = [{"bundle": "office:3", "job": "ocr", "problem": "click\x1b[2J"}]
    monkeypatch.setattr(machine, "_bundles", lambda config: bundles)
    monkeypatch.setattr(machine, "_redis", lambda config: ("here", ""))
    said = CliRunner().invoke(doctor.command, color=True).output
    assert "bundle    office:3 for ocr: no, click\\x1b[2J\n" in said


def test_a_broken_manifest_in_a_folder_does_not_hide_the_others(tmp_path: Path, caplog: Any) -> None:
    store = FolderBundles(tmp_path)
    store.push("good", model(), "anna")
    store.push("bad", model("a"), "anna")
    store.push("bad", model("b"), "anna")
    (tmp_path / "bad" / "2.json").write_text("{}")
    assert [found.ref for found in store.current()] == ["good:1"]
    assert [found.ref for found in store.versions("bad")] == ["bad:1"]
    assert "the manifest of bad:2 cannot be used" in caplog.text
    with pytest.raises(errors.BadBundle):
        store.manifest("bad")


def test_a_version_whose_writer_died_before_the_last_line_is_a_version(tmp_path: Path) -> None:
    store = FolderBundles(tmp_path)
    store.push("office", model("a"), "anna")
    before = (tmp_path / "office" / "state.json").read_bytes()
    store.push("office", model("b"), "anna")
    (tmp_path / "office" / "state.json").write_bytes(before)
    (tmp_path / ".draft-of-a-dead-one").mkdir()
    assert store.manifest("office").version == 2
    (tmp_path / "office" / "3").mkdir()
    assert store.remove("office", 2) == [2]
    assert store.push("office", model("c"), "anna").manifest.version == 3
    assert not (tmp_path / ".draft-of-a-dead-one").exists()


def test_a_file_of_the_store_that_was_changed_is_not_given(tmp_path: Path) -> None:
    store = FolderBundles(tmp_path)
    manifest = store.push("office", model(), "anna").manifest
    (tmp_path / "office" / "1" / "model.txt").write_text("Weights")
    with pytest.raises(errors.BlobCorrupt, match="was changed"):
        folder.write(tmp_path / "store", manifest, store.read)


def test_a_group_that_shares_the_folder_shares_what_is_new_in_it(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o2775)
    before = os.umask(0o077)
    try:
        FolderBundles(tmp_path / "shared").push("office", Content("onnx", {"a/net.onnx": b"x"}), "a test")
    finally:
        os.umask(before)
    made = list((tmp_path / "shared").rglob("*"))
    assert "net.onnx" in {path.name for path in made}
    for path in made:
        wanted = 0o775 if path.is_dir() else 0o664
        assert path.stat().st_mode & 0o777 == wanted, path


def test_where_each_is_to_keep_to_his_own_nothing_is_shared(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    FolderBundles(tmp_path).push("office", Content("onnx", {"net.onnx": b"x"}), "a test")
    assert not any(path.stat().st_mode & 0o022 for path in tmp_path.rglob("*"))


def test_a_file_system_without_rights_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(Path, "chmod", refuse)
    assert FolderBundles(tmp_path).push("office", Content("onnx", {"net.onnx": b"x"}), "a test").new


def test_a_bundle_that_cannot_be_listed_is_passed_over_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = FolderBundles(tmp_path)
    for name in ("mine", "theirs"):
        store.push(name, Content("onnx", {"net.onnx": b"x"}), "a test")
    listed = Path.iterdir

    def refuse(path: Path) -> Any:
        if path.name == "theirs":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert store.names() == ["mine"]
    assert "theirs is passed over: Permission denied" in caplog.text


def test_a_folder_that_is_write_protected_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as it is for all but root
    with pytest.raises(errors.UsageError, match="write-protected"):
        folder.check_new(tmp_path)
