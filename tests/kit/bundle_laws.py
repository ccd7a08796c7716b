"""What every store of bundles must do, whatever it is made of."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster import errors
from cluster.bundles import Bundles, folder
from cluster.bundles.content import Content
from cluster.bundles.manifest import PIECE_BYTES

Law = Callable[[Bundles, Path], None]
BIG = bytes(range(256)) * (PIECE_BYTES // 256) + b"and a bit"


def unused() -> str:
    return f"test-{secrets.token_hex(4)}"


def model(text: str = "weights", **more: Any) -> Content:
    files: dict[str, Path | bytes] = {"model.txt": text.encode(), "sub/big.bin": BIG, "none.txt": b""}
    return Content("ocr", files, **{"requirements": ["click>=8"], "parameters": {"threshold": 0.5, "of": [1]}, **more})


def bytes_that_were_pushed(store: Bundles, place: Path) -> None:
    name = unused()
    pushed = store.push(name, model(), "anna@kitchen")
    assert (pushed.new, pushed.current, pushed.manifest.ref) == (True, 1, f"{name}:1")
    found = store.manifest(name)
    assert found == pushed.manifest
    assert (found.job, found.by, found.requirements) == ("ocr", "anna@kitchen", ("click>=8",))
    assert [(file.path, file.size_bytes, len(file.pieces)) for file in found.files] == [
        ("model.txt", 7, 1), ("none.txt", 0, 0), ("sub/big.bin", len(BIG), 2),
    ]  # fmt: skip
    folder.write(place, found, store.read)
    assert (place / "sub/big.bin").read_bytes() == BIG
    assert folder.problem(place, found) == ""


def one_version_for_one_content(store: Bundles, place: Path) -> None:
    name = unused()
    first = store.push(name, model("a"), "anna").manifest
    revision = store.revision()
    again = store.push(name, model("a"), "ben")
    assert (again.new, again.manifest) == (False, first)
    assert store.revision() == revision
    assert store.push(name, model("b"), "ben").manifest.version == 2
    back = store.push(name, model("a"), "ben")
    assert (back.new, back.manifest.version, back.current) == (False, 1, 1)
    assert store.manifest(name).version == 1
    assert store.revision() > revision
    assert store.push(name, model("c"), "ben").manifest.version == 3
    assert [found.version for found in store.versions(name)] == [1, 2, 3]
    assert store.push(unused(), model("a"), "carl").manifest.digest == first.digest


def new_version_for_another_parameter_job_or_requirement(store: Bundles, place: Path) -> None:
    name = unused()
    others: list[dict[str, Any]] = [{}, {"parameters": {"threshold": 0.6}}, {"requirements": []}, {"parameters": {}}]
    for number, other in enumerate(others, start=1):
        assert store.push(name, model(**other), "anna").manifest.version == number


def number_that_is_never_given_again(store: Bundles, place: Path) -> None:
    name = unused()
    for text in "abc":
        store.push(name, model(text), "anna")
    assert store.remove(name, 3) == [3]
    assert store.manifest(name).version == 2
    assert store.push(name, model("c"), "anna").manifest.version == 4
    assert store.remove(name) == [1, 2, 4]
    assert name not in store.names()
    assert store.push(name, model("a"), "anna").manifest.version == 5


def pin_until_it_is_taken_away(store: Bundles, place: Path) -> None:
    name = unused()
    for text in "ab":
        store.push(name, model(text), "anna")
    store.pin(name, 1)
    assert (store.manifest(name).version, store.state(name).pinned) == (1, 1)
    pushed = store.push(name, model("c"), "anna")
    assert (pushed.manifest.version, pushed.current) == (3, 1)
    assert [found.version for found in store.current() if found.name == name] == [1]
    store.pin(name, None)
    assert (store.manifest(name).version, store.state(name).pinned) == (3, 0)
    store.pin(name, 2)
    store.remove(name, 2)
    assert (store.manifest(name).version, store.state(name).pinned) == (3, 0)
    with pytest.raises(errors.UnknownBundle, match=r"no version 2 of the bundle .* \(there are: 1, 3\)"):
        store.pin(name, 2)


def clear_word_about_what_is_not_there(store: Bundles, place: Path) -> None:
    name, nobody = unused(), unused()
    store.push(name, model(), "anna")
    askers: list[Callable[[str], Any]] = [
        store.versions,
        store.manifest,
        store.remove,
        lambda name: store.pin(name, None),
    ]
    for ask in askers:
        with pytest.raises(errors.UnknownBundle, match=f"no bundle '{nobody}' .there are: .*{name}"):
            ask(nobody)
    for ask_for in (store.manifest, store.remove, store.pin):
        with pytest.raises(errors.UnknownBundle, match="no version 7"):
            ask_for(name, 7)
    with pytest.raises(errors.UsageError, match="names no bundle"):
        store.push("Not A Name", model(), "anna")
    with pytest.raises(errors.UsageError, match="to a name alone"):
        store.push(f"{name}:2", model(), "anna")


def nothing_of_a_push_that_was_cut_short(store: Bundles, place: Path) -> None:
    name = unused()
    revision = store.revision()

    def cut(done: int, total: int) -> None:
        assert total == 7 + len(BIG)
        if done > PIECE_BYTES:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.push(name, model(), "anna", cut)
    assert name not in store.names()
    assert store.revision() == revision
    assert store.push(name, model(), "anna").manifest.version == 1


def two_that_push_at_once(store: Bundles, place: Path) -> None:
    name, found = unused(), []
    both = threading.Barrier(6)

    def push(text: str) -> None:
        both.wait()
        found.append(store.push(name, model(text), "anna"))

    threads = [threading.Thread(target=push, args=[text]) for text in "aabbcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(pushed.manifest.version for pushed in found if pushed.new) == [1, 2, 3, 4]
    assert len(found) == 6
    for at, manifest in enumerate(store.versions(name)):
        (place / str(at)).mkdir()
        folder.write(place / str(at), manifest, store.read)


def one_first_version_of_two_that_are_to_be_it(store: Bundles, place: Path) -> None:
    name, found, refused = unused(), [], []
    both = threading.Barrier(2)

    def push(text: str) -> None:
        both.wait()
        try:
            found.append(store.push(name, model(text), "anna", again=False, first=True))
        except errors.NameTaken as error:
            refused.append(str(error))

    threads = [threading.Thread(target=push, args=[text]) for text in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    why = f"others have made a model {name!r} already: name another one"
    assert ([pushed.manifest.version for pushed in found], refused) == ([1], [why])
    folder.write(place, store.manifest(name), store.read)
    won = (place / "model.txt").read_text()
    assert store.push(name, model(won), "anna", again=False, first=True).manifest.version == 1, "it is the same"
    assert store.push(name, model("c"), "anna").manifest.version == 2
    store.remove(name)
    assert store.push(name, model("a"), "anna", again=False, first=True).manifest.version == 3


def end_of_what_is_removed(store: Bundles, place: Path) -> None:
    name = unused()
    first = store.push(name, model("a"), "anna").manifest
    second = store.push(name, model("b"), "anna").manifest
    revision = store.revision()
    store.remove(name, 1)
    assert store.revision() > revision
    with pytest.raises(errors.BlobMissing):
        folder.write(place, first, store.read)
    (place / "second").mkdir()
    folder.write(place / "second", second, store.read)


LAWS: list[Law] = [
    bytes_that_were_pushed,
    one_version_for_one_content,
    new_version_for_another_parameter_job_or_requirement,
    number_that_is_never_given_again,
    pin_until_it_is_taken_away,
    clear_word_about_what_is_not_there,
    nothing_of_a_push_that_was_cut_short,
    two_that_push_at_once,
    one_first_version_of_two_that_are_to_be_it,
    end_of_what_is_removed,
]
