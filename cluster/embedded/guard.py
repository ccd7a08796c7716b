"""Start programs and end them with the process that started this one: ``python guard.py FOLDER``.

Each line on stdin is a JSON object. {"name", "command", "env", "grace_s"} starts a program in the working directory
of the parent process, so that relative paths in its settings mean the same; its output goes to FOLDER/<name>.log.
{"end": NAME} ends one. When stdin ends, because the parent closed it or died, the guard ends all programs, the last
one first, with SIGTERM and after the grace with SIGKILL, and removes FOLDER. When a program ends by itself, the guard
prints {"name", "exit_code"}.

Uses the standard library alone, and imports nothing of ours, so as to start in a few milliseconds.
"""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

PR_SET_PDEATHSIG = 1


class Program(NamedTuple):
    """A program we started; it leads a process group of its own."""

    name: str
    process: "subprocess.Popen[bytes]"
    grace_s: float


def main() -> None:
    """Start what stdin says, until it ends."""
    folder = Path(sys.argv[1])
    # Ctrl-C and hang-ups are for the parent process; it closes stdin to end this one.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    programs: list[Program] = []
    try:
        for line in sys.stdin:
            order = json.loads(line)
            if "end" in order:
                for program in [program for program in programs if program.name == order["end"]]:
                    programs.remove(program)
                    end(program)
                continue
            try:
                programs.append(start(folder, order))
            except OSError as error:
                (folder / f"{order['name']}.log").write_text(str(error), encoding="utf-8")
                tell(order["name"], 127)
            else:
                threading.Thread(target=watch, args=(programs[-1],), daemon=True).start()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for program in reversed(programs):
            end(program)
        shutil.rmtree(folder, ignore_errors=True)


def start(folder: Path, order: dict[str, Any]) -> Program:
    """Start one program in a session of its own."""
    with (folder / f"{order['name']}.log").open("ab") as log:
        process = subprocess.Popen(
            order["command"],
            env={**os.environ, **order.get("env", {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
        )
    return Program(order["name"], process, order.get("grace_s", 5.0))


def die_with_parent() -> None:
    """In the child: the kernel kills it if even this guard is killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def watch(program: Program) -> None:
    """Tell when the program ends."""
    tell(program.name, program.process.wait())


def tell(name: str, code: int) -> None:
    """Print on stdout that a program ended; the parent, which reads this, may be gone."""
    with contextlib.suppress(OSError, ValueError):
        print(json.dumps({"name": name, "exit_code": code}), flush=True)


def end(program: Program) -> None:
    """End the program and all of its group."""
    signal_group(program, signal.SIGTERM)
    deadline = time.monotonic() + program.grace_s
    while program.process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    signal_group(program, signal.SIGKILL)
    program.process.wait()


def signal_group(program: Program, number: int) -> None:
    """Send a signal to the program's process group, if there is one left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program.process.pid, number)


if __name__ == "__main__":
    main()
