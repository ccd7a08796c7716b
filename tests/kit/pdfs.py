"""PDFs made by hand, records of their pages, and what programs find in PDFs that were written."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from aggregators.readings import Reading
from splitters import _pdf_program, pages, pdf_cutter

DPI = 100
Box = tuple[float, float, float, float]


class Boxed(NamedTuple):
    """A word that a program found in a PDF."""

    text: str
    box: Box
    """Left, bottom, right, top, in the page's own units."""


class Packed(NamedTuple):
    """A picture in a PDF."""

    raw: bytes
    how: str
    bits: Any
    picture: Any


class KeptCutter(pdf_cutter.Cutter):
    """Keeps its process from one use to the next: to start it takes as long as most tests."""

    def with_passwords(self, passwords: Sequence[str] = ()) -> Self:
        """In place of a new one."""
        self._passwords = passwords
        return self

    def __exit__(self, *_: object) -> None:
        for document in self._open.values():
            self._tell(_pdf_program.CLOSE, [document.number])
        self._open.clear()

    def end(self) -> None:
        self._end()


def saved(pdf: Any) -> bytes:
    stream = io.BytesIO()
    pdf.save(stream)
    return stream.getvalue()


def page(pdf: Any, content: bytes = b"", media: Sequence[float] = (0, 0, 612, 792), **entries: Any) -> Any:
    """Add a page; gives its dictionary."""
    import pikepdf

    pdf.add_blank_page(page_size=(10, 10))
    added = pdf.pages[-1].obj
    added.MediaBox = pikepdf.Array(list(media))
    added.Contents = pdf.make_stream(content)
    for name, value in entries.items():
        added[f"/{name}"] = pikepdf.Array(value) if isinstance(value, list) else value
    return added


def with_font(pdf: Any, added: Any, text: str, mode: int = 0) -> None:
    """Let a page show a text, or with ``mode`` 3 hold it unseen."""
    import pikepdf

    font = pikepdf.Dictionary(Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica)
    added.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=pdf.make_indirect(font)))
    added.Contents = pdf.make_stream(f"BT {mode} Tr /F1 24 Tf 100 600 Td ({text}) Tj ET".encode())


def scan(*texts: str) -> bytes:
    """A PDF with a grey picture a page."""
    import img2pdf

    found: bytes = img2pdf.convert([picture(text) for text in texts])
    return found


def signed(data: bytes) -> bytes:
    """The PDF with a field that holds a signature."""
    import pikepdf
    from pikepdf import Array, Dictionary, Name

    with pikepdf.open(io.BytesIO(data)) as pdf:
        field = pdf.make_indirect(Dictionary(FT=Name.Sig, T="S", V=pdf.make_indirect(Dictionary(Type=Name.Sig))))
        pdf.Root.AcroForm = pdf.make_indirect(Dictionary(Fields=Array([field])))
        return saved(pdf)


def picture(text: str, form: str = "JPEG", size: tuple[int, int] = (850, 1100), mode: str = "L", **how: Any) -> bytes:
    from PIL import Image, ImageDraw

    drawn = Image.new("L", size, 255)
    ImageDraw.Draw(drawn).text((100, 100), text, font_size=40)
    stream = io.BytesIO()
    drawn.convert(mode).save(stream, form, **how)
    return stream.getvalue()


def record(
    data: bytes, words: Iterable[Sequence[Any]] = (), size: tuple[int, int] = (850, 1100), **entries: Any
) -> Reading:
    """What was read of an item of these bytes: words with their boxes, all on one line."""
    boxes = [[*word, 90] for word in words] or [["Hello", 100, 100, 180, 140, 90], ["world", 200, 102, 300, 140, 90]]
    found: Any = {
        "text": " ".join(word[0] for word in boxes), "confidence": 90, "seconds": 0.1, "node": "",
        "digest": hashlib.sha256(data).hexdigest()[:16], "page": [*size, DPI], "lines": [[1, 1, 0.0, 0.0, boxes]],
    }  # fmt: skip
    found.update(entries)
    read: Reading = found
    return read


def parts_of(source: Path, **entries: Any) -> list[dict[str, Reading | None]]:
    """As if all items of an input had been read."""
    return [
        {item.name: record(item.data, **entries) for item in chunk if not item.problem}
        for chunk in pages.split([source])
    ]


def words(data: bytes, index: int = 0) -> list[Boxed]:
    """The words of a page as PDFium finds them, those of two places apart even where no blank stands between."""
    import pypdfium2

    found: list[Boxed] = []
    text, boxes = "", list[Box]()
    with pypdfium2.PdfDocument(data) as pdf:
        textpage = pdf[index].get_textpage()
        for place in range(textpage.count_chars() + 1):
            sign = textpage.get_text_range(place, 1) if place < textpage.count_chars() else " "
            if sign.strip():
                text += sign
                boxes.append(textpage.get_charbox(place))
            elif text:
                lefts, bottoms, rights, tops = zip(*boxes, strict=True)
                found.append(Boxed(text, (min(lefts), min(bottoms), max(rights), max(tops))))
                text, boxes = "", []
    return found


def text(data: bytes, index: int = 0) -> str:
    """What is copied of a page, without the blanks that end lines."""
    import pypdfium2

    with pypdfium2.PdfDocument(data) as pdf:
        lines = pdf[index].get_textpage().get_text_range().splitlines()
    return "\n".join(line.rstrip() for line in lines)


def pixels(data: bytes, index: int = 0, scale: float = 1.0) -> Any:
    """A page as it looks."""
    import pypdfium2

    with pypdfium2.PdfDocument(data) as pdf:
        return pdf[index].render(scale=scale).to_pil().convert("L")


def images(data: bytes, index: int = 0) -> list[Packed]:
    """The pictures that a page names."""
    import pikepdf

    with pikepdf.open(io.BytesIO(data)) as pdf:
        resources: Any = pdf.pages[index].obj.get("/Resources")
        return [
            Packed(found.read_raw_bytes(), str(found.get("/Filter")), found.get("/BitsPerComponent"), _decoded(found))
            for found in resources.XObject.values()
            if found.get("/Subtype") == pikepdf.Name.Image
        ]


def _decoded(found: Any) -> Any:
    import pikepdf

    picture = pikepdf.PdfImage(found).as_pil_image()
    picture.load()
    return picture


def problems(data: bytes) -> list[str]:
    """What qpdf finds wrong with a PDF."""
    import pikepdf

    with pikepdf.open(io.BytesIO(data)) as pdf:
        found: list[str] = pdf.check_pdf_syntax()
    return found
