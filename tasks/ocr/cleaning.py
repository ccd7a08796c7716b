"""Make a page as Tesseract likes it: white paper, black ink, letters large enough.

What it costs is won back by reading grey instead of colour. The numbers here were chosen on one half of a set of
receipts and confirmed on the other half and on book pages (tests/benchmarks/LOG.md).
Only whole numbers are reckoned with, so all machines read the same pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

DPI = 300
"""Tell the engine this of a cleaned page: its letters are as large as those of a page scanned at some 300, and what
files claim is often false. By it the engine judges what a gap between columns is."""
REDUCTION = 4
"""Shades are measured on a picture 4 times smaller: in the brightest of 3 x 3 of its pixels strokes vanish, and
shades do not."""
DARK_PAGE = 96
"""A page is turned into its negative if half of it is darker than this: light letters on a dark ground."""
FAINTEST_INK = 25
"""Contrast with the paper, 0 to 255, from which on a pixel counts as ink."""
INKED = 17
"""A row of a strip has ink if its mean contrast is more than this."""
STRIPS = 16
"""Columns in which lines are looked for: narrow, so that skewed lines do not run into each other."""
LEAST_LINE, MOST_LINE = 6, 64
"""Pixels; lower rows of ink are specks and rules, higher ones are pictures."""
WANTED_LINE = 22
"""Height of letters, without what few of them have above and below, to which lower ones are enlarged."""
LEAST_ENLARGEMENT, MOST_ENLARGEMENT = 1.2, 2.0
MOST_PIXELS = 16_000_000
"""Pixels of an enlarged page at most: a limit on time and memory."""
MOST_SIDE = 16_000
"""Likewise; Tesseract takes twice that."""


def clean(page: Image.Image) -> Image.Image:
    """A page in mode L whose paper is white, whose ink is black, and whose letters are not too small.

    Args:
        page: In mode L or RGB, upright. Large dark areas stay dark, so that light letters on them can be read.
    """
    return enlarge(_black_on_white(page.convert("L")))


def _black_on_white(grey: Image.Image) -> Image.Image:
    from PIL import Image, ImageChops, ImageFilter, ImageOps

    counts = grey.histogram()
    if middle(counts) < DARK_PAGE:
        grey = ImageOps.invert(grey)
    if sum(map(bool, counts)) <= 2:  # somebody has seen to that
        return grey
    light = grey.reduce(REDUCTION).filter(ImageFilter.MaxFilter(3))
    least = middle(light.histogram()) // 2  # what is darker is not paper in the shade
    lit = light.point([255 * (value > least) for value in range(256)]).resize(grey.size, Image.Resampling.NEAREST)
    paper = light.point([max(value, least) for value in range(256)]).filter(ImageFilter.BoxBlur(3))
    contrast = ImageChops.subtract(paper.resize(grey.size, Image.Resampling.BILINEAR), grey)
    # Half of the ink becomes black, however faint it was. Black edges around a scan have no say in it: without
    # this, they are all that Tesseract's threshold leaves of a faded receipt.
    counts = contrast.histogram(lit)
    counts[:FAINTEST_INK] = [0] * FAINTEST_INK
    black = middle(counts) or 255
    return contrast.point([255 - min(255, (255 * value + black // 2) // black) for value in range(256)])


def enlarge(page: Image.Image) -> Image.Image:
    """The page with its letters at the height that is wanted, or as it is where that changes little."""
    from PIL import Image

    height = line_height(page)
    times = min(WANTED_LINE / height, MOST_ENLARGEMENT) if height else 1.0
    times = min(times, (MOST_PIXELS / (page.width * page.height)) ** 0.5, MOST_SIDE / max(page.size))
    if times < LEAST_ENLARGEMENT:
        return page
    size = max(1, round(page.width * times)), max(1, round(page.height * times))
    return page.resize(size, Image.Resampling.BICUBIC)


def line_height(page: Image.Image) -> int:
    """How high the letters of a cleaned page are, in pixels; 0 if there are none.

    Half of all inked rows lie in lines of at most this height.
    """
    from PIL import Image

    rows = page.resize((STRIPS, page.height), Image.Resampling.BOX).point(
        [int(value < 255 - INKED) for value in range(256)]
    )
    lines = rows.transpose(Image.Transpose.TRANSPOSE).tobytes()
    counts = [0] * (MOST_LINE + 1)
    for at in range(0, len(lines), page.height):
        for run in lines[at : at + page.height].split(b"\0"):
            if LEAST_LINE <= len(run) <= MOST_LINE:
                counts[len(run)] += len(run)
    return middle(counts)


def middle(counts: list[int]) -> int:
    """The median of numbers that are given by how often each comes; 0 of none."""
    before, half = 0, sum(counts) / 2
    for value, count in enumerate(counts):
        before += count
        if count and before >= half:
            return value
    return 0
