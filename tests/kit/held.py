"""Chunks that a test holds: each waits on its node, once begun, until it is released."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from cluster import catalog

MANY = 1000
"""More than ever begin: so many wait for each other."""


class Held:
    """Files for the job ``measure`` or ``once``, to be submitted with ``options``. Use it in a ``with``.

    Of ``slots`` that there are, each begins one; they and all others end soon after ``release``.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self.source, self.trace = folder / "held", folder / "held.trace"
        self.options = ("--trace", str(self.trace))
        self.source.mkdir()
        self.trace.touch()
        for at in range(number):
            (self.source / f"{at:03}.txt").write_text(f"meet {MANY} {'x' * at}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def begun(self) -> list[str]:
        """The names of those that were begun, one that was begun twice twice."""
        return [line.split()[0] for line in self.trace.read_text().splitlines() if line]

    def answer(self) -> dict[str, str]:
        """What ``run_locally`` gives for them, once they are released."""
        answer: dict[str, str] = catalog.get("measure").run_locally(self.source, trace=str(self.trace))
        return answer

    def release(self) -> None:
        """Let them end."""
        with self.trace.open("a") as stream:
            stream.write("\n" * MANY)
