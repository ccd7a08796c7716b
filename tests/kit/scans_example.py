"""Make a folder of scans searchable on two workers, one of which is killed in the middle: ``make scans-example``.

Nothing here is played: a Redis on a free port of this machine, two workers, `kill -9`, and the commands that a person
would type. The folder has a PDF of which half the pages have text already, a HEIC of a phone, a TIFF of many pages and
a zip. It leaves the scans and the PDFs with their text in a folder.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pikepdf
import pillow_heif
import pypdfium2
from PIL import Image, ImageDraw, ImageFont

from cluster import client
from tests.kit.programs import RedisServer, Worker, start_cluster
from tests.kit.train_example import PLAIN, WORKER, say

FRAMES, HALF = 50, 10
SIZE, FONT_PX = (1240, 600), 40
DPI = 150
TIMEOUT_S = 900.0
LOOK_S = 0.05
SUBMIT = ("submit", "--job", "ocr", "--format", "pdf", "--only-new")


def main(folder: Path, frames: int = FRAMES, half: int = HALF) -> dict[str, list[str]]:
    """Draw scans, submit them, kill a worker, look for the words; gives document -> what each page must say."""
    scans, output = folder / "scans", folder / "searchable"
    for place in (scans, output):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
    wanted = draw(scans, frames, half)
    total = sum(map(len, wanted.values()))
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        with (
            RedisServer(place / "redis") as redis,
            Worker("first", redis.url, place / "first", "-Q", "ocr.2", **WORKER),
            Worker("second", redis.url, place / "second", "-Q", "ocr.2", **WORKER) as second,
        ):
            first_s = submit(redis.url, scans, output, lambda: kill_at(redis.url, total // 2, second))
            for document, pages in wanted.items():
                check(output / document, pages)
            say(f"all {total} pages of {len(wanted)} documents say what is drawn on them")
            begun = runs(redis.url)
            again_s = submit(redis.url, scans, output, lambda: None)
            if runs(redis.url) != begun:
                sys.exit("scans-example: the same command again began a run")
            say(f"the same command again read nothing: {again_s:.1f} s instead of {first_s:.1f} s")
    say(f"the scans and the PDFs are in {folder}")
    return wanted


def submit(url: str, scans: Path, output: Path, meanwhile: Callable[[], None]) -> float:
    """Type the command and do something meanwhile; gives the seconds."""
    began = time.monotonic()
    command = [*SUBMIT, str(scans), "-o", f"{output}/"]
    say(f"$ cluster {' '.join(command)}")
    with start_cluster(*command, settings={**PLAIN, "CLUSTER_BROKER_URL": url}) as program:
        meanwhile()
        printed, told = program.communicate(timeout=TIMEOUT_S)
    say(f"{printed}{told}".rstrip("\n"))
    if program.returncode:
        sys.exit(program.returncode)
    return time.monotonic() - began


def kill_at(url: str, items: int, worker: Worker) -> None:
    """Kill a worker once so many pages are done."""
    with client.connect(url) as c:
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            found = c.runs(1)
            if found and found[0].items_settled >= items:
                break
            time.sleep(LOOK_S)
        worker.kill()
        say(f"kill -9 of the second worker, {found[0].items_settled} pages are done")


def runs(url: str) -> list[str]:
    """The ids of all runs."""
    with client.connect(url) as c:
        return [run.run for run in c.runs()]


def check(file: Path, pages: list[str]) -> None:
    """See that each page of a PDF says what it must."""
    with pypdfium2.PdfDocument(file) as document:
        if len(document) != len(pages):
            sys.exit(f"scans-example: {file} has {len(document)} pages of {len(pages)}")
        for number, (page, text) in enumerate(zip(document, pages, strict=True), 1):
            said = page.get_textpage().get_text_bounded().split()
            if said != text.split():
                sys.exit(f"scans-example: page {number} of {file} says {' '.join(said)!r}, and not {text!r}")


def draw(folder: Path, frames: int, half: int) -> dict[str, list[str]]:
    """Draw all scans; gives the names of their PDFs, with what each page says."""
    wanted = {"mixed.pdf": list(texts("Report", 2 * half)), "fax.tiff.pdf": list(texts("Fax", frames))}
    (folder / "mixed.pdf").write_bytes(mixed(wanted["mixed.pdf"]))
    first, *others = (picture(text).convert("1") for text in wanted["fax.tiff.pdf"])
    first.save(folder / "fax.tiff", save_all=True, append_images=others, compression="group4", dpi=(DPI, DPI))
    wanted["phone.heic.pdf"] = list(texts("Receipt", 1))
    pillow_heif.from_pillow(picture(wanted["phone.heic.pdf"][0]).convert("RGB")).save(folder / "phone.heic", quality=80)
    with zipfile.ZipFile(folder / "letters.zip", "w") as archive:
        for name, text in zip(("one.jpg", "old/two.jpg"), texts("Letter", 2), strict=True):
            archive.writestr(name, encoded(picture(text), "JPEG"))
            wanted[f"letters.zip/{name}.pdf"] = [text]
    return wanted


def texts(kind: str, number: int) -> Iterator[str]:
    """What the pages of a document say."""
    for at in range(number):
        yield f"{kind} number {2041 + at}\nfor the office in the old town"


def picture(text: str) -> Image.Image:
    """A page with a text."""
    page = Image.new("L", SIZE, 255)
    ImageDraw.Draw(page).multiline_text((120, 150), text, 0, ImageFont.load_default(FONT_PX), spacing=30)
    return page


def encoded(page: Image.Image, kind: str) -> bytes:
    """A page as a file."""
    out = io.BytesIO()
    page.save(out, kind, dpi=(DPI, DPI))
    return out.getvalue()


def mixed(pages: list[str]) -> bytes:
    """A PDF whose pages are text and pictures by turns."""
    document, out = pikepdf.new(), io.BytesIO()
    for number, text in enumerate(pages):
        page = document.add_blank_page(page_size=(SIZE[0] * 72 / DPI, SIZE[1] * 72 / DPI))
        if number % 2:
            scan = document.make_stream(
                encoded(picture(text), "JPEG"), Type=pikepdf.Name.XObject, Subtype=pikepdf.Name.Image, Width=SIZE[0],
                Height=SIZE[1], ColorSpace=pikepdf.Name.DeviceGray, BitsPerComponent=8, Filter=pikepdf.Name.DCTDecode,
            )  # fmt: skip
            page.add_resource(scan, pikepdf.Name.XObject, pikepdf.Name.Scan)
            content = f"q {SIZE[0] * 72 / DPI} 0 0 {SIZE[1] * 72 / DPI} 0 0 cm /Scan Do Q"
        else:
            font = pikepdf.Dictionary(
                Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica
            )
            page.add_resource(font, pikepdf.Name.Font, pikepdf.Name.Text)
            first, second = text.split("\n")
            content = f"BT /Text 18 Tf 24 TL 60 200 Td ({first}) Tj T* ({second}) Tj ET"
        page.Contents = document.make_stream(content.encode())
    document.save(out)
    return out.getvalue()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make a folder of scans searchable on two workers.")
    parser.add_argument("folder", type=Path, help="for the scans and the PDFs")
    main(parser.parse_args().folder)
