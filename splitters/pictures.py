"""Cut folders of pictures into chunks of a few pictures each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

from splitters import Chunk, Item, NothingToSplit, files

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp", ".webp", ".pbm", ".pgm", ".ppm", ".pnm"}
)
MAX_CHUNK_BYTES = 16 * 2**20
LOOKAHEAD = 64
Found = TypeVar("Found")


def split(source: Sequence[Path], *, chunk_size: int = 4) -> Iterator[Chunk]:
    """Yield chunks of up to ``chunk_size`` pictures, smaller towards the end of the input.

    A chunk is closed early at ``MAX_CHUNK_BYTES``. The last ``LOOKAHEAD`` pictures are dealt out
    in ever smaller chunks, down to one, so that no node is left alone with a long last chunk.
    Holds the paths of ``LOOKAHEAD`` pictures and the bytes of one chunk.

    Raises:
        NothingToSplit: No picture under ``source``.
    """
    return deal(files.walk(source, SUFFIXES), files.read, source, chunk_size)


def deal(walking: Iterator[Found], read: Callable[[Found], Item], source: Sequence[Path], size: int) -> Iterator[Chunk]:
    """Cut what ``walking`` finds in ``source`` as ``split`` does; ``read`` makes an item of it."""
    if size < 1:
        raise ValueError(f"chunk_size is {size}; it must be 1 or more pictures")
    ahead: deque[Found] = deque(islice(walking, LOOKAHEAD))
    if not ahead:
        known = ", ".join(sorted(SUFFIXES))
        raise NothingToSplit(f"no pictures in {', '.join(map(str, source))} (looked for {known})")
    while ahead:
        wanted = size if len(ahead) == LOOKAHEAD else min(size, 1 + len(ahead) // 16)
        chunk: Chunk = []
        held_bytes = 0
        while ahead and len(chunk) < wanted and held_bytes < MAX_CHUNK_BYTES:
            chunk.append(read(ahead.popleft()))
            held_bytes += len(chunk[-1].data)
            ahead.extend(islice(walking, 1))
        yield chunk


def count(source: Sequence[Path]) -> int:
    """How many pictures ``split`` will meet, without reading one."""
    return sum(1 for _ in files.walk(source, SUFFIXES))
