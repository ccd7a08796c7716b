"""Tables that cannot be learned from, or only with a word of warning: each message says what is wrong and where."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster import errors
from cluster.functions import Lazy
from cluster.job import Job
from splitters.tables import buckets
from tests.kit.programs import ROOT
from tests.kit.tables import cut, pictures, save, write

AB = ["a", "b"] * 20
X = np.arange(80.0).reshape(40, 2)
Make = Callable[[Path], Path]


def csv(text: str | bytes) -> Make:
    def make(folder: Path) -> Path:
        (folder / "a.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        return folder / "a.csv"

    return make


def table(**columns: Any) -> Make:
    return lambda folder: write(folder / "a.csv", columns)


def npz(**arrays: Any) -> Make:
    return lambda folder: save(folder / "a.npz", **arrays)


def changed(at: tuple[int, int], value: float) -> Any:
    other = X.copy()
    other[at] = value
    return other


REFUSED: dict[str, tuple[Make, str, dict[str, Any]]] = {
    "text in a column of numbers": (
        table(age=[*range(30), "abc", *range(9)], y=AB),
        r"the column 'age' is a number in 39 rows, but line 32 of a.csv has 'abc': mend .* --drop age",
        {},
    ),
    "text in a target of numbers": (
        table(x=range(40), y=[*np.arange(39) / 2, "abc"]),
        r"the target 'y' is a number in 39 rows, but line 41 of a.csv has 'abc'",
        {},
    ),
    "an infinite number": (
        table(x=[*range(39), "-inf"], y=AB),
        r"the column 'x' is infinite in line 41 of a.csv: mend the number, or leave it empty",
        {},
    ),
    "an infinite number in an array": (
        npz(X=changed((7, 1), np.inf), y=AB),
        r"column 1 of X is infinite in row 7 of a.npz",
        {},
    ),
    "an infinite number in a named column": (
        npz(X=changed((7, 1), np.inf), y=AB, names=["u", "v"]),
        r"column 'v' of X is infinite in row 7 of a.npz",
        {},
    ),
    "an infinite number in an array of columns": (
        npz(speed=changed((7, 1), np.inf)[:, 1], y=AB),
        r"the column 'speed' is infinite in row 7 of a.npz",
        {},
    ),
    "a number that has no square": (
        npz(X=changed((7, 1), 1e300), y=AB),
        r"column 1 of X is 1e\+300 in row 7 of a\.npz: mend the number, or leave it empty",
        {},
    ),
    "an infinite float32": (npz(X=changed((7, 1), np.inf).astype(np.float32), y=AB), "column 1 of X is infinite", {}),
    "an infinite target": (npz(X=X, y=changed((3, 0), np.inf)[:, 0]), "the target 'y' is infinite in row 3", {}),
    "one class in all": (table(x=range(40), y=["a"] * 40), "the target 'y' has one class in all rows, 'a'", {}),
    "one class in all of an array": (npz(X=X, y=[3] * 40), "has one class in all rows, '3'", {}),
    "one number in all": (npz(X=X, y=[0.5] * 40), "the target 'y' is 0.5 in all training rows", {}),
    "no rows": (npz(X=np.zeros((0, 2)), y=np.zeros(0, int)), "a.npz has no rows", {}),
    "no rows below a header": (csv("x,y\n"), "a.csv has no rows", {}),
    "an empty file": (csv(""), "a.csv is empty: it must have a line with the names", {}),
    "X and y of different lengths": (npz(X=X, y=[0, 1]), r"X of a.npz has the shape \(40, 2\), and y has 2 rows", {}),
    "columns of different lengths": (
        npz(a=range(40), b=[1, 2], y=AB),
        r"the array 'b' of a.npz has the shape \(2,\), and the target 40 rows: .*--drop b",
        {},
    ),
    "a target that is not there": (
        table(x=range(40), letter=AB),
        r"a.csv has no column 'leter' \(it has: x, letter\); did you mean letter\?",
        {"target": "leter"},
    ),
    "no target named": (
        table(x=range(40), y=AB),
        "name the column to learn with --target: a.csv has x, y",
        {"target": None},
    ),
    "an array that is not there": (
        npz(X=X, labels=AB),
        r"a.npz has no array 'y' \(it has: X, labels\)",
        {"target": None},
    ),
    "a column to drop that is not there": (
        table(x=range(40), y=AB),
        r"a.csv has no column 'X' \(it has: x, y\); did you mean x\?",
        {"drop": "X"},
    ),
    "columns to drop of an array without names": (npz(X=X, y=AB), "X of a.npz has no names", {"drop": "x"}),
    "all columns dropped": (table(x=range(40), y=AB), "a.csv has no column to learn from", {"drop": "x"}),
    "a row that is too short": (
        csv("x,y\n1,a\n2\n3,b\n"),
        r"line 3 of a.csv has 1 fields, and the header has 2",
        {},
    ),
    "a row that is too long": (csv("x,y\n\n1,a\n2,b,c\n"), r"line 4 of a.csv has 3 fields, and the header has 2", {}),
    "a binary file": (csv(b"\x7fELF\0\0\1\2"), "a.csv is a binary file: give a CSV file", {}),
    "no UTF-8": (csv("x,y\n1,ä\n".encode("latin-1")), "a.csv is no text in UTF-8 .*: save it as UTF-8", {}),
    "a quotation mark left open": (csv('x,y\n1,"a\n2,b\n'), "a.csv cannot be read .*a quotation mark left open", {}),
    "one column": (csv("x\n1\n2\n"), "a.csv has one column only", {}),
    "two columns of one name": (csv("x,x,y\n1,2,a\n"), "a.csv has two columns of the name 'x'", {}),
    "no header": (csv("1,2\n3,4\n"), "the first line of a.csv is all numbers: it must have the names", {}),
    "too many classes": (
        table(x=range(2002), y=[f"t{at}" for at in range(2002)]),
        "the target 'y' has more than 1,000 different texts: is it the right column",
        {},
    ),
    "an array of objects": (
        npz(X=np.array([[{}]] * 40, object), y=AB),
        "the array 'X' of a.npz holds Python objects, which are never loaded: save numbers",
        {},
    ),
    "an array of texts": (npz(X=np.array([["a"]] * 40), y=AB), "X of a.npz is of dtype <U1: it must hold numbers", {}),
    "an array of other things": (npz(X=X.astype(complex), y=AB), "X of a.npz is of dtype complex128", {}),
    "targets in a square": (npz(X=X, y=X), r"the target 'y' has the shape \(40, 2\)", {}),
    "names that do not fit": (npz(X=X, y=AB, names=["a"]), "'names' of a.npz has 1 names, and X has 2 columns", {}),
    "classes that do not fit": (
        npz(X=X, y=[0, 2] * 20, classes=["a"]),
        "counts from 0 to 2, and 'classes' names 1",
        {},
    ),
    "pixels of another size": (npz(X=X, y=AB), "--size 3x3 is 9 values, and a row of X has 2", {"size": "3x3"}),
    "a size that is none": (npz(X=X, y=AB), "--size is 'big'; it must be a width and a height", {"size": "big"}),
    "a size of a table": (table(x=range(40), y=AB), "--size and --grey are for pictures", {"size": "3x3"}),
    "shares of more than all": (npz(X=X, y=AB), "leave no rows to learn from", {"test": 0.6, "valid": 0.5}),
    "more shards than rows": (npz(X=X, y=AB), "28 training rows of 40 cannot be cut into 99 shards", {"shards": 99}),
    "a target of pictures": (lambda folder: pictures(folder / "p"), "leave out --target", {}),
    "a spreadsheet": (
        lambda folder: save(folder / "a.npz", X=X).rename(folder / "a.xlsx"),
        "a.xlsx is a spreadsheet",
        {},
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_learned_from_is_refused_with_the_reason(what: str, tmp_path: Path) -> None:
    make, told, options = REFUSED[what]
    with pytest.raises(ValueError, match=told):
        cut(make(tmp_path), **{"target": "y", **options})


def test_a_damaged_file_of_arrays_is_refused(tmp_path: Path) -> None:
    whole = save(tmp_path / "a.npz", X=np.random.default_rng(1).normal(size=(500, 9)), y=[0, 1] * 250).read_bytes()
    (tmp_path / "b.npz").write_bytes(whole[:5000])
    with pytest.raises(ValueError, match=r"b.npz is damaged, or no .npz file"):
        cut(tmp_path / "b.npz")
    (tmp_path / "c.npz").write_bytes(whole[:5000] + bytes(100) + whole[5100:])
    with pytest.raises(ValueError, match=r"the array 'X' of c.npz is damaged"):
        cut(tmp_path / "c.npz")


def test_an_array_of_objects_runs_no_code_of_it(tmp_path: Path) -> None:
    class Touch:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    path = save(tmp_path / "a.npz", X=X, y=np.array([Touch()] * 40, object))
    with pytest.raises(ValueError, match="never loaded"):
        cut(path)
    assert not (tmp_path / "ran").exists()


def test_nan_is_a_missing_number_and_noted(tmp_path: Path) -> None:
    done = cut(save(tmp_path / "a.npz", X=changed((7, 1), np.nan), y=AB), test=0, valid=0)
    assert "the training rows lack 1 numbers (NaN): means stand for them" in done.notes()
    assert np.isfinite(done.all("X")).all()
    assert (done.all("X") == 0).sum() == 1


def test_a_constant_column_is_noted_and_harmless(tmp_path: Path) -> None:
    done = cut(write(tmp_path / "a.csv", {"x": range(40), "same": [0.1] * 40, "y": AB}), target="y")
    assert "columns with one value in all training rows teach nothing: 'same'" in done.notes()
    assert (done.all("X")[:, 1] == 0).all()
    array = cut(save(tmp_path / "a.npz", X=np.full((40, 2), 1e9 + 0.1), y=AB))
    assert "columns with one value in all training rows teach nothing: '0', '1'" in array.notes()
    assert (array.all("X") == 0).all()


def test_an_outlier_that_flattens_its_column_is_told(tmp_path: Path) -> None:
    far = [float(at) for at in range(39)] + [1e30]
    done = cut(write(tmp_path / "a.csv", {"x": range(40), "far": far, "y": AB}), target="y", test=0, valid=0)
    [note] = [note for note in done.notes().splitlines() if "hardly differ" in note]
    assert note.startswith("the column 'far' goes to 1e+30, and most of its values are between ")

    X = np.stack([np.exp(np.random.default_rng(0).normal(scale=2, size=40)), -np.array(far), np.arange(40) == 3], 1)
    array = cut(save(tmp_path / "a.npz", X=X, y=AB), test=0, valid=0)
    [note] = [note for note in array.notes().splitlines() if "hardly differ" in note]
    assert note.startswith("the column '1' goes to -1e+30, and most")

    number = cut(write(tmp_path / "b.csv", {"x": range(40), "y": [*far[:39], -1e9]}), target="y", test=0, valid=0)
    assert "the target 'y' goes to -1e+09, and most of its values are between " in number.notes()


@pytest.mark.parametrize(
    ("column", "note"),
    [
        ([f"name {at}" for at in range(300)], "the column 'c' has more than 255 different texts and is left out"),
        ([""] * 300, "the column 'c' is empty and is left out"),
    ],
)
def test_a_column_that_is_left_out_is_noted(tmp_path: Path, column: list[str], note: str) -> None:
    done = cut(write(tmp_path / "a.csv", {"x": range(300), "c": column, "y": ["a", "b"] * 150}), target="y")
    assert note in done.notes()
    assert done.card["input_shape"] == [1]


def test_a_class_in_one_shard_alone_is_noted(tmp_path: Path) -> None:
    y = [0, 1] * 100 + [2]
    done = cut(save(tmp_path / "a.npz", X=np.eye(201, 2), y=y, classes=["a", "b", "rare"]), shards=4, test=0, valid=0)
    assert "classes that one shard alone has, and so one node at a time learns: 'rare'" in done.notes()
    assert sum((shard["y"] == 2).sum() for shard in done.shards) == 1


@pytest.mark.parametrize("seed", range(8))
def test_a_class_is_never_held_out_as_a_whole(tmp_path: Path, seed: int) -> None:
    y = [0, 1] * 50 + [2]
    done = cut(save(tmp_path / "a.npz", X=np.eye(101, 2), y=y), shards=2, test=0.5, valid=0.3, seed=seed)
    assert done.card["class_rows"]["train"][2] == 1
    assert sum(done.card["rows"].values()) == 101


def test_a_shard_of_less_than_a_batch_is_noted(tmp_path: Path) -> None:
    done = cut(save(tmp_path / "a.npz", X=X, y=AB), shards=4, batch_size=32)
    assert done.card["shard_rows"] == [7, 7, 7, 7]
    assert "a shard has 7 training rows, fewer than a batch of 32: its steps take all its rows" in done.notes()
    assert "a batch" not in cut(save(tmp_path / "a.npz", X=X, y=AB), shards=4, batch_size=7).notes()


def test_a_run_without_held_out_rows_is_noted(tmp_path: Path) -> None:
    notes = cut(save(tmp_path / "a.npz", X=X, y=AB), test=0, valid=0).notes()
    assert "no row is held out for validation" in notes
    assert "no row is held out for the test" in notes


def test_a_test_file_of_another_form_is_refused(tmp_path: Path) -> None:
    train = write(tmp_path / "a.csv", {"x": range(40), "z": range(40), "y": AB})

    def with_test(test: Path, **options: Any) -> None:
        cut(train, target="y", test_file=str(test), **options)

    with pytest.raises(ValueError, match=r"b.csv has no column 'z' \(it has: x, y\)"):
        with_test(write(tmp_path / "b.csv", {"x": [1], "y": ["a"]}))
    with pytest.raises(ValueError, match=r"b.csv has classes that no training row has: 'c'"):
        with_test(write(tmp_path / "b.csv", {"x": [1], "z": [1], "y": ["c"]}))
    with pytest.raises(
        ValueError, match=r"the column 'x' is a number in the training rows, but line 2 of b.csv has 'u'"
    ):
        with_test(write(tmp_path / "b.csv", {"x": ["u"], "z": [1], "y": ["a"]}))
    with pytest.raises(ValueError, match="must be of the kind of the training rows: CSV"):
        with_test(save(tmp_path / "b.npz", X=X, y=AB))
    array = save(tmp_path / "a.npz", X=X, y=AB)
    with pytest.raises(ValueError, match=r"a row of b.npz has the shape \(1,\), and one of the training rows \(2,\)"):
        cut(array, test_file=str(save(tmp_path / "b.npz", X=X[:, :1], y=AB)))
    with pytest.raises(ValueError, match="has numbers, and the training rows have classes"):
        cut(array, test_file=str(save(tmp_path / "b.npz", X=X, y=X[:, 0])))
    with pytest.raises(FileNotFoundError):
        cut(array, test_file=str(tmp_path / "none.npz"))


def test_several_inputs_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    array = save(tmp_path / "a.npz", X=X, y=AB)
    with pytest.raises(ValueError, match="give one input"):
        cut(array, array)
    one, other = write(tmp_path / "a.csv", {"x": [1], "y": [2]}), write(tmp_path / "b.csv", {"x": [1], "z": [2]})
    with pytest.raises(ValueError, match=r"b.csv has other columns than a.csv: x, z"):
        cut(one, other, target="y")


def test_a_full_disk_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def open(self, mode: str) -> Any:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path}'"):
        buckets.Buckets(tmp_path)._append(Full(), X)  # type: ignore[arg-type]


def test_a_shard_over_the_limit_names_how_many_are_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("splitters.tables.cut.MAX_ITEM_BYTES", 100)
    npz = save(tmp_path / "a.npz", X=X, y=AB)
    with pytest.raises(ValueError, match="a shard has up to 224 bytes, over the limit of 100: give --shards 4 or more"):
        cut(npz, shards=1)
    cut(npz, shards=4)


@pytest.mark.parametrize(("lacking", "told"), [("numpy", "NumPy"), ("PIL", "Pillow")])
def test_a_machine_without_a_library_names_it(tmp_path: Path, lacking: str, told: str) -> None:
    code = (
        f"import sys; sys.modules['{lacking}'] = None\n"
        "from cluster import catalog, errors\n"
        "try: next(catalog.TRAIN.chunks(sys.argv[1], {}))\n"
        "except errors.JobUnavailable as error: print(error)"
    )
    folder = pictures(tmp_path / "all", 2)
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert told in done.stdout
    assert "pip install" in done.stdout


def test_a_submitted_table_that_is_wrong_is_wrong_use(tmp_path: Path) -> None:
    task = Lazy("nowhere:nothing")
    job = Job(name="t", about="", split=Lazy("splitters.tables:split"), task=task, aggregate=task)
    with pytest.raises(errors.UsageError, match=r"a.csv has no rows"):
        next(job.chunks(csv("x,y\n")(tmp_path), {"target": "y"}))
    with pytest.raises(errors.UsageError, match=r"no such file or folder: .*none.csv"):
        next(job.chunks(tmp_path / "none.csv", {}))
