"""A child process that does what may crash or take too much: both its ends.

The process that starts it has a ``Child``. The program, a module with a ``main`` that calls ``serve``, answers requests
on stdin, one after the other, on what was stdout. A request and an answer are a head, JSON in a line, and ``size``
bytes behind it. Ctrl-C and SIGTERM are for the process that started it. It ends with its stdin, and with that process.
"""

from __future__ import annotations

import contextlib
import io
import json
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, Any, cast

from splitters import child_environment

END_S = 5.0
"""Seconds that a child whose answer ends may take to end itself."""
WATCH_S = 1.0
BUFFER_BYTES = 2**16
PIPE_BYTES = 2**20
"""What the child may write before this process reads on: a page of 9 MB then takes few turns between the two."""
MOST_HEAD_BYTES = 64 * 2**20
LEAST_SHARED_BYTES = 2**16
MOST_KEPT_BYTES = 32 * 2**20
"""Of shared memory, from one answer to the next."""
FROM_OUTSIDE = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")
"""What ends a child for no fault of what it does."""
Answer = tuple[dict[str, Any], bytes]


class Interrupted(RuntimeError):
    """Another program, or the kernel for want of memory, has ended the child: what it did is to be tried again."""


class Ended(Exception):
    """The child has ended in the middle of a request; the message says why."""


