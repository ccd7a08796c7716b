"""Lay what was read over the pages of a PDF. All else in it stays as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from aggregators.readings import Reading
from cluster.searchable import earlier, font, signatures, space, text_layer

if TYPE_CHECKING:
    import pikepdf

FONT = text_layer.TAG
"""How pages name the font of their layer, with a number behind where the name is taken."""
MODIFIED = re.compile(rb"(<xmp:ModifyDate(?: [^<>]{0,200})?>|xmp:ModifyDate=[\"'])[0-9T:.Z+-]{4,40}")
LEAST_VERSION = "1.4"
MOST_METADATA_BYTES = 2**20
CHANGED = "was changed after the run had begun"
NEEDS_PASSWORD = "needs its password (--password-file)"  # noqa: S105 - a reason
NO_PASSWORD_FITS = "none of the passwords in --password-file opens it"  # noqa: S105 - a reason
DECRYPTED = "was encrypted; what is written of it opens without a password"


class Refused(ValueError):
    """Why a document is not written."""


class Signed(Refused):
    """It is left alone, as it is signed."""

    def __init__(self) -> None:
        super().__init__("is signed; writing into it would end that (--break-signatures)")


@contextmanager
def opened(source: Path | BinaryIO, passwords: Sequence[str] = ()) -> Iterator[pikepdf.Pdf]:
    """Open a PDF with the first of these passwords that fits, or without one.

    Raises:
        Refused: None fits, or it is damaged.
    """
    import pikepdf

    for password in ("", *passwords):
        try:
            pdf = pikepdf.open(source, password=password, suppress_warnings=True)
        except pikepdf.PasswordError:
            continue
        except (pikepdf.PdfError, RuntimeError, ValueError) as error:
            raise Refused(f"is damaged: {error}") from None
        with pdf:
            yield pdf
        return
    raise Refused(NO_PASSWORD_FITS if passwords else NEEDS_PASSWORD)


def lay(
    pdf: pikepdf.Pdf, read: Iterable[tuple[int, Reading | None]], *, others: bool = False,
    break_signatures: bool = False,
) -> list[str]:  # fmt: skip
    """Lay the words of each page that an engine has read over it, in place of layers that a run like this one has laid.

    A page whose text is its own, or that could not be read, stays as it is.

    Args:
        pdf: Is changed.
        read: Number of a page, from 1, and its record. Taken one by one, so it may add pages first.
        others: Whether invisible text of other programs goes, too, from the pages that get a layer.
        break_signatures: Whether a signed PDF may be changed.

    Returns:
        What is to be told about it, a clause each: ``page 3: …``.

    Raises:
        Signed: The PDF is.
        Refused: It lacks one of the pages.
    """
    if not break_signatures and signatures.is_signed(pdf):
        raise Signed
    layers = _Layers(pdf, others=others)
    told = [DECRYPTED] if pdf.is_encrypted else []
    for number, record in read:
        if record is None or record.get("source") == "pdf" or "page" not in record:
            continue
        if number > len(pdf.pages):
            raise Refused(CHANGED)
        try:
            layers.add(pdf.pages[number - 1].obj, record)
        except earlier.TooLarge:
            told.append(
                f"page {number}: stays as it is: it shows more than {earlier.MOST_BYTES:,} bytes, too much to find the"
                " invisible text that is to go"
            )
    layers.finish()
    _date(pdf)
    return told


def save(pdf: pikepdf.Pdf, path: Path) -> None:
    """Write a PDF, with every stream of it as it was, and without encryption.

    Raises:
        Refused: It is so damaged that qpdf cannot write it.
        OSError: It cannot be written there.
    """
    import pikepdf

    try:
        pdf.save(
            path, min_version=LEAST_VERSION, compress_streams=False, fix_metadata_version=False,
            stream_decode_level=pikepdf.StreamDecodeLevel.none, object_stream_mode=pikepdf.ObjectStreamMode.preserve,
        )  # fmt: skip
    except (pikepdf.PdfError, RuntimeError, ValueError) as error:
        raise Refused(f"is damaged: {error}") from None


class _Layers:
    """The layers of one document, which share a font."""

    def __init__(self, pdf: pikepdf.Pdf, *, others: bool) -> None:
        self._pdf = pdf
        self._others = others
        self._codes = font.Codes()
        self._font = font.reserved(pdf)
        self._laid: set[tuple[int, int]] = set()

    def add(self, page: pikepdf.Object, record: Reading) -> None:
        earlier.remove(self._pdf, page, others=self._others)
        self._laid.add(page.objgen)
        turn = record.get("turn", 0)
        where = space.of_page(page, turn)
        fonts = _fonts_made(page)
        name = self._name(fonts)
        if data := text_layer.content(record, where, self._codes, name):
            fonts[name] = self._font
            earlier.lay_below(self._pdf, page, data)
        if turn:
            page["/Rotate"] = where.turn

    def _name(self, fonts: pikepdf.Object) -> str:
        """How the page names the font: pages that keep an earlier layer may have another one of the same name."""
        names = (f"{FONT}{number or ''}" for number in count())
        return next(name for name in names if name not in fonts or fonts[name].objgen == self._font.objgen)

    def finish(self) -> None:
        """Fill in the font, and drop those of earlier layers where no other page may need them."""
        font.fill(self._pdf, self._font, self._codes)
        pages = [page.obj for page in self._pdf.pages]
        in_use = {_key(page) for page in pages if page.objgen not in self._laid}
        for page in pages:
            if page.objgen in self._laid and _key(page) not in in_use:
                fonts = _fonts_made(page)
                for name in list(fonts.keys()):
                    if name.startswith(FONT) and fonts[name].objgen != self._font.objgen:
                        del fonts[name]


def _fonts_made(page: pikepdf.Object) -> pikepdf.Object:
    """The fonts that a page names, in a dictionary that other pages may share; made where there is none."""
    import pikepdf

    resources = space.inherited(page, "/Resources")
    if not isinstance(resources, pikepdf.Dictionary):
        resources = page["/Resources"] = pikepdf.Dictionary()
    fonts = resources.get("/Font")
    if not isinstance(fonts, pikepdf.Dictionary):
        resources["/Font"] = pikepdf.Dictionary()
    return resources["/Font"]


def _key(page: pikepdf.Object) -> tuple[int, int]:
    """Equal for pages that have the dictionary of fonts in common."""
    import pikepdf

    node = next((node for node in space.ancestry(page) if "/Resources" in node), page)
    resources = node.get("/Resources")
    fonts = resources.get("/Font") if isinstance(resources, pikepdf.Dictionary) else None
    owners = [owner for owner in (fonts, resources, node) if isinstance(owner, pikepdf.Object)]
    return next((owner.objgen for owner in owners if owner.is_indirect), page.objgen)


def _date(pdf: pikepdf.Pdf) -> None:
    """Say when the document was changed, where it says such things."""
    import pikepdf

    now = datetime.now(UTC).replace(microsecond=0)
    if not isinstance(pdf.trailer.get("/Info"), pikepdf.Dictionary):
        pdf.trailer["/Info"] = pdf.make_indirect(pikepdf.Dictionary())
    pdf.trailer["/Info"]["/ModDate"] = pikepdf.String(f"D:{now:%Y%m%d%H%M%S}Z")
    metadata = pdf.Root.get("/Metadata")
    if isinstance(metadata, pikepdf.Stream):
        try:
            old = earlier.unpacked(metadata, MOST_METADATA_BYTES)
        except earlier.TooLarge:
            return
        new = MODIFIED.sub(lambda found: found[1] + f"{now:%Y-%m-%dT%H:%M:%SZ}".encode(), old)
        if new != old:
            metadata.write(new)
