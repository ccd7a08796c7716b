"""Bundles in a real Redis."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from cluster import errors, keys, redis_client
from cluster.blobs import KEEP_S, BlobStore
from cluster.blobs.files import FileBlobs
from cluster.blobs.redis import RedisBlobs
from cluster.bundles import Bundles, folder
from cluster.bundles.cache import Cache
from cluster.bundles.content import Content
from cluster.bundles.manifest import PIECE_BYTES
from cluster.bundles.redis import RedisBundles
from cluster.coordinator import prune
from cluster.stores import Stores
from tests.kit import bundle_laws
from tests.kit.bundle_laws import BIG, model, unused
from tests.kit.programs import ROOT, environment


@pytest.fixture(scope="module")
def redis_url(broker: str) -> str:
    """One of its own: what is pushed here is not for the nodes of other tests."""
    return broker


@pytest.fixture
def blobs(client: redis.Redis) -> BlobStore:
    return RedisBlobs(client)


@pytest.fixture
def store(client: redis.Redis, blobs: BlobStore) -> Bundles:
    return RedisBundles(client, blobs)


@pytest.mark.parametrize("law", bundle_laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("kind", ["redis", "files"])
def test_a_cluster_keeps_the(law: bundle_laws.Law, kind: str, client: redis.Redis, tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    store = RedisBlobs(client) if kind == "redis" else FileBlobs(f"file://{tmp_path}/blobs")
    law(RedisBundles(client, store), tmp_path / "place")


def test_a_bundle_does_not_expire_and_is_not_pruned(store: Bundles, client: redis.Redis, stores: Stores) -> None:
    manifest = store.push(unused(), model(), "anna").manifest
    mine = [keys.BUNDLES, keys.bundle(manifest.name), keys.bundle_digests(manifest.name), keys.REVISION]
    for key in [*mine, keys.blobs(manifest.scope)]:
        assert client.ttl(key) == -1, key
    prune.prune(stores, prune.ended(stores))
    stores.blobs.drop_below(["runs", "runs/x", manifest.name])
    assert store.read(manifest, next(manifest.files[0].refs())) == b"weights"


def test_a_push_whose_process_was_killed_leaves_only_what_expires(
    store: Bundles, client: redis.Redis, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = unused()
    monkeypatch.setattr(RedisBlobs, "drop", lambda self, scope: None)  # as one who has no time for it

    def die(done: int, total: int) -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        store.push(name, model(), "anna", die)
    left = [key for key in client.scan_iter() if name.encode() in key]
    assert len(left) == 1
    ttl: Any = client.ttl(left[0])
    assert 0 < ttl <= KEEP_S
    assert name not in store.names()


@pytest.mark.parametrize("kind", ["redis", "files"])
def test_a_push_whose_last_answer_is_lost_is_entered_once_and_whole(
    kind: str, client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RedisBundles(client, RedisBlobs(client) if kind == "redis" else FileBlobs(f"file://{tmp_path}/blobs"))
    run = store._scripts

    def asked_again(script: str, names: dict[str, str], **given: Any) -> Any:
        run(script, names, **given)
        return run(script, names, **given)

    def lost(script: str, names: dict[str, str], **given: Any) -> Any:
        found = run(script, names, **given)
        if given["row"]:
            raise redis.ConnectionError
        return found

    for number, way in ((1, asked_again), (2, lost)):
        monkeypatch.setattr(store, "_scripts", way)
        name = unused()
        if way is lost:
            with pytest.raises(redis.ConnectionError):
                store.push(name, model(), "anna")
        else:
            assert store.push(name, model(), "anna").new
        (tmp_path / str(number)).mkdir()
        folder.write(tmp_path / str(number), store.manifest(name), store.read)
        assert store.state(name).last == 1


def test_removing_leaves_no_key_but_the_number(store: Bundles, client: redis.Redis) -> None:
    name = unused()
    store.push(name, model("a"), "anna")
    store.push(name, model("b"), "anna")
    store.remove(name)
    assert not [key for key in client.scan_iter() if name.encode() in key]
    assert client.hget(keys.BUNDLES, name) == b"2 0 0"


def test_removing_a_version_takes_no_pieces_of_another_whatever_its_parameters_are_called(
    store: Bundles, client: redis.Redis, tmp_path: Path
) -> None:
    name = unused()
    kept = store.push(name, model("a"), "anna").manifest
    removed = store.push(name, model("b", parameters={"scope": kept.scope}), "anna").manifest
    assert store.remove(name, 2) == [2]
    assert not client.exists(keys.blobs(removed.scope))
    folder.write(tmp_path, kept, store.read)


def test_the_pieces_of_a_version_go_with_it_though_its_manifest_is_of_no_use(
    store: Bundles, client: redis.Redis
) -> None:
    name = unused()
    manifest = store.push(name, model(), "anna").manifest
    row: Any = client.hget(keys.bundle(name), "1")
    client.hset(keys.bundle(name), "1", tampered(lambda row: row.update(job="x/y"))(row))
    assert store.versions(name) == []
    store.remove(name, 1)
    assert not client.exists(keys.blobs(manifest.scope))


def test_a_large_file_travels_in_pieces(store: Bundles, client: redis.Redis, tmp_path: Path) -> None:
    data = b"".join(hashlib.sha256(bytes([number])).digest() * (PIECE_BYTES // 32) for number in range(5)) + b"rest"
    (tmp_path / "net.onnx").write_bytes(data)
    said: list[tuple[int, int]] = []
    given = Content("ocr", {"net.onnx": tmp_path / "net.onnx"})
    manifest = store.push(unused(), given, "anna", lambda *moment: said.append(moment)).manifest
    assert said == [(min(at * PIECE_BYTES, len(data)), len(data)) for at in range(1, 7)]
    found: Any = client.hgetall(keys.blobs(manifest.scope))
    assert max(map(len, found.values())) == PIECE_BYTES
    assert (Cache(tmp_path / "cache", 2**30).fetch(manifest, store.read) / "net.onnx").read_bytes() == data


def test_one_flipped_byte_is_never_used(store: Bundles, client: redis.Redis, tmp_path: Path) -> None:
    manifest = store.push(unused(), model(), "anna").manifest
    piece = manifest.files[2].pieces[1]
    client.hset(keys.blobs(manifest.scope), piece, b"and b bit")
    held = Cache(tmp_path, 2**30)
    with pytest.raises(errors.BlobCorrupt, match=f"{manifest.ref}: .* remove that version and push it again"):
        held.fetch(manifest, store.read)
    assert held.get(manifest) is None
    assert list(tmp_path.iterdir()) == []
    client.hset(keys.blobs(manifest.scope), piece, BIG[PIECE_BYTES:])
    assert (held.fetch(manifest, store.read) / "sub" / "big.bin").read_bytes() == BIG


FETCH = """
import sys, time
from pathlib import Path
from cluster import redis_client
from cluster.blobs.redis import RedisBlobs
from cluster.bundles.cache import Cache
from cluster.bundles.redis import RedisBundles

