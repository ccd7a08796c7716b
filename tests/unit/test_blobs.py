"""Content-addressed bytes, in memory and in files. The store in Redis is held to the same in integration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from cluster import blobs, errors
from cluster.blobs import BlobStore, Ref
from cluster.blobs.files import FileBlobs
from cluster.blobs.memory import MemoryBlobs
from tests.kit import blob_laws


@pytest.fixture(params=["memory", "file", "fsspec memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    if request.param == "memory":
        return MemoryBlobs()
    return FileBlobs(f"file://{tmp_path}" if request.param == "file" else f"memory://{tmp_path}")


@pytest.mark.parametrize("law", blob_laws.LAWS, ids=lambda law: law.__name__)
def test_a_store_keeps_the(law: blob_laws.Law, store: BlobStore) -> None:
    law(store)


class Flaky(MemoryBlobs):
    """Gives wrong bytes the first few times."""

    def __init__(self, wrong: int) -> None:
        super().__init__()
        self.reads = 0
        self._wrong = wrong

    def read(self, scope: str, refs: Sequence[Ref]) -> list[bytes | None]:
        self.reads += 1
        found = super().read(scope, refs)
        return [b"flipped", *found[1:]] if self.reads <= self._wrong else found


def test_wrong_bytes_are_read_again_and_then_right() -> None:
    store = Flaky(wrong=2)
    refs = store.put("scope", [b"one", b"two"])
    assert blobs.get(store, "scope", refs) == [b"one", b"two"]
    assert store.reads == 3


def test_bytes_that_stay_wrong_are_an_error_and_their_neighbours_are_not() -> None:
    store = Flaky(wrong=99)
    refs = store.put("scope", [b"one", b"two"])
    wrong, right = blobs.get(store, "scope", refs)
    assert isinstance(wrong, errors.BlobCorrupt)
    assert "came back as 7 bytes" in str(wrong)
    assert right == b"two"


def test_a_folder_that_fsspec_does_not_know_is_a_bad_setting() -> None:
    with pytest.raises(errors.BadSetting, match="CLUSTER_BLOB_URL"):
        FileBlobs("nonsense://there")


@pytest.mark.parametrize("scope", ["runs/../../home", "runs/", "", "runs/./x"])
def test_a_scope_that_leads_elsewhere_is_refused(scope: str, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    store = FileBlobs(f"file://{tmp_path}/blobs")
    for use in (store.drop, lambda scope: store.put(scope, [b"x"]), lambda scope: store.drop_below([scope])):
        with pytest.raises(ValueError, match="no scope"):
            use(scope)
    assert (tmp_path / "home").is_dir()


def test_a_store_that_takes_no_name_over_keeps_the_bytes_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileBlobs(f"file://{tmp_path}")
    [ref] = store.put("runs/1/in/0", [b"same"])

    def refuse(*_: object) -> None:
        raise FileExistsError(17, "File exists")

    monkeypatch.setattr(store._files, "mv", refuse)
    assert store.put("runs/1/in/0", [b"same", b"same"]) == [ref, ref]
    assert len(list((tmp_path / "runs/1/in/0").iterdir())) == 1
    with pytest.raises(FileExistsError):
        store.put("runs/1/in/0", [b"other"])
