"""A machine's cache of bundles: nothing half-fetched or tampered with is used, and its size has a limit."""

from __future__ import annotations

import fcntl
import os
import pickle
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster import errors
from cluster.blobs import Ref
from cluster.bundles import folder, pickles
from cluster.bundles.cache import Cache
from cluster.bundles.content import Content
from cluster.bundles.local import FolderBundles
from cluster.bundles.manifest import PIECE_BYTES, Manifest
from tests.kit.bundle_laws import BIG, model

LIMIT_BYTES = 10 * 2**20
EACH_BYTES = len(BIG) + 200
"""What a bundle takes, about."""


class Source:
    """Bundles to fetch, and a count of what was read."""

    def __init__(self, place: Path) -> None:
        self.store = FolderBundles(place)
        self.reads = 0
        self.spoil: Callable[[bytes], bytes] = lambda data: data

    def manifest(self, text: str = "weights", name: str = "office") -> Manifest:
        return self.store.push(name, model(text), "anna").manifest

    def read(self, manifest: Manifest, piece: Ref) -> bytes:
        self.reads += 1
        return self.spoil(self.store.read(manifest, piece))


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path / "store")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def no_pause(seconds: float) -> None:
    assert seconds >= 0


def names(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def test_what_was_fetched_is_there_whole_also_for_the_next_process(source: Source, place: Path) -> None:
    manifest = source.manifest()
    assert Cache(place, LIMIT_BYTES).get(manifest) is None
    found = Cache(place, LIMIT_BYTES).fetch(manifest, source.read, no_pause)
    assert (found / "sub" / "big.bin").read_bytes() == BIG
    assert (found / "none.txt").read_bytes() == b""
    assert (found / "bundle.json").read_bytes() == manifest.description
    assert names(place) == [manifest.digest]
    assert Cache(place, LIMIT_BYTES).get(manifest) == found
    assert source.reads == 3


def test_versions_with_the_same_content_are_fetched_once(source: Source, place: Path) -> None:
    one, other = source.manifest(), source.manifest(name="party")
    found = Cache(place, LIMIT_BYTES).fetch(one, source.read, no_pause)
    assert Cache(place, LIMIT_BYTES).fetch(other, source.read, no_pause) == found
    assert source.reads == 3


def test_files_that_another_version_has_are_not_fetched_again(source: Source, place: Path) -> None:
    held = Cache(place, LIMIT_BYTES)
    one, other = source.manifest("one"), source.manifest("two")
    held.fetch(one, source.read, no_pause)
    entry = held.fetch(other, source.read, no_pause)
    assert source.reads == 3 + 1  # model.txt alone: no other file differs
    assert (entry / "model.txt").read_text() == "two"
    assert (entry / "sub" / "big.bin").read_bytes() == BIG
    assert Cache(place, LIMIT_BYTES).get(other) == entry


def test_what_was_tampered_with_is_not_copied_to_another_version(source: Source, place: Path) -> None:
    held = Cache(place, LIMIT_BYTES)
    one, other = source.manifest("one"), source.manifest("two")
    flip(held.fetch(one, source.read, no_pause) / "sub" / "big.bin")
    assert (held.fetch(other, source.read, no_pause) / "sub" / "big.bin").read_bytes() == BIG
    assert held.get(one) is None


def test_two_versions_lie_side_by_side(source: Source, place: Path) -> None:
    held = Cache(place, LIMIT_BYTES)
    texts = [(held.fetch(source.manifest(text), source.read, no_pause) / "model.txt").read_text() for text in "ab"]
    assert texts == ["a", "b"]
    assert len(names(place)) == 2


def test_what_was_pushed_without_a_look_at_it_is_not_fetched(
    source: Source, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as pusher:
        pusher.setattr(pickles, "problem", lambda *_, **__: "")
        manifest = source.store.push("office", Content("ocr", {"labels.txt": pickle.dumps({"a": 1})}), "eve").manifest
        held = Cache(place, LIMIT_BYTES).fetch(manifest, source.read, no_pause)  # by a version that did not look either
    assert held.is_dir()
    cache = Cache(place, LIMIT_BYTES)
    assert cache.get(manifest) is None
    with pytest.raises(errors.BadBundle, match=r"office:1: labels\.txt is a pickle"):
        cache.fetch(manifest, source.read, no_pause)
    with pytest.raises(errors.BadBundle, match="is a pickle"):
        folder.write_new(tmp_path / "pulled", manifest, source.read)
    assert names(place) == []
    assert not (tmp_path / "pulled").exists()


def flip(path: Path) -> None:
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))  # clocks of files may be coarse


