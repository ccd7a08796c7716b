"""What strangers send is decoded in a child process, whose end is the problem of one page."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from splitters import Item
from tasks import _child, _decoder, ocr
from tasks.pictures import UnreadablePicture
from tests.kit import bad_decoder
from tests.kit.programs import ROOT
from tests.kit.waiting import wait_until

Image = pytest.importorskip("PIL.Image")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals and limits of this kind")
OPTIONS: dict[str, Any] = {"text": "skip", "dpi": 300, "max_megapixels": 64}


@pytest.fixture(autouse=True)
def own_child() -> Iterator[None]:
    _decoder.end()
    yield
    _decoder.end()


@pytest.fixture
def bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_decoder, "PROGRAM", bad_decoder.__name__)


def picture(pages: int = 1, size: tuple[int, int] = (60, 40)) -> bytes:
    out = io.BytesIO()
    made = [Image.new("L", size, 200 + number) for number in range(pages)]
    made[0].save(out, "TIFF", save_all=True, append_images=made[1:])
    return out.getvalue()


def decoded(data: bytes, number: int = 1) -> _decoder.Seen:
    return _decoder.Document(data, **OPTIONS).page(number)


def child() -> psutil.Process:
    [found] = [one for one in psutil.Process().children() if any("decoder" in word for word in one.cmdline())]
    return found


def test_pixels_come_as_they_are_and_one_child_serves_all_files() -> None:
    data = picture(3)
    document = _decoder.Document(data, **OPTIONS)
    first = child().pid
    assert document.pages == 3
    shades = [document.page(number).picture for number in (3, 1, 2)]
    assert [shade.image.getpixel((5, 5)) for shade in shades if shade] == [202, 200, 201]
    other = decoded(picture(size=(7, 9)))
    assert (other.width, other.height) == (7, 9)
    assert document.page(2).width == 60  # opened again, as the child has had another file since
    assert child().pid == first


@pytest.mark.usefixtures("bad")
@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS"])
def test_a_crash_is_a_problem_of_that_file_alone(name: str) -> None:
    with pytest.raises(UnreadablePicture, match=f"damaged: the program that decodes it ended by {name}"):
        decoded(f"bad {name}".encode())
    assert decoded(picture()).width == 60


@pytest.mark.usefixtures("bad")
def test_a_crash_costs_one_page_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    if ocr.why_unavailable(lang="eng"):
        pytest.skip(ocr.why_unavailable(lang="eng"))
    monkeypatch.setenv(bad_decoder.CRASHES, "1")
    part = ocr.read_pages([Item("a.tif", picture(3)), Item("b.tif", picture(1))])
    assert part.value["a.tif"]["text"] == "\f\f"
    assert set(part.value) == {"a.tif", "b.tif"}
    assert part.failures == {"a.tif": "page 2 of 3: damaged: the program that decodes it ended by SIGSEGV"}


def test_a_file_that_crashes_often_is_not_tried_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_decoder, "PROGRAM", "tests.kit.bad_decoder")
    monkeypatch.setenv(bad_decoder.CRASHES, "1")
    document = _decoder.Document(picture(2), **OPTIONS)
    for _ in range(_decoder.MOST_CRASHES):
        with pytest.raises(UnreadablePicture, match="SIGSEGV"):
            document.page(2)
    with pytest.raises(UnreadablePicture, match="not tried: 3 pages of this file"):
        document.page(1)


@pytest.mark.usefixtures("bad")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_an_end_from_outside_is_no_fault_of_the_file(name: str) -> None:
    with pytest.raises(_child.Interrupted, match=name):
        decoded(f"bad {name}".encode())


@pytest.mark.usefixtures("bad")
def test_a_file_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_decoder, "TIME_S", 0.5)
    with pytest.raises(UnreadablePicture, match=r"takes more than 0\.5 s to decode"):
        decoded(b"bad wait")
    monkeypatch.setattr(_decoder, "TIME_S", 30)
    monkeypatch.setattr(_decoder, "CPU_S", 0)
    with pytest.raises(UnreadablePicture, match="takes more than 0 s of CPU"):
        decoded(b"bad spin")
    assert decoded(picture()).width == 60


def test_a_picture_that_takes_too_much_memory_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_decoder, "BASE_BYTES", 200 * 2**20)
    monkeypatch.setattr(_decoder, "PIXEL_BYTES", 0)
    out = io.BytesIO()
    Image.new("RGB", (6000, 5000)).save(out, "PNG", compress_level=1)
    with pytest.raises(UnreadablePicture, match="takes more than 200 MiB of memory"):
        decoded(out.getvalue())
    assert decoded(picture()).width == 60


@pytest.mark.usefixtures("bad")
def test_a_time_limit_of_the_caller_leaves_no_answer_behind() -> None:
    class Limit(Exception):
        pass

    def limit(*_: object) -> None:
        raise Limit

    before = signal.signal(signal.SIGALRM, limit)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(Limit):
            decoded(b"bad wait")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert decoded(picture()).width == 60


def test_the_child_is_told_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER_BROKER_URL", "redis://:secret@127.0.0.1:1/0")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    decoded(picture())
    told = child().environ()
    assert "PYTHONPATH" in told
    assert "secret" not in str(told)


def test_ctrl_c_of_the_terminal_is_not_for_the_child() -> None:
    decoded(picture())
    first = child()
    first.send_signal(signal.SIGINT)
    assert decoded(picture(size=(5, 5))).width == 5
    assert child().pid == first.pid


FORKING = """
import os, pathlib, sys
from tasks import _decoder
data = pathlib.Path(sys.argv[1]).read_bytes()
def width():
    return _decoder.Document(data, text="skip", dpi=300, max_megapixels=64).page(1).width