def pause(seconds):
    print("a piece", flush=True)
    time.sleep(60)

client = redis_client.connect(sys.argv[1])
store = RedisBundles(client, RedisBlobs(client))
Cache(Path(sys.argv[3]), 2**30).fetch(store.manifest(sys.argv[2]), store.read, pause)
"""


def test_a_fetch_whose_process_is_killed_leaves_nothing_that_is_used_or_stays(
    store: Bundles, redis_url: str, tmp_path: Path
) -> None:
    manifest = store.push(unused(), model(), "anna").manifest
    command = [sys.executable, "-c", FETCH, redis_url, manifest.name, str(tmp_path)]
    with subprocess.Popen(command, env=environment(), cwd=ROOT, stdout=subprocess.PIPE, text=True) as fetching:
        assert fetching.stdout
        assert fetching.stdout.readline() == "a piece\n"
        held = Cache(tmp_path, 2**30)
        held.evict([])
        assert len(list(tmp_path.iterdir())) == 2  # what goes on is let be
        fetching.kill()
    assert held.get(manifest) is None
    held.evict([])
    assert list(tmp_path.iterdir()) == []
    assert held.fetch(manifest, store.read) == tmp_path / manifest.digest


def tampered(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def apply(row: bytes) -> bytes:
        found = json.loads(row)
        change(found)
        return json.dumps(found).encode()

    return apply


@pytest.mark.parametrize(
    "tamper",
    [
        lambda row: b"nonsense",
        tampered(lambda row: row["files"][0].update(path="../../x")),
        tampered(lambda row: row["files"][0].update(sha256="0" * 64)),
        tampered(lambda row: row.update(scope="runs/somebody/in/0")),
    ],
)
def test_a_manifest_that_was_tampered_with_hides_no_other(
    tamper: Callable[[bytes], bytes], store: Bundles, client: redis.Redis
) -> None:
    bad, good = unused(), unused()
    store.push(bad, model(), "anna")
    store.push(good, model(), "anna")
    row: Any = client.hget(keys.bundle(bad), "1")
    client.hset(keys.bundle(bad), "1", tamper(row))
    client.hset(keys.BUNDLES, "No Name", "x")
    current = {manifest.name for manifest in store.current()}
    assert good in current
    assert bad not in current
    assert store.versions(bad) == []
    with pytest.raises(errors.BadBundle):
        store.manifest(bad)
    assert store.remove(bad) == [1]
    assert bad not in store.names()
    client.hdel(keys.BUNDLES, "No Name")


def test_a_node_reads_what_another_client_pushed(store: Bundles, redis_url: str, tmp_path: Path) -> None:
    name = unused()
    before = store.revision()
    store.push(name, model(), "anna")
    other = redis_client.connect(redis_url)
    seen = RedisBundles(other, RedisBlobs(other))
    assert seen.revision() == before + 1
    [manifest] = [found for found in seen.current() if found.name == name]
    place = Cache(tmp_path, 2**30).fetch(manifest, seen.read)
    assert folder.problem(place, manifest) == ""
