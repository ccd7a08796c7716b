"""Fitting a recogniser to described portraits: what it keeps, what it leaves out, and that order changes nothing."""

from __future__ import annotations

import math
import random
import tracemalloc
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from aggregators import Model, people, recogniser

np = pytest.importorskip("numpy")

WIDTH = 300


def portrait(label: str, number: int, *, engine: str = "made", compare: str = "discriminant") -> people.Portrait:
    """Features that vary about those of the person, the same for the same arguments."""
    chance = np.random.default_rng([*label.encode(), number])
    centre = np.random.default_rng([*label.encode()]).normal(100, 12, WIDTH)

    def features() -> bytes:
        return bytes(np.clip(centre + chance.normal(0, 9, WIDTH), 0, 255).astype(np.uint8))

    digest = chance.bytes(32)
    return people.Portrait(
        label=label, sha256=digest, engine=engine, compare=compare, type="|u1", features=features(), mirrored=features()
    )


def portraits(*labels: str, each: int = 5, **how: str) -> people.Portraits:
    return {f"{label}/{number}.jpg": portrait(label, number, **how) for label in labels for number in range(each)}


def unpacked(model: Model, folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in model.files.items():
        (folder / name).write_bytes(data)
    return str(folder)


def named(model: Model, folder: Path, label: str, number: int) -> tuple[str, float]:
    found = recogniser.read(unpacked(model, folder))
    assert found
    return found.name(np.frombuffer(portrait(label, number)["features"], np.uint8))


PEOPLE = [f"person {number}" for number in range(12)]


def test_known_people_get_their_name_and_strangers_none(tmp_path: Path) -> None:
    model = people.fit(portraits(*PEOPLE))
    found = recogniser.read(unpacked(model, tmp_path))
    assert found
    for label in PEOPLE:
        name, confidence = found.name(np.frombuffer(portrait(label, 90)["features"], np.uint8))
        assert name == label
        assert 0.5 < confidence <= 1
    strangers = [portrait(f"stranger {who}", 90)["features"] for who in range(60)]
    names = [found.name(np.frombuffer(features, np.uint8))[0] for features in strangers]
    assert names.count("unknown") >= 54
    assert model.report["people"] == dict.fromkeys(PEOPLE, 5)
    assert model.report["threshold_chosen"]
    assert model.report["self_check"]["right"] == 1


def test_parts_in_any_order_and_grouping_give_the_same_bytes() -> None:
    whole = portraits("anna", "ben", "eva", "kim")
    expected = people.fit(whole)
    chance = random.Random(1)
    for _ in range(3):
        parts = [{name: entry} for name, entry in whole.items()]
        chance.shuffle(parts)
        at = chance.randrange(len(parts))
        joined = people.join([people.join(parts[at:]), people.join(parts[:at]), parts[0]])
        assert people.fit(joined) == expected


@pytest.mark.parametrize("labels", [["anna"], ["anna", "ben"]])
def test_one_or_two_people_work_with_a_default_threshold_and_the_report_says_so(
    labels: list[str], tmp_path: Path
) -> None:
    model = people.fit(portraits(*labels))
    assert not model.report["threshold_chosen"]
    assert "default" in model.report["notes"][0]
    assert model.report["self_check"]["strangers_named"] is None
    assert [named(model, tmp_path, label, 99)[0] for label in labels] == labels


def test_a_single_picture_of_each_works(tmp_path: Path) -> None:
    model = people.fit(portraits("anna", "ben", "eva", each=1))
    assert model.report["self_check"]["right"] is None
    assert "fewer than 3 pictures of anna, ben, eva" in model.report["notes"][0]
    assert recogniser.read(unpacked(model, tmp_path))


def test_no_face_at_all_says_what_to_do() -> None:
    with pytest.raises(people.NothingToLearn, match="folder named after a person"):
        people.fit({})


def test_the_same_picture_counts_once_and_for_one_person_only() -> None:
    given = portraits("anna", "ben", "eva")
    given["anna/again.jpg"] = given["anna/0.jpg"]
    given["anna/whose.jpg"] = portrait("whose", 1) | {"label": "anna"}
    given["ben/whose.jpg"] = portrait("whose", 1) | {"label": "ben"}
    report = people.fit(given).report
    assert report["people"] == {"anna": 5, "ben": 5, "eva": 5}
    assert report["left_out"] == {
        "anna/again.jpg": "the same picture as anna/0.jpg",
        "anna/whose.jpg": "the same picture stands for anna and for ben",
        "ben/whose.jpg": "the same picture stands for anna and for ben",
    }


def test_adding_keeps_the_others_and_not_adding_forgets_them(tmp_path: Path) -> None:
    base = unpacked(people.fit(portraits("anna", "ben", "eva")), tmp_path / "1")
    kim = portraits("kim") | portraits("ben", each=4)
    added = people.fit(kim, model=base, add=True)
    assert added.report["people"] == {"anna": 5, "ben": 4, "eva": 5, "kim": 5}
    assert added.files == people.fit(kim | portraits("anna", "eva")).files
    assert people.fit(kim, model=base).report["people"] == {"ben": 4, "kim": 5}
    assert people.fit({}, model=base, add=True).files["recogniser.npz"] == Path(base, "recogniser.npz").read_bytes()


def test_faces_described_in_different_ways_are_never_mixed(tmp_path: Path) -> None:
    base = unpacked(people.fit(portraits("anna", "ben", engine="old")), tmp_path)
    with pytest.raises(people.NothingToLearn, match=r"'old'.*'made'.*without adding"):
        people.fit(portraits("kim"), model=base, add=True)
    with pytest.raises(people.NothingToLearn, match="2 ways"):
        people.fit(portraits("anna") | portraits("ben", engine="old"))


def test_networks_and_parameters_of_the_bundle_go_into_the_new_version(tmp_path: Path) -> None:
    (tmp_path / "faces.onnx").write_bytes(b"a network")
    (tmp_path / "bundle.json").write_text('{"job": "faces", "parameters": {"detector": "faces.onnx"}}')
    model = people.fit(portraits("anna", "ben"), model=str(tmp_path))
    assert sorted(model.files) == ["faces.onnx", "recogniser.npz"]
    assert model.parameters["detector"] == "faces.onnx"


def test_a_version_tells_whom_it_knows_and_how_sure_it_is() -> None:
    model = people.fit(portraits("anna", "ben"))
    told = model.parameters["trained"]
    assert told["people"] == model.report["people"]
    assert {"threshold", "self_check", "pictures"} <= told.keys()
    assert people.fit(portraits("anna", "ben")).parameters == model.parameters


def test_a_version_for_very_many_people_names_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "MOST_NAMED", 1)
    told = people.fit(portraits("anna", "ben")).parameters["trained"]
    assert "people" not in told
    assert told["pictures"] > 0


