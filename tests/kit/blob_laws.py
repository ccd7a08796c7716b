"""What every blob store must do, whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cluster import blobs, errors
from cluster.blobs import BlobStore, Ref

Law = Callable[[BlobStore], None]
SCOPE = "runs/test-1/in/0"


def order_of_what_was_put(store: BlobStore) -> None:
    data = [b"b", b"", b"a", bytes(range(256)) * 1000, b"b"]
    refs = store.put(SCOPE, data)
    assert refs[0] == refs[4]
    assert refs[1] == Ref("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 0)
    assert blobs.get(store, SCOPE, refs) == data


def difference_between_missing_and_there(store: BlobStore) -> None:
    [there] = store.put(SCOPE, [b"there"])
    missing = blobs.address(b"missing")
    found, gone = blobs.get(store, SCOPE, [there, missing])
    assert found == b"there"
    assert isinstance(gone, errors.BlobMissing)
    with pytest.raises(errors.BlobMissing):
        blobs.get_one(store, SCOPE, missing)


def wall_between_scopes(store: BlobStore) -> None:
    [ref] = store.put(SCOPE, [b"same"])
    store.put("runs/test-1/in/1", [b"same"])
    store.drop(SCOPE)
    assert isinstance(blobs.get(store, SCOPE, [ref])[0], errors.BlobMissing)
    assert blobs.get_one(store, "runs/test-1/in/1", ref) == b"same"
    store.drop("runs/test-1/in/1")


def peace_when_told_twice(store: BlobStore) -> None:
    assert store.put(SCOPE, [b"x"]) == store.put(SCOPE, [b"x"])
    store.drop(SCOPE)
    store.drop(SCOPE)
    assert store.put(SCOPE, []) == []
    assert store.read(SCOPE, []) == []


def end_of_all_that_lies_below(store: BlobStore) -> None:
    [ref] = store.put(SCOPE, [b"same"])
    for scope in ("runs/test-1/partials/0/1", "runs/test-2/in/0", "runs/test-10/in/0", "runs/test-3/in/0"):
        store.put(scope, [b"same"])
    for _ in range(2):
        store.drop_below(["runs/test-1", "runs/test-2", "runs/never"])
    for scope in (SCOPE, "runs/test-1/partials/0/1", "runs/test-2/in/0"):
        assert store.read(scope, [ref]) == [None]
    for scope in ("runs/test-10/in/0", "runs/test-3/in/0"):
        assert blobs.get_one(store, scope, ref) == b"same"
    store.drop_below(["runs/test-10", "runs/test-3"])
    store.drop_below([])


LAWS: list[Law] = [
    order_of_what_was_put,
    difference_between_missing_and_there,
    wall_between_scopes,
    peace_when_told_twice,
    end_of_all_that_lies_below,
]
