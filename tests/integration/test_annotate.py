"""Labelled pictures are written by other processes: whole or not at all, one's trouble not the others'."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster import annotate
from splitters import files
from tasks.faces import draw
from tests.kit import faces
from tests.kit.programs import ROOT
from tests.kit.waiting import wait_until

NAMES = [f"{folder}{number}.jpg" for folder in ("", "in/", "in/deep er/") for number in range(4)]


def shout(data: bytes, result: list[Any]) -> bytes:
    """Stands in for drawing: shows what it got. Told to, it raises, ends its process, or takes long."""
    told = data.decode()
    if told == "raise":
        raise ValueError("this one is odd")
    if told == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if told.startswith("slow"):
        begun = Path(told.removeprefix("slow "))
        begun.touch()
        wait_until("it may go on", lambda: not begun.exists(), 60)
    return f"{told} {result}".encode()


def texts(folder: Path, texts: Mapping[str, str]) -> Path:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def below(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


def write(source: Path, results: Mapping[str, list[Any]], to: Path, workers: int = 2, **how: Any) -> list[str]:
    return annotate.write(shout, files.walk([source]), results, to, workers=workers, **how)


@pytest.mark.parametrize("workers", [1, 3])
def test_every_picture_with_a_result_is_written_under_its_name(workers: int, tmp_path: Path) -> None:
    source = texts(tmp_path / "in", {name: name for name in NAMES})
    results: dict[str, list[Any]] = {name: [number] for number, name in enumerate(NAMES)}
    del results["in/2.jpg"]  # it failed
    assert write(source, results, tmp_path / "out", workers) == []
    assert below(tmp_path / "out") == {name: f"{name} {result}" for name, result in results.items()}
    texts(source, {"0.jpg": "newer"})
    assert write(source, {"0.jpg": []}, tmp_path / "out") == []
    assert (tmp_path / "out" / "0.jpg").read_text() == "newer []"


def test_faces_are_drawn_into_real_pictures(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    source = faces.FOLDER / "party"
    face = {"box": [20, 120, 200, 200], "score": 1.0, "label": "kim", "confidence": 0.9}
    results = {"garden.jpg": [face], "kitchen.jpg": []}
    assert annotate.write(draw.draw, files.walk([source]), results, tmp_path, workers=2) == []
    with image.open(tmp_path / "garden.jpg") as drawn, image.open(source / "garden.jpg") as before:
        assert drawn.size == before.size
        assert drawn.tobytes() != before.tobytes()
    assert (tmp_path / "kitchen.jpg").read_bytes() == (source / "kitchen.jpg").read_bytes()


def test_one_that_fails_or_kills_its_process_costs_the_others_nothing(tmp_path: Path) -> None:
    told = {"a": "fine", "b": "raise", "c": "die", "d": "fine", "e": "die", "f": "fine", "g": "fine"}
    source = texts(tmp_path / "in", told)
    problems = write(source, {name: [] for name in told}, tmp_path / "out")
    assert sorted(problems) == [
        "b: cannot be drawn: this one is odd",
        "c: the process that drew it ended with -9",
        "e: the process that drew it ended with -9",
    ]
    assert below(tmp_path / "out") == dict.fromkeys("adfg", "fine []")


def test_what_changed_or_vanished_since_is_told(tmp_path: Path) -> None:
    source = texts(tmp_path / "in", {"kept": "kept", "gone": "gone", "replaced": "replaced", "folder": "folder"})
    texts(tmp_path, {"old": "another picture, older than the run"})
    began, probe = time.time(), tmp_path / "probe"

    def ticked() -> bool:
        probe.write_text("")
        return probe.stat().st_ctime > began

    wait_until("the clock of the file system goes on, which it does in ticks", ticked)
    (source / "gone").unlink()
    (tmp_path / "old").rename(source / "replaced")
    (source / "folder").unlink()
    (source / "folder").mkdir()
    found = [files.Found(name, source / name) for name in ("kept", "replaced", "folder")]
    results: dict[str, list[Any]] = {name: [] for name in ("kept", "gone", "replaced", "folder")}
    problems = annotate.write(shout, found, results, tmp_path / "out", workers=2, since=began)
    assert sorted(problems) == [
        f"folder: {files.NO_FILE}",
        "gone: is no longer in the input",
        "replaced: was changed after the run had begun",
    ]
    assert below(tmp_path / "out") == {"kept": "kept []"}


def test_an_input_that_is_gone_is_told(tmp_path: Path) -> None:
    problems = write(tmp_path / "nowhere", {"a": []}, tmp_path / "out")
    assert [problem.partition(": ")[0] for problem in problems] == [str(tmp_path / "nowhere"), "a"]


def test_names_that_point_outside_and_places_that_cannot_be_are_told(tmp_path: Path) -> None:
    source = texts(tmp_path / "in", {"a": "a", "b": "b", "c": "c"})
    texts(tmp_path / "out", {"taken": "a file where a folder is needed"})
    named = {"../a": "a", "taken/b": "b", "x" * 300: "c", "fine": "c"}
    found = [files.Found(name, source / path) for name, path in named.items()]
    problems = annotate.write(shout, found, {name: [] for name in named}, tmp_path / "out", workers=2)
    assert len(problems) == 3
    assert any("'../a' points outside" in problem for problem in problems)
    assert any(problem.startswith("taken/b: cannot be") for problem in problems)
    assert any("too long" in problem for problem in problems)
    assert below(tmp_path / "out").keys() == {"taken", "fine"}
    assert not (tmp_path / "a").exists()


def test_a_picture_of_the_input_is_never_replaced(tmp_path: Path) -> None:
    source = texts(tmp_path / "in", {"a": "precious"})
    assert len(write(source, {"a": []}, source)) == 1
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(source / "a")
    assert len(write(source, {"a": []}, tmp_path / "out")) == 1
    assert below(source) == {"a": "precious"}


def test_a_link_to_a_folder_in_the_output_folder_is_not_followed(tmp_path: Path) -> None:
    source = texts(tmp_path / "in", {"a/b": "new"})
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(tmp_path / "elsewhere")
    [problem] = write(source, {"a/b": []}, tmp_path / "out")
    assert problem == "a/b: cannot be written: a is a link, which is not followed"
    assert below(tmp_path / "elsewhere") == {}


def test_only_so_many_processes_work_at_a_time(tmp_path: Path) -> None:
    source = texts(tmp_path / "in", {f"{number}": "fine" for number in range(20)})
    seen: set[int] = set()

    class Watched(dict[str, list[Any]]):
        def __getitem__(self, name: str) -> list[Any]:
            seen.add(len(ours()))
            return super().__getitem__(name)

    def ours() -> list[psutil.Process]:
        return [p for p in psutil.Process().children() if any("spawn_main" in word for word in p.cmdline())]

    write(source, Watched({str(number): [] for number in range(20)}), tmp_path / "out", workers=2)
    assert max(seen) == 2
    assert not ours()


def hears_interrupts(process: psutil.Process) -> bool:
    """Whether it does not block them; only Linux tells."""
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        return False
    [blocked] = re.findall(r"^SigBlk:\s*(\w+)$", status.read_text(), re.MULTILINE)
    return not int(blocked, 16) >> (signal.SIGINT - 1) & 1


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_it_leaves_no_process_and_no_half_file(how: signal.Signals, tmp_path: Path) -> None:
    children: list[psutil.Process] = []
    begun = [tmp_path / "begun 1", tmp_path / "begun 2"]
    told = {"a": "fine", "b": f"slow {begun[0]}", "c": f"slow {begun[1]}", "d": "fine"}
    source = texts(tmp_path / "in", told)
    code = f"""