class Child:
    """The child process; one thread at a time, which holds ``lock``.

    Args:
        program: Gives the module that it runs.
        verb: What it does to things, for the messages: ``decode``.
        damaged: How a message begins that says that it crashed.
        variables: For its environment, besides what ``child_environment`` has.
        shares: Large answers come by memory that both have, on Linux, in place of the pipe.
    """

    def __init__(
        self, program: Callable[[], str], verb: str, damaged: str = "damaged",
        variables: Mapping[str, str] | None = None, *, shares: bool = False,
    ) -> None:  # fmt: skip
        self._program, self._verb, self._damaged = program, verb, damaged
        self._variables = dict(variables or {})
        self._shares = shares and hasattr(os, "memfd_create")
        self._room: int | None = None
        """The shared memory."""
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: io.BufferedReader | None = None
        self._is_late = False
        self.lock = threading.Lock()
        self.turn = 0
        """Another one for each file that was opened."""

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def ask(self, head: Mapping[str, Any], body: bytes, most_bytes: int, *, time_s: float, cpu_s: int) -> Answer:
        """Send a request and wait for its answer.

        Args:
            head: With the ``limits`` that the child sets itself.
            body: Goes behind the head.
            most_bytes: The most that the answer's body may have.
            time_s: After this the child is ended.
            cpu_s: The child's own limit, for the message.

        Raises:
            Ended: The child crashed, or took too long.
            Interrupted: It was ended from outside.
        """
        self.start()
        self._is_late = False
        timer = threading.Timer(time_s, self._kill_late, [self._process])
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
            raise self._ended(time_s, cpu_s)
        return answer

    def _exchange(self, head: Mapping[str, Any], body: bytes, most_bytes: int) -> Answer | None:
        process, answers = self._process, self._answers
        if process is None or process.stdin is None or answers is None:
            return None
        if self._room is not None:
            os.ftruncate(self._room, most_bytes)  # takes no memory before it is written to
        with contextlib.suppress(BrokenPipeError):  # its end shows below
            send(process.stdin, head, body)
        try:
            return receive(answers, most_bytes, self._room)
        except (ValueError, LookupError, TypeError):  # it answers what no child of ours does
            return None

    def _ended(self, time_s: float, cpu_s: int) -> Exception:
        """Why there was no answer."""
        process = self._process
        code = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(END_S) if process else None
        self.end()
        if self._is_late:
            return Ended(f"takes more than {time_s:g} s to {self._verb}")
        try:
            name = signal.Signals(-code).name if code is not None else ""
        except ValueError:
            name = ""
        if name in FROM_OUTSIDE:
            return Interrupted(f"the program that {self._verb}s it was ended from outside ({name})")
        if name == "SIGXCPU":
            return Ended(f"takes more than {cpu_s} s of CPU to {self._verb}")
        return Ended(f"{self._damaged}: the program that {self._verb}s it ended by {name or f'itself ({code})'}")

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
        if self._shares:
            self._room = os.memfd_create("cluster-answers")
        rooms = [] if self._room is None else [self._room]
        self._process = process = subprocess.Popen(
            [sys.executable, "-m", self._program(), *map(str, rooms)], bufsize=0, pass_fds=rooms,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=child_environment.variables(PYTHONPATH=path, PYTHONSAFEPATH="1") | self._variables,
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
        if self._room is not None:
            os.close(self._room)
            self._room = None
        if answers:
            answers.close()
        if process and process.stdin:
            process.stdin.close()


def send(stream: IO[bytes], head: Mapping[str, Any], body: bytes = b"", room: int | None = None) -> None:
    """Write a request or an answer; a large body into the shared memory, where there is such."""
    size, is_shared = len(body), room is not None and len(body) >= LEAST_SHARED_BYTES
    if is_shared and room is not None:
        with mmap.mmap(room, size) as shared:
            shared[:] = body
        body = b""
    for data in (json.dumps({**head, "size": size, "is_shared": is_shared}).encode() + b"\n", body):
        left = memoryview(data)
        while left:  # a signal may cut a write short
            left = left[stream.write(left) :]
    stream.flush()


def receive(stream: IO[bytes], most_bytes: int = 2**40, room: int | None = None) -> Answer | None:
    """Read a request or an answer; None where the other process has ended.

    Raises:
        ValueError: It is no such thing, or its body has more than ``most_bytes``.
    """
    line = stream.readline(MOST_HEAD_BYTES)
    if not line.endswith(b"\n"):
        return None
    head = json.loads(line)
    size, is_shared = head.pop("size"), head.pop("is_shared")
    if not isinstance(size, int) or not 0 <= size <= most_bytes:
        raise ValueError(f"a body of {size} bytes")
    if is_shared and room is not None:
        body = os.pread(room, size, 0)
        if size > MOST_KEPT_BYTES:
            os.ftruncate(room, 0)  # gives the memory back
    else:
        body = stream.read(size)
    return (head, body) if len(body) == size else None


def limit(cpu_s: int, **most: int) -> None:
    """Let this process take so many more seconds of CPU, and no more of ``RLIMIT_<NAME>`` than ``most`` says.

    Nothing where there are no such limits.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    wanted = {"CPU": int(used.ru_utime + used.ru_stime) + 1 + cpu_s, "CORE": 0, **most}
    for name, soft in wanted.items():
        what = getattr(resource, f"RLIMIT_{name}")
        _, hard = resource.getrlimit(what)
        least = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
        with contextlib.suppress(OSError, ValueError):  # some systems have no such limit
            resource.setrlimit(what, (least, hard))


def serve(answer: Callable[[Mapping[str, Any], bytes], Answer], get_ready: Callable[[], None]) -> None:
    """Answer requests until stdin ends: the child's whole life.

    Args:
        answer: Does what a request says.
        get_ready: Called first: loads what most requests need.
    """
    for name in ("SIGINT", "SIGHUP", "SIGTERM"):  # for the process that started this one, which may finish its work
        if number := getattr(signal, name, None):
            signal.signal(number, signal.SIG_IGN)
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)  # what libraries print is no answer
    if hasattr(os, "getppid") and sys.platform != "win32":
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    room = int(sys.argv[1]) if sys.argv[1:] else None
    get_ready()
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        while (request := receive(requests)) is not None:
            send(answers, *answer(*request), room=room)
    os._exit(0)


def _end_with(parent: int) -> None:
    """End as soon as the process that started this one has ended: another one may hold stdin open."""
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)