def test_features_of_a_trained_network_compare_as_they_are(tmp_path: Path) -> None:
    model = people.fit(portraits("anna", "ben", "eva", "kim", compare="cosine"))
    found = recogniser.read(unpacked(model, tmp_path))
    assert found
    assert found.known.axes.shape[1] == 0
    assert named(model, tmp_path, "eva", 99)[0] == "eva"


def test_names_in_any_script_come_back(tmp_path: Path) -> None:
    labels = ["Ünal Öztürk", "小林", "Анна"]
    assert [named(people.fit(portraits(*labels)), tmp_path, label, 99)[0] for label in labels] == labels


def test_a_larger_space_than_is_kept_still_tells_people_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(recogniser, "MOST_DIMENSIONS", 20)
    monkeypatch.setattr(recogniser, "MOST_ROWS", 60)
    model = people.fit(portraits(*PEOPLE))
    assert sum(named(model, tmp_path, label, 99)[0] == label for label in PEOPLE) >= 10


def damaged(data: bytes, how: str) -> bytes:
    if how == "cut":
        return data[: len(data) // 2]
    if how == "flipped":
        at = len(data) // 3
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    return b"" if how == "empty" else b"no npz"


@pytest.mark.parametrize("how", ["cut", "flipped", "empty", "other"])
def test_a_damaged_recogniser_is_refused(how: str, tmp_path: Path) -> None:
    data = people.fit(portraits("anna", "ben", "eva")).files["recogniser.npz"]
    (tmp_path / "recogniser.npz").write_bytes(damaged(data, how))
    with pytest.raises(recogniser.BadRecogniser, match="damaged"):
        (recogniser.read(str(tmp_path)), people.read_samples(str(tmp_path)))


def arrays_of(folder: Path) -> dict[str, Any]:
    """Those of a recogniser's file, which is written there."""
    return dict(np.load(Path(unpacked(people.fit(portraits("anna", "ben", "eva")), folder), recogniser.FILE)))


def test_arrays_that_do_not_fit_each_other_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / recogniser.FILE, **arrays_of(tmp_path) | {"starts": np.array([0, 5, 400])})
    with pytest.raises(recogniser.BadRecogniser, match="do not fit"):
        recogniser.read(str(tmp_path))


def refused(folder: Path) -> str:
    """Why neither who recognises nor who trains can read it."""
    said = set()
    for read in (recogniser.read, people.read_samples):
        with pytest.raises(recogniser.BadRecogniser) as error:
            read(str(folder))
        said.add(str(error.value))
    [why] = said
    return why