from pathlib import Path
from tests.integration import test_annotate as it
if __name__ == "__main__":
    it.write(Path({str(source)!r}), {{name: [] for name in "abcd"}}, Path({str(tmp_path / "out")!r}))
"""
    (tmp_path / "program.py").write_text(code)
    program = subprocess.Popen(
        [sys.executable, tmp_path / "program.py"], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        wait_until("both are being drawn", lambda: all(path.exists() for path in begun), 30)
        children = psutil.Process(program.pid).children(recursive=True)
        assert [hears_interrupts(child) for child in children if "spawn_main" in " ".join(child.cmdline())] == [
            False
        ] * 2
        if how is signal.SIGINT:
            (tmp_path / "out" / f".cluster-draft-{program.pid}-1.part").write_text("half of what they were at")
            os.killpg(program.pid, how)  # as a terminal does
            _, said = program.communicate(timeout=20)
            assert said.count("KeyboardInterrupt") == 1  # nothing of the processes that drew
        else:
            program.kill()
            program.wait(timeout=20)
            for path in begun:  # what they were at is done to the end, and nothing more
                path.unlink()
        wait_until("they are gone", lambda: not any(child.is_running() for child in children), 10)
    finally:
        for child in children:
            if child.is_running():
                child.kill()
        program.communicate()
    done = "a" if how is signal.SIGINT else "abc"
    assert below(tmp_path / "out") == {name: f"{told[name]} []" for name in done}
