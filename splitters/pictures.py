"""Cut folders of pictures into chunks of a few pictures each."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TypeVar

from splitters import Chunk, Item, NothingToSplit, PassedOver, files, tell_passed_over
from splitters.items import Chosen, Items
from splitters.suffixes import HEIF, PICTURES

KINDS = "JPEG, PNG, TIFF, WebP, BMP, Netpbm"
"""``PICTURES`` in words, for messages."""
MAX_CHUNK_BYTES = 16 * 2**20
LOOKAHEAD = 64
LOOKAHEAD_ITEMS = 16
"""Items that are read ahead where they are given by their bytes, which memory holds meanwhile."""
HEADS = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|II[*+]\0|MM\0[*+]|RIFF.{4}WEBP"
    rb"|BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0"  # then the size of its header
    rb"|P[1-6]\s+(#[^\n]*\n\s*)*\d+\s+\d+\s|P[1-6]\s+#|P[Ff]\s+\d+\s+\d+\s",
    re.DOTALL,
)
"""How files of the kinds that are read begin."""
HEIF_HEAD = re.compile(rb".{4}ftyp(hei[cxms]|hev[cx]|mif1|msf1|avi[fs])", re.DOTALL)
Found = TypeVar("Found")


def split(
    source: Sequence[Path] | Items, *, chunk_size: int = 4, passed_over: PassedOver | None = None
) -> Iterator[Chunk]:
    """Yield chunks of up to ``chunk_size`` pictures, smaller towards the end of the input.

    A chunk is closed early at ``MAX_CHUNK_BYTES``. The last ``LOOKAHEAD`` pictures are dealt out
    in ever smaller chunks, down to one, so that no node is left alone with a long last chunk.
    Holds the paths of ``LOOKAHEAD`` pictures and the bytes of one chunk.

    Raises:
        NothingToSplit: No picture under ``source``.
    """
    passed_over = passed_over or PassedOver()
    return deal(walk(source, passed_over), files.read, source, chunk_size, passed_over)


def walk(source: Sequence[Path] | Items, passed_over: PassedOver | None = None) -> Iterator[files.Found]:
    """Every picture under ``source``: those named like one, and those without a suffix that begin like one."""
    suffixes = PICTURES | HEIF if find_spec("pi_heif") else PICTURES
    return files.walk(source, suffixes, is_kind, passed_over)


def is_kind(head: bytes) -> bool:
    """Whether a file that begins so is a picture."""
    return HEADS.match(head) is not None or (HEIF_HEAD.match(head) is not None and find_spec("pi_heif") is not None)


def deal(
    walking: Iterator[Found], read: Callable[[Found], Item], source: Sequence[Path] | Items, size: int,
    passed_over: PassedOver, what: str = "pictures", kinds: str = KINDS,
) -> Iterator[Chunk]:  # fmt: skip
    """Cut what ``walking`` finds in ``source`` as ``split`` does; ``read`` makes an item of it.

    Raises:
        NothingToSplit: Nothing is found; the message says that ``what`` was looked for, as files of these ``kinds``.
    """
    if size < 1:
        raise ValueError(f"chunk_size is {size}; it must be 1 or more {what}")
    in_memory = isinstance(source, Items) and not isinstance(source, Chosen)
    lookahead = LOOKAHEAD_ITEMS if in_memory else LOOKAHEAD
    ahead: deque[Found] = deque(islice(walking, lookahead))
    if not ahead:
        others = f"; {told}" if (told := tell_passed_over(passed_over.shown())) else ""
        raise NothingToSplit(
            f"no {what} in {files.places(source)} (looked for {kinds}, and into files without a suffix){others}"
        )
    while ahead:
        wanted = size if len(ahead) == lookahead else min(size, 1 + len(ahead) // 16)
        chunk: Chunk = []
        held_bytes = 0
        while ahead and len(chunk) < wanted and held_bytes < MAX_CHUNK_BYTES:
            chunk.append(read(ahead.popleft()))
            held_bytes += len(chunk[-1].data)
            ahead.extend(islice(walking, 1))
        yield chunk


def count(source: Sequence[Path] | Items) -> int:
    """How many pictures ``split`` will meet, without reading one."""
    return sum(1 for _ in walk(source))
