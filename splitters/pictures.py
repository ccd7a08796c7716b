"""Cut folders of pictures into chunks of a few pictures each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from splitters import Chunk, NothingToSplit, files

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp", ".webp"})
MAX_CHUNK_BYTES = 16 * 2**20
LOOKAHEAD = 64


def split(source: Sequence[Path], *, chunk_size: int = 4) -> Iterator[Chunk]:
    """Yield chunks of up to ``chunk_size`` pictures, smaller towards the end of the input.

    A chunk is closed early at ``MAX_CHUNK_BYTES``. The last ``LOOKAHEAD`` pictures are dealt out
    in ever smaller chunks, down to one, so that no node is left alone with a long last chunk.
    Holds the paths of ``LOOKAHEAD`` pictures and the bytes of one chunk.

    Raises:
        NothingToSplit: No picture under ``source``.
    """
    if chunk_size < 1:
        raise ValueError(f"chunk_size is {chunk_size}; it must be 1 or more pictures")
    walking = files.walk(source, SUFFIXES)
    ahead: deque[files.Found] = deque(islice(walking, LOOKAHEAD))
    if not ahead:
        known = ", ".join(sorted(SUFFIXES))
        raise NothingToSplit(f"no pictures in {', '.join(map(str, source))} (looked for {known})")
    while ahead:
        size = chunk_size if len(ahead) == LOOKAHEAD else min(chunk_size, 1 + len(ahead) // 16)
        chunk: Chunk = []
        held_bytes = 0
        while ahead and len(chunk) < size and held_bytes < MAX_CHUNK_BYTES:
            chunk.append(files.read(ahead.popleft()))
            held_bytes += len(chunk[-1].data)
            ahead.extend(islice(walking, 1))
        yield chunk


def count(source: Sequence[Path]) -> int:
    """How many pictures ``split`` will meet, without reading one."""
    return sum(1 for _ in files.walk(source, SUFFIXES))
