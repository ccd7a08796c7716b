"""A run without a broker that is stopped in the middle: the same command goes on with it, and reads nothing twice."""

from __future__ import annotations

import json
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest

from cluster import errors
from tests.kit import commands
from tests.kit.programs import Program, cluster, find_redis, start_cluster
from tests.kit.waiting import wait_until

PAGES, SLOTS = 10, 2
JOB = ("submit", "--job", "scan-wait", "--chunk-size", "1", "--seconds", "0.4")


class Place:
    """Pictures, and a cache folder of this test alone."""

    def __init__(self, folder: Path) -> None:
        find_redis()
        self.source, self.output, self.trace = folder / "scans", folder / "out", folder / "trace"
        self.cache = folder / "cache"
        self.settings = {"CLUSTER_CACHE_DIR": str(self.cache), "CLUSTER_SLOTS": str(SLOTS)}
        self.source.mkdir()
        self.trace.mkdir()
        for number in range(PAGES):
            self.draw(f"{number}.png")

    def draw(self, name: str) -> None:
        """One more picture."""
        from PIL import Image

        Image.new("L", (40, 20), len(name)).save(self.source / name)

    def documents(self, **pages: int) -> None:
        """PDFs with so many pages, in place of the pictures."""
        from PIL import Image

        for path in self.source.iterdir():
            path.unlink()
        for name, number in pages.items():
            first, *rest = [Image.new("L", (620, 877), 200 + at) for at in range(number)]
            first.save(self.source / f"{name}.pdf", save_all=True, append_images=rest, resolution=75)

    def command(self, *more: str | Path) -> tuple[str | Path, ...]:
        return (*JOB, "--trace", self.trace, self.source, *more)

    def start(self, *more: str | Path) -> Program:
        return start_cluster(*self.command(*more), settings=self.settings)

    def read(self) -> Counter[str]:
        """Picture -> how often it was read."""
        lines = [line for file in self.trace.iterdir() for line in file.read_text().splitlines()]
        return Counter(line.split()[-1] for line in lines)

    def kept(self) -> list[str]:
        """The runs on disk."""
        folder = self.cache / "private"
        return [path.name for path in folder.iterdir()] if folder.exists() else []


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize(
    ("how", "code", "state"),
    [
        (signal.SIGINT, 130, "paused"),
        (signal.SIGKILL, -9, "stopped"),
        pytest.param(signal.SIGTERM, 143, "paused", marks=pytest.mark.slow),
    ],
    ids=["ctrl-c", "kill", "terminate"],
)
def test_the_same_command_goes_on_and_reads_nothing_twice(
    how: signal.Signals, code: int, state: str, place: Place
) -> None:
    folder = ("--format", "text-folder", "-o", place.output)
    with place.start(*folder) as submit:
        wait_until("files appear while it goes on", lambda: list(place.output.glob("*.txt")))
        wait_until("some are read", lambda: len(place.read()) >= 3)
        assert submit.poll() is None
        submit.send_signal(how)
        _, err = submit.communicate(timeout=30)
    assert submit.returncode == code, err
    [run] = place.kept()
    if how is not signal.SIGKILL:
        assert f"{run}: paused, " in err
        assert f"cluster cancel {run}" in err
    listed = json.loads(commands.cluster("runs", "--json", settings=place.settings).stdout)
    assert [(one["run"], one["process"]) for one in listed] == [(run, None)]
    assert listed[0]["size_bytes"] > 0
    done = listed[0]["items_done"]
    assert 0 < done < PAGES
    assert state in commands.cluster("runs", settings=place.settings).stdout
    before = place.read()
    again = cluster(*place.command(*folder), settings=place.settings)
    assert again.returncode == 0, again.stderr
    assert f"goes on with {run}: {done} of {PAGES} done" in again.stderr
    assert len(list(place.output.glob("*.txt"))) == PAGES
    assert set(place.read()) == {f"{number}.png" for number in range(PAGES)}
    assert (place.read() - before).total() <= PAGES - done
    assert place.kept() == []


