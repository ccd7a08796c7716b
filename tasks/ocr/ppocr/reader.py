"""Read a page with PP-OCR: find the text, cut it out, read each piece, and put the pieces in order."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from tasks.ocr.ppocr import boxes, letters, order

if TYPE_CHECKING:
    from PIL import Image

    Floats = np.ndarray[Any, np.dtype[np.float32]]
    Pixels = np.ndarray[Any, np.dtype[np.uint8]]

LEAST_SEEN, MOST_SEEN = 736, 2000
"""Pixels of the shorter and of the longer side of a page as the detector sees it: enlarged, or reduced, to these."""
STEP = 32
"""The detector takes sides that are multiples of this."""
HEIGHT = 48
"""Pixels of a line as the recogniser takes it."""
MOST_WIDTH, WIDTH_STEP = 3200, 8
"""Its widths: multiples of 8; longer pieces are squeezed."""
SURE = 0.5
"""Pieces whose letters have less than this in the mean are none of text."""
DESCENDERS = 0.2
"""The part of a box's height that is below the baseline."""


class Piece(NamedTuple):
    """A piece of a line that was read."""

    box: Floats
    """Corners, see ``boxes.of``."""
    words: list[letters.Word]
    columns: int
    """The width of the piece in columns of its words."""


class Page(NamedTuple):
    """A page that was read."""

    text: str
    confidence: int
    """The mean of its words, 0 to 100; 0 without any."""
    lines: list[list[Any]]
    """As ``aggregators.readings`` defines them."""