def flip_in_secret(path: Path) -> None:
    before = path.stat()
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to("sub/big.bin")


TAMPERING: list[Callable[[Path], object]] = [
    lambda entry: flip(entry / "sub" / "big.bin"),
    lambda entry: (entry / "model.txt").unlink(),
    lambda entry: (entry / "yunet.onnx").write_bytes(b"planted"),
    lambda entry: (entry / "sub" / "planted").symlink_to("/etc/passwd"),
    lambda entry: (entry / "bundle.json").write_text('{"job": "other"}'),
    lambda entry: (entry / "none.txt").write_text("more"),
    lambda entry: link(entry / "model.txt"),
    lambda entry: shutil.rmtree(entry / "sub"),
]


@pytest.mark.parametrize("tamper", TAMPERING)
@pytest.mark.parametrize("same_process", [True, False])
def test_what_was_tampered_with_is_not_used_but_fetched_again(
    tamper: Callable[[Path], object], same_process: bool, source: Source, place: Path
) -> None:
    manifest = source.manifest()
    held = Cache(place, LIMIT_BYTES)
    entry = held.fetch(manifest, source.read, no_pause)
    assert held.get(manifest) == entry
    tamper(entry)
    held = held if same_process else Cache(place, LIMIT_BYTES)
    assert held.get(manifest) is None
    assert names(place) == []
    assert held.fetch(manifest, source.read, no_pause) == entry
    assert held.get(manifest) == entry
    assert (entry / "sub" / "big.bin").read_bytes() == BIG


def test_a_change_that_hides_is_found_by_the_next_process(source: Source, place: Path) -> None:
    manifest = source.manifest()
    entry = Cache(place, LIMIT_BYTES).fetch(manifest, source.read, no_pause)
    flip_in_secret(entry / "sub" / "big.bin")
    assert Cache(place, LIMIT_BYTES).get(manifest) is None


def test_wrong_bytes_never_become_an_entry(source: Source, place: Path) -> None:
    source.spoil = lambda data: data[:-1] + b"?"
    with pytest.raises(errors.BlobCorrupt, match=r"the pieces of model\.txt"):
        Cache(place, LIMIT_BYTES).fetch(source.manifest(), source.read, no_pause)
    assert names(place) == []


def test_a_fetch_that_is_cut_leaves_nothing(source: Source, place: Path) -> None:
    def cut(seconds: float) -> None:
        if source.reads == 2:
            raise KeyboardInterrupt

    manifest = source.manifest()
    with pytest.raises(KeyboardInterrupt):
        Cache(place, LIMIT_BYTES).fetch(manifest, source.read, cut)
    assert names(place) == []
    assert Cache(place, LIMIT_BYTES).get(manifest) is None


def test_two_that_fetch_at_once_end_with_the_same_folder(source: Source, place: Path) -> None:
    manifest, found = source.manifest(), []
    both = threading.Barrier(4)

    def fetch() -> None:
        both.wait()
        found.append(Cache(place, LIMIT_BYTES).fetch(manifest, source.read, no_pause))

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [place / manifest.digest] * 4
    assert names(place) == [manifest.digest]


def test_one_who_finds_a_wrong_folder_at_the_end_of_its_fetch_fetches_again(source: Source, place: Path) -> None:
    manifest = source.manifest()
    entry = place / manifest.digest

    def plant(seconds: float) -> None:
        if source.reads == 1:
            entry.mkdir()
            (entry / "model.txt").write_text("planted")

    assert Cache(place, LIMIT_BYTES).fetch(manifest, source.read, plant) == entry
    assert (entry / "model.txt").read_text() == "weights"
    assert names(place) == [manifest.digest]


def fetched(held: Cache, source: Source, texts: str) -> list[Manifest]:
    """A bundle of each text, the first the one not used for the longest."""
    manifests = [source.manifest(text) for text in texts]
    for age, manifest in enumerate(reversed(manifests), start=1):
        entry = held.fetch(manifest, source.read, no_pause)
        os.utime(entry, (entry.stat().st_mtime - 10 * age,) * 2)
    return manifests


def test_the_least_recently_used_goes_first_and_what_is_kept_stays(source: Source, place: Path) -> None:
    manifests = fetched(Cache(place, LIMIT_BYTES), source, "abcd")
    held = Cache(place, 3 * EACH_BYTES)
    held.get(manifests[1])  # used just now
    assert held.evict([manifests[0].digest]) == [manifests[2].digest]
    assert held.size_bytes() <= 3 * EACH_BYTES
    assert held.evict([]) == []
    small = Cache(place, 2 * EACH_BYTES - 500)
    assert small.evict([manifest.digest for manifest in manifests]) == []
    assert small.evict([manifests[3].digest]) == [manifests[0].digest, manifests[1].digest]
    assert small.get(manifests[0]) is None


