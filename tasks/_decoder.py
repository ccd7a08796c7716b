"""Decode the files of strangers in a child process, which has limits and may crash: PDFs, and pictures of all kinds.

The child is a program of its own, ``tasks._decoder_child``. It is started at the first file, serves this process
until it ends, and is started again after a crash. What ends it, or takes too much memory or time, is a problem of
that page alone: ``UnreadablePicture``. Ctrl-C is for this process; the child ends with it, however it ends.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from splitters import child_environment
from tasks import _decoder_child
from tasks.pictures import UnreadablePicture

if TYPE_CHECKING:
    from PIL import Image

PROGRAM = "tasks._decoder_child"
CPU_S = 120
"""Seconds of CPU that opening a file, or a page of it, may take."""
TIME_S = 240.0
"""Seconds that it may take in all: a busy machine gives the child a share only. Less than a chunk may take."""
BASE_BYTES = 2**30
"""Memory that the child may take apart from pixels: the libraries' and the file's."""
PIXEL_BYTES = 24
"""Memory for each pixel of the largest picture that is taken: see the option ``max_megapixels``."""
MOST_CRASHES = 3
"""Pages of one file that end the child; the others are then not tried."""
END_S = 5.0
"""Seconds that a child whose answer ends may take to end itself."""
BUFFER_BYTES = 2**16
PIPE_BYTES = 2**20
"""What the child may write before this process reads on: a page of 9 MB then takes few turns between the two."""
FROM_OUTSIDE = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")
"""What ends a child for no fault of a page."""
PIXELS = "cluster_pixels"
"""The attribute of a picture that holds its pixels as they came."""
NEEDED = {"PIL": "Pillow", "pypdfium2": "pypdfium2", "pi_heif": "pi-heif"}
"""Module -> the package that brings it."""


class Interrupted(RuntimeError):
    """Another program, or the kernel for want of memory, has ended the child: the chunk is to be tried again."""


class Seen(NamedTuple):
    """A page as it is to be read."""

    width: int
    """Pixels of the page, upright, with square pixels."""
    height: int
    claimed: list[float] | None
    """Dots per inch across and down, as its file says; None where it says nothing of use."""
    picture: Image.Image | None
    """In mode L or RGB; None where there is nothing to be read."""
    text: str = ""
    """The text of its own that stays."""
    words: Sequence[Sequence[Sequence[Any]]] = ()
    """Its lines of words ``[text, x0, y0, x1, y1]``."""
    is_pdf: bool = False


def why_unavailable() -> str:
    """Why this machine cannot decode all kinds of files, or ""."""
    missing = [name for module, name in NEEDED.items() if not find_spec(module)]
    return f"{missing[0]} is not installed" if missing else ""


def pixels(picture: Image.Image) -> bytes:
    """The pixels of a picture, row by row; of one that came from the child as they came."""
    came: bytes | None = getattr(picture, PIXELS, None)  # what is made of it does not have them
    return picture.tobytes() if came is None else came


def start() -> None:
    """Start the child if there is none, so that it gets ready while this process does something else."""
    with _shared() as child:
        child.start()


def megapixels(data: bytes) -> list[float]:
    """The sizes of a file's pages in million pixels, before they are decoded; a page of a PDF has several it may get.

    What cannot be opened has none: the task says what is wrong with it.
    """
    limits = {"cpu_s": CPU_S, "memory_bytes": BASE_BYTES + len(data)}
    with _shared() as child, contextlib.suppress(_Ended):
        answer, _ = child.ask({"do": "sizes", "limits": limits}, data, 0)
        return [float(size) for size in answer.get("sizes", ())]
    return []


class Document:
    """A file whose pages are decoded.

    Args:
        data: A PDF, or a picture of any of ``pictures.FORMATS``.
        options: As ``_pdf_pages.look`` takes them.

    Raises:
        UnreadablePicture: It cannot be opened.
    """

    def __init__(self, data: bytes, **options: Any) -> None:
        self._data = data
        self._options = options
        self._limits = {
            "cpu_s": CPU_S,
            "memory_bytes": BASE_BYTES + len(data) + PIXEL_BYTES * 1_000_000 * options["max_megapixels"],
        }
        self._crashes = 0
        self._turn = -1  # of the child, when it opened this file
        self.pages = 0
        """How many it has, one at least."""
        if not data:
            raise UnreadablePicture("the file is empty")
        with _shared() as child:
            self._open(child)

    def page(self, number: int) -> Seen:
        """Decode a page, counted from 1.

        Raises:
            UnreadablePicture: It cannot be decoded.
            Interrupted: The child was ended from outside.
        """
        if self._crashes >= MOST_CRASHES:
            raise UnreadablePicture(f"not tried: {self._crashes} pages of this file ended the program that decodes")
        with _shared() as child:
            if self._turn != child.turn or not child.is_alive:
                self._open(child)
            try:
                head, body = self._ask(child, {"do": "page", "number": number, "options": self._options})
            except _Ended as error:
                self._crashes += 1
                raise UnreadablePicture(str(error)) from None
        try:
            return _seen(head, body)
        except (ValueError, LookupError, TypeError) as error:  # as no child of ours answers
            raise UnreadablePicture(f"damaged: the program that decodes it answers nonsense ({error})") from None

    def _open(self, child: _Child) -> None:
        try:
            head, _ = self._ask(child, {"do": "open"}, self._data)
        except _Ended as error:
            raise UnreadablePicture(str(error)) from None
        self._turn = child.turn = child.turn + 1
        self.pages = int(head["pages"])

    def _ask(self, child: _Child, head: Mapping[str, Any], body: bytes = b"") -> _decoder_child.Answer:
        answer, pixels = child.ask({**head, "limits": self._limits}, body, self._limits["memory_bytes"])
        if "problem" in answer:
            raise UnreadablePicture(str(answer["problem"]))
        return answer, pixels


def _seen(head: Mapping[str, Any], body: bytes) -> Seen:
    from PIL import Image

    picture = None
    if mode := head["mode"]:
        size = head["width"], head["height"]
        picture = Image.frombuffer(mode, size, body, "raw", mode, 0, 1)  # grey pixels are not copied
        setattr(picture, PIXELS, body)
    return Seen(head["width"], head["height"], head["claimed"], picture, head["text"], head["words"], head["is_pdf"])


class _Ended(Exception):
    """The child has ended in the middle of a request."""


class _Child:
    """The child process; one thread at a time, which holds ``lock``."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: io.BufferedReader | None = None
        self._is_late = False
        self.lock = threading.Lock()
        self.turn = 0
        """Another one for each file that was opened."""

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def ask(self, head: Mapping[str, Any], body: bytes, most_bytes: int) -> _decoder_child.Answer:
        """Send a request and wait for its answer, up to ``TIME_S``.

        Raises:
            _Ended: The child crashed, or took too long.
            Interrupted: It was ended from outside.
        """
        self.start()
        self._is_late = False
        timer = threading.Timer(TIME_S, self._kill_late, [self._process])
        timer.daemon = True
        timer.start()
        try:
            answer = self._exchange(head, body, most_bytes)
        except BaseException:  # a time limit or Ctrl-C: the answer would be taken for that of the next request
            self.end()
            raise
        finally:
            timer.cancel()
        if answer is None:
            raise self._ended()
        return answer

    def _exchange(self, head: Mapping[str, Any], body: bytes, most_bytes: int) -> _decoder_child.Answer | None:
        process, answers = self._process, self._answers
        if process is None or process.stdin is None or answers is None:
            return None
        with contextlib.suppress(BrokenPipeError):  # its end shows below
            _decoder_child.send(process.stdin, head, body)
        try:
            return _decoder_child.receive(answers, most_bytes)
        except (ValueError, LookupError, TypeError):  # it answers what no child of ours does
            return None

    def _ended(self) -> Exception:
        """Why there was no answer."""
        process = self._process
        code = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(END_S) if process else None
        self.end()
        if self._is_late:
            return _Ended(f"takes more than {TIME_S:g} s to decode")
        try:
            name = signal.Signals(-code).name if code is not None else ""
        except ValueError:
            name = ""
        if name in FROM_OUTSIDE:
            return Interrupted(f"the program that decodes pages was ended from outside ({name})")
        if name == "SIGXCPU":
            return _Ended(f"takes more than {CPU_S} s of CPU to decode")
        return _Ended(f"damaged: the program that decodes it ended by {name or f'itself ({code})'}")

    def _kill_late(self, process: subprocess.Popen[bytes]) -> None:
        self._is_late = True
        process.kill()

    def start(self) -> None:
        """Start the child, unless it is there."""
        if self.is_alive:
            return
        self.end()
        own = sys.path if sys.flags.safe_path else sys.path[1:]  # the first is the folder of what was started
        here = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120
        folders = [folder for folder in own if folder]
        path = os.pathsep.join(folders if here in folders else [here, *folders])
        self._process = process = subprocess.Popen(
            [sys.executable, "-m", PROGRAM], bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child_environment.variables(PYTHONPATH=path, PYTHONSAFEPATH="1"),
        )  # fmt: skip
        answers = cast(io.FileIO, process.stdout)  # without a buffer
        self._answers = io.BufferedReader(answers, BUFFER_BYTES)
        if sys.platform == "linux":
            import fcntl

            with contextlib.suppress(OSError):  # a system may allow less
                fcntl.fcntl(answers, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def end(self) -> None:
        """End the child, if there is one, and wait for its end."""
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._let_go()

    def leave(self) -> None:
        """Let go of the child in a process that was forked: it serves the other one."""
        if self._process:
            self._process.returncode = 0  # it is not this process's to wait for
        self._let_go()

    def _let_go(self) -> None:
        process, self._process, answers, self._answers = self._process, None, self._answers, None
        if answers:
            answers.close()
        if process and process.stdin:
            process.stdin.close()


_child = _Child()


@contextlib.contextmanager
def _shared() -> Iterator[_Child]:
    """This process's child, which no other thread uses meanwhile."""
    child = _child
    with child.lock:
        yield child


def _after_fork() -> None:
    global _child  # its lock may be held by a thread that this process does not have
    _child.leave()
    _child = _Child()


def end() -> None:
    """End this process's child. The next file starts another one."""
    _child.end()


atexit.register(end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