class Reader:
    """PP-OCR with the weights of one folder."""

    def __init__(self, detector: Path, recogniser: Path, characters: Sequence[str]) -> None:
        cv2.setNumThreads(1)
        self._detector, self._recogniser = _session(detector), _session(recogniser)
        self._characters = [*characters, " "]

    def read(self, page: Image.Image) -> Page:
        """Read all text on a page.

        Args:
            page: In mode L or RGB, upright.
        """
        pixels = np.asarray(page if page.mode in ("L", "RGB") else page.convert("RGB"))
        found = boxes.of(self._seen(pixels), page.width, page.height)
        return laid_out(self._pieces(pixels, found), page.width, page.height)

    def try_out(self) -> None:
        """Run both networks on made-up pixels.

        Raises:
            Exception: Whatever onnxruntime raises; or ``ValueError``, where they do not give what they should.
        """
        seen = self._seen(np.full((LEAST_SEEN // 2, LEAST_SEEN // 2, 3), 255, np.uint8))
        if seen.ndim != 2:
            raise ValueError(f"the detector's map has {seen.ndim} dimensions")
        self._letters(np.full((HEIGHT, HEIGHT, 3), 255, np.uint8))

    def _seen(self, page: Pixels) -> Floats:
        """The detector's map of a page."""
        height, width = page.shape[:2]
        scale = max(1.0, LEAST_SEEN / min(height, width))
        scale = min(scale, MOST_SEEN / max(height, width))
        size = [max(STEP, round(side * scale / STEP) * STEP) for side in (width, height)]
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        given = _given(cv2.resize(page, size, interpolation=way))
        [answer] = self._detector.run(None, {self._detector.get_inputs()[0].name: given[np.newaxis]})
        return np.asarray(answer[0, 0], np.float32)

    def _pieces(self, page: Pixels, found: Floats) -> list[Piece]:
        """Read the text in each box; those without are left out."""
        read = []
        for box in found:
            seen, columns = self._letters(_fitted(boxes.piece(page, box)))
            if seen and statistics.fmean(letter.confidence for letter in seen) >= SURE:
                read.append(Piece(box, letters.words(seen, columns), columns))
        return [piece for piece in read if piece.words]

    def _letters(self, line: Pixels) -> tuple[list[letters.Letter], int]:
        """The letters of a line, and how many columns it has.

        Lines go one by one: in a batch all would be as wide as the widest, and take no less time for each pixel.

        Raises:
            ValueError: The recogniser does not give a score of each class for each column.
        """
        [answer] = self._recogniser.run(None, {self._recogniser.get_inputs()[0].name: _given(line)[np.newaxis]})
        if answer.ndim != 3 or answer.shape[2] != len(self._characters) + 1:
            raise ValueError(f"the recogniser gives {answer.shape} for {len(self._characters)} characters")
        return letters.read(answer[0], self._characters), answer.shape[1]


def laid_out(pieces: Sequence[Piece], width: int, height: int) -> Page:
    """Put pieces in the order of reading, and their words where they are on a page of that size."""
    extents = [order.Extent(*piece.box.min(0).tolist(), *piece.box.max(0).tolist()) for piece in pieces]
    lines, text, sure = [], [], []
    for number, block in enumerate(order.blocks(extents), 1):
        paragraphs = order.paragraphs(extents, block)
        for line, paragraph in zip(block, paragraphs, strict=True):
            of = [pieces[one] for one in line]
            words = [_placed(word, piece, width, height) for piece in of for word in piece.words]
            lines.append([number, paragraph + 1, *_baseline(of, words), words])
            text.append(" ".join(word[0] for word in words))
            sure += [word[5] for word in words]
    return Page("".join(f"{line}\n" for line in text), sum(sure) // len(sure) if sure else 0, lines)


def _placed(word: letters.Word, piece: Piece, width: int, height: int) -> list[Any]:
    """A word with its box in pixels of the page."""
    top_left, top_right, bottom_right, bottom_left = piece.box
    begin, end = word.begin / piece.columns, word.end / piece.columns
    if boxes.is_tall(piece.box):
        sides = [top_left, bottom_left, top_right, bottom_right]
    else:
        sides = [top_left, top_right, bottom_left, bottom_right]
    corners = np.array(
        [side + share * (other - side) for side, other in (sides[:2], sides[2:]) for share in (begin, end)]
    )
    most = np.array((width, height))
    x0, y0 = np.clip(np.floor(corners.min(0)), 0, most - 1).astype(int).tolist()
    x1, y1 = np.clip(np.ceil(corners.max(0)), 1, most).astype(int).tolist()
    return [word.text, x0, y0, x1, y1, word.confidence]


def _baseline(of: Sequence[Piece], words: Sequence[list[Any]]) -> tuple[float, float]:
    """Slope and offset of a line, as ``aggregators.readings`` defines them."""
    left, right = of[0].box[3], of[-1].box[2]  # the lower corners of the line
    slope = float((right[1] - left[1]) / max(1.0, right[0] - left[0]))
    high = float(np.mean([piece.box[3, 1] - piece.box[0, 1] for piece in of]))
    begin, bottom = min(word[1] for word in words), max(word[4] for word in words)
    y = float(left[1]) + slope * (begin - float(left[0])) - DESCENDERS * high
    return round(max(-1.0, min(1.0, slope)), 4), round(y - bottom, 2)


def _fitted(piece: Pixels) -> Pixels:
    """A piece with the height that the recogniser takes."""
    height, width = piece.shape[:2]
    wanted = min(MOST_WIDTH, max(WIDTH_STEP, round(width * HEIGHT / height / WIDTH_STEP) * WIDTH_STEP))
    way = cv2.INTER_AREA if height > 1.5 * HEIGHT else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(piece), (wanted, HEIGHT), interpolation=way)  # type: ignore[return-value]


def _given(pixels: Any) -> Floats:
    """Grey or RGB pixels as the networks take them: blue, green, red, -1 to 1, of shape (3, rows, columns)."""
    colours = np.stack([pixels] * 3) if pixels.ndim == 2 else pixels[:, :, ::-1].transpose(2, 0, 1)
    return np.ascontiguousarray(colours, np.float32) / 127.5 - 1


def _session(file: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # pages have many sizes: it would keep for all
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])