def test_a_fetch_makes_room_before_it_begins_and_only_as_much_as_it_needs(source: Source, place: Path) -> None:
    held = Cache(place, 3 * EACH_BYTES)
    oldest, old, young = fetched(held, source, "abc")
    coming = source.manifest("d")
    most = 0

    def look(seconds: float) -> None:
        nonlocal most
        most = max(most, held.size_bytes() + EACH_BYTES)

    held.fetch(coming, source.read, look, keep=[oldest.digest])
    assert most <= 3 * EACH_BYTES
    assert names(place) == sorted(manifest.digest for manifest in (oldest, young, coming))
    assert held.get(old) is None


def test_what_fits_drops_nothing(source: Source, place: Path) -> None:
    held = Cache(place, 3 * EACH_BYTES)
    manifests = [*fetched(held, source, "ab"), source.manifest("c")]
    held.fetch(manifests[2], source.read, no_pause)
    held.fetch(manifests[0], source.read, no_pause, keep=[manifest.digest for manifest in manifests])
    assert names(place) == sorted(manifest.digest for manifest in manifests)


def test_what_does_not_fit_beside_those_in_use_is_refused_and_drops_nothing(source: Source, place: Path) -> None:
    held = Cache(place, 3 * EACH_BYTES)
    in_use = [manifest.digest for manifest in fetched(held, source, "abc")]
    before, reads = names(place), source.reads
    with pytest.raises(errors.BadBundle, match=r"office:4 .* do not fit beside .* CLUSTER_BUNDLE_CACHE_BYTES of"):
        held.fetch(source.manifest("d"), source.read, no_pause, keep=in_use)
    assert (names(place), source.reads) == (before, reads)
    held.fetch(source.manifest("d"), source.read, no_pause, keep=in_use[1:])
    assert held.size_bytes() <= 3 * EACH_BYTES


def test_packages_go_with_the_bundles_they_were_installed_for(source: Source, place: Path) -> None:
    manifest = source.manifest()
    held = Cache(place, EACH_BYTES + 1000)
    held.fetch(manifest, source.read, no_pause)
    packages = held.packages(manifest.requirements)
    assert packages == Cache(place, 1).packages(tuple(manifest.requirements))
    packages.mkdir()
    (packages / "large.py").write_bytes(b"x" * 5000)
    os.utime(packages, (1, 1))
    assert held.evict([manifest.digest]) == []
    assert held.evict([]) == [packages.name]
    assert held.get(manifest)


def test_a_bundle_larger_than_the_cache_is_refused_before_it_is_read(source: Source, place: Path) -> None:
    with pytest.raises(errors.BadBundle, match="CLUSTER_BUNDLE_CACHE_BYTES of this machine is 1,000"):
        Cache(place, 1000).fetch(source.manifest(), source.read, no_pause)
    assert source.reads == 0


def test_what_killed_fetches_have_left_goes_and_what_goes_on_stays(place: Path) -> None:
    for name in ("dead", "alive", "young", "old"):
        (place / f".draft-{name}").mkdir(parents=True)
    for name in ("dead", "alive"):
        (place / f".draft-{name}.lock").write_text("")
    os.utime(place / ".draft-old", (1, 1))
    (place / "somebody else's").mkdir()
    with (place / ".draft-alive.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        Cache(place, 1).evict([])
        assert names(place) == [".draft-alive", ".draft-alive.lock", ".draft-young", "somebody else's"]


@pytest.mark.parametrize("make", [lambda path: path.write_text("x"), lambda path: path.symlink_to("/etc")])
def test_what_is_no_folder_is_no_bundle(make: Callable[[Path], object], source: Source, place: Path) -> None:
    manifest = source.manifest()
    place.mkdir()
    make(place / manifest.digest)
    held = Cache(place, LIMIT_BYTES)
    assert held.get(manifest) is None
    assert held.get(manifest) is None
    assert (held.fetch(manifest, source.read, no_pause) / "model.txt").read_text() == "weights"


def test_an_empty_cache_is_no_trouble(place: Path) -> None:
    assert Cache(place, 1).evict(["0" * 64]) == []
    assert Cache(place, 1).size_bytes() == 0


def test_a_fetch_takes_a_third_of_the_time(source: Source, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    Cache(place, LIMIT_BYTES).fetch(source.manifest(), source.read)
    assert len(slept) == source.reads == 1 + len(BIG) // PIECE_BYTES + 1
    assert all(seconds > 0 for seconds in slept)