def test_killed_in_mid_run_each_page_is_in_its_pdf_once(place: Place) -> None:
    place.documents(a=2, b=6)
    command = ("--format", "pdf", "-o", place.output)
    with place.start(*command) as submit:
        wait_until("the first document is there", lambda: list(place.output.glob("*.pdf")))
        submit.kill()
        submit.communicate()
    before = place.read()
    again = cluster(*place.command(*command), settings=place.settings)
    assert again.returncode == 0, again.stderr
    assert {path.name: words_a_page(path) for path in place.output.iterdir()} == {
        "a.pdf": [500] * 2, "b.pdf": [500] * 6
    }  # fmt: skip
    assert set(before) <= set(place.read())
    assert place.read().total() - 8 <= SLOTS  # what was under way when it was killed


def words_a_page(path: Path) -> list[int]:
    import pypdfium2

    document = pypdfium2.PdfDocument(path)
    return [len(page.get_textpage().get_text_range().split()) for page in document]


def test_a_stopped_run_can_be_looked_at_resumed_and_dropped(place: Place) -> None:
    with place.start("--seconds", "1.5") as submit:  # time enough to look
        wait_until("some are read", lambda: len(place.read()) >= 2)
        [run] = place.kept()
        for command in ("cancel", "result"):
            busy = commands.cluster(command, run, settings=place.settings)
            assert (busy.returncode, f"is in use: the process {submit.pid}" in busy.stderr) == (5, True)
        assert "in use" in commands.cluster("runs", settings=place.settings).stdout
        submit.send_signal(signal.SIGINT)
        submit.communicate(timeout=30)
    status = json.loads(commands.cluster("status", run, "--json", settings=place.settings).stdout)
    assert status["paused"] == "the submitter was stopped"
    early = commands.cluster("result", run, settings=place.settings)
    assert (early.returncode, "still going on" in early.stderr) == (5, True)
    done = cluster("resume", run, place.source, settings=place.settings)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == PAGES
    assert place.kept() == []
    gone = commands.cluster("status", run, settings=place.settings)
    assert gone.returncode == 4


def test_a_changed_input_begins_another_run_and_says_so(place: Place) -> None:
    with place.start() as submit:
        wait_until("some are read", lambda: len(place.read()) >= 2)
        submit.send_signal(signal.SIGINT)
        submit.communicate(timeout=30)
    [run] = place.kept()
    place.draw("more.png")
    again = cluster(*place.command(), settings=place.settings)
    assert again.returncode == 0, again.stderr
    assert f"{run}: its input has changed since" in again.stderr
    assert len(json.loads(again.stdout)) == PAGES + 1
    assert place.kept() == [run]
    assert commands.cluster("cancel", run, settings=place.settings).returncode == 0
    assert place.kept() == []


def test_where_nothing_can_be_kept_a_run_goes_on_without(place: Place, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    done = cluster(*place.command(), settings=place.settings)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == PAGES
    assert done.stderr.count("nothing of this run is kept if it is stopped: ") == 1


def test_lines_come_while_the_run_goes_on_and_a_broken_pipe_ends_it(place: Place) -> None:
    with place.start("--follow") as submit:
        assert submit.stdout is not None
        assert json.loads(submit.stdout.readline())["item"].endswith(".png")
        assert submit.poll() is None
        submit.stdout.close()
        assert submit.stderr is not None
        said = submit.stderr.read()
        submit.wait(30)
    assert submit.returncode == 1
    assert "Traceback" not in said
    [run] = place.kept()
    assert f"{run}: paused, " in said


def test_what_one_document_could_not_be_written_from_stays(place: Place) -> None:
    place.documents(a=1, b=1)
    in_the_way = place.output / "a.pdf"
    (in_the_way / "full").mkdir(parents=True)
    command = ("--format", "pdf", "-o", place.output)
    done = cluster(*place.command(*command), settings=place.settings)
    assert done.returncode == errors.ITEMS_MISSING_EXIT_CODE, done.stderr
    assert "a.pdf: cannot be written" in done.stderr
    [run] = place.kept()
    assert f"`cluster result {run}` writes it" in done.stderr
    shutil.rmtree(in_the_way)
    again = cluster("result", run, place.source, *command, settings=place.settings)
    assert again.returncode == 0, again.stderr
    assert in_the_way.is_file()