assert width() == 60
document = _decoder.Document(data, text="skip", dpi=300, max_megapixels=64)
own = _decoder._child._process.pid
pid = os.fork()
if not pid:
    same = width() == 60 and document.page(1).width == 60 and _decoder._child._process.pid != own
    _decoder.end()
    os._exit(0 if same else 1)
assert all(width() == 60 for _ in range(20)) and _decoder._child._process.pid == own
assert os.waitpid(pid, 0)[1] == 0
print(own, flush=True)
os.kill(os.getpid(), int(sys.argv[2]))
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_forked_process_has_its_own_child_and_no_child_outlives_its_parent(
    how: signal.Signals, tmp_path: Any
) -> None:
    (tmp_path / "a.tif").write_bytes(picture())
    done = subprocess.run(
        [sys.executable, "-c", FORKING, tmp_path / "a.tif", str(int(how))], capture_output=True, text=True, cwd=ROOT,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == -how, done.stderr
    wait_until("the decoder ends with its parent", lambda: not psutil.pid_exists(int(done.stdout)))


def test_the_end_of_the_program_leaves_no_child(tmp_path: Any) -> None:
    (tmp_path / "a.tif").write_bytes(picture())
    code = FORKING.replace("os.kill(os.getpid(), int(sys.argv[2]))", "")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, tmp_path / "a.tif"], capture_output=True, text=True, cwd=ROOT,
        timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert not psutil.pid_exists(int(done.stdout))


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(300, 301), (31, 7)], ids=["by shared memory", "by the pipe"])
def test_pixels_are_the_same_whichever_way_they_come(mode: str, size: tuple[int, int]) -> None:
    drawn = Image.effect_noise(size, 90).convert(mode)
    out = io.BytesIO()
    drawn.save(out, "PNG")
    came = decoded(out.getvalue()).picture
    assert came is not None
    assert _decoder.pixels(came) == drawn.tobytes()
    assert _decoder.image(came).tobytes() == drawn.tobytes()
    assert (len(came.data) >= _child.LEAST_SHARED_BYTES) == (size == (300, 301))


def test_a_large_page_does_not_stay_in_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_child, "MOST_KEPT_BYTES", 100_000)
    decoded(picture(size=(400, 300)))
    room = _decoder._child._room
    assert room is not None
    assert os.fstat(room).st_size == 0
    assert decoded(picture(size=(300, 300))).width == 300