def test_one_that_would_unpack_to_more_than_its_file_is_refused_unread(tmp_path: Path) -> None:
    whole = arrays_of(tmp_path)
    file = tmp_path / recogniser.FILE
    np.savez_compressed(file, **whole | {"middle": np.zeros(2**24)})
    assert file.stat().st_size < 2**20
    tracemalloc.start()
    assert "is compressed" in refused(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()
    np.savez(file, **whole | {f"more {number}": np.zeros(1) for number in range(recogniser.MOST_ARRAYS)})
    assert f"a recogniser has {recogniser.MOST_ARRAYS} at most" in refused(tmp_path)
    np.savez(file, **whole)
    data = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as archive:
        [size] = [member.file_size for member in archive.infolist() if member.filename == "axes.npy"]
    at = data.rindex(b"axes.npy") - 46  # its row in the directory; sizes stand from 20 on
    assert data[at : at + 4] == b"PK\1\2"
    assert data[at + 24 : at + 28] == size.to_bytes(4, "little")
    data[at + 24 : at + 28] = (2**30).to_bytes(4, "little")
    file.write_bytes(data)
    assert "says that 1,0" in refused(tmp_path)


WRONG: list[dict[str, Any]] = [
    {"format": np.array("x")}, {"format": np.array([1, 2])}, {"people": np.array("anna")},
    {"axes": np.zeros(3)}, {"numbers": np.zeros(3)}, {"numbers": np.array((0.5, -1e9))}, {"middle": np.array(1)},
    {"numbers": np.array((math.nan, 1))}, {"projection_basis": np.array(["x"])}, {"starts": np.array(["a", "b", "c"])},
    {"plain_samples": np.zeros(3, "V4")},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: next(iter(wrong)))
def test_whatever_its_arrays_are_nothing_else_is_raised(wrong: dict[str, Any], tmp_path: Path) -> None:
    np.savez(tmp_path / recogniser.FILE, **arrays_of(tmp_path) | wrong)
    with pytest.raises(recogniser.BadRecogniser):
        recogniser.read(str(tmp_path))


def test_so_many_names_of_no_length_are_not_read(tmp_path: Path) -> None:
    header = b"{'descr': '<U0', 'fortran_order': False, 'shape': (8589934592,), }\n"
    arrays = arrays_of(tmp_path)
    del arrays["people"]
    np.savez(tmp_path / recogniser.FILE, **arrays)
    with zipfile.ZipFile(tmp_path / recogniser.FILE, "a") as archive:
        archive.writestr("people.npy", b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header)
    assert "people has 8,589,934,592 entries of no size" in refused(tmp_path)


@pytest.mark.parametrize("name", ["sample_owners", "sample_digests", "sample_features"])
def test_nor_by_what_it_remembers_of_pictures(name: str, tmp_path: Path) -> None:
    for wrong in (np.array(3), np.array(["x"] * 15), np.zeros((15, 32), "V3")):
        np.savez(tmp_path / recogniser.FILE, **arrays_of(tmp_path) | {name: wrong})
        with pytest.raises(recogniser.BadRecogniser):
            people.read_samples(str(tmp_path))


def test_a_pickle_in_it_is_never_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / recogniser.FILE, format=np.array([{"a": 1}], dtype=object))
    with pytest.raises(recogniser.BadRecogniser, match="no recogniser"):
        recogniser.read(str(tmp_path))


def of_anna_as(name: str, numbers: Iterable[int]) -> people.Portraits:
    found = {f"{name}/{number}.jpg": portrait("anna", number) for number in numbers}
    for each in found.values():
        each["label"] = name
    return found


def test_a_picture_that_is_added_for_another_person_stands_for_that_one_alone(tmp_path: Path) -> None:
    base = unpacked(people.fit(portraits("anna", "ben", "eva")), tmp_path / "1")
    added = people.fit(of_anna_as("anna l", range(5)), model=base, add=True)
    assert added.report["people"] == {"anna l": 5, "ben": 5, "eva": 5}
    assert "5 of anna's pictures stand for somebody else now, as they were given" in added.report["notes"]
    assert added.report["self_check"]["named_rightly"] > 0.9


def test_one_person_under_two_names_is_noticed(tmp_path: Path) -> None:
    report = people.fit(portraits("anna", "ben", "eva") | of_anna_as("anna l", range(5, 10))).report
    assert any("under two names" in note for note in report["notes"]), report


def test_a_bundle_that_is_dropped_meanwhile_is_no_empty_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is gone"):
        people.fit(portraits("anna", "ben"), model=str(tmp_path / "dropped"), add=True)
