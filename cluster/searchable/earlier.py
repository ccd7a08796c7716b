"""Take invisible text out of a page: layers of ours, and with ``others`` those of other programs."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from cluster.searchable import space, streams
from cluster.searchable.text_layer import BEGIN, TAG

if TYPE_CHECKING:
    import pikepdf

MOST_BYTES = 16 * 2**20
"""Of what a page shows, unpacked: each operator becomes an object of 500 bytes."""
MOST_FORMS, MOST_DEPTH = 1000, 20
"""Form XObjects of a page, and how deep they may lie in each other."""
INVISIBLE = 3
"""The text rendering mode that draws nothing."""
SHOWING = frozenset({"Tj", "TJ", "'", '"'})


class TooLarge(ValueError):
    """A page shows too much for its invisible text to be found."""


def remove(pdf: pikepdf.Pdf, page: pikepdf.Object, *, others: bool) -> None:
    """Take the text layers out of a page, in place. What it shows stays byte for byte where there are none.

    Args:
        pdf: That the page is of.
        page: The page's dictionary.
        others: Whether invisible text of any origin goes, also in Form XObjects. Other pages may show these, too.

    Raises:
        TooLarge: It has more than ``MOST_BYTES`` to look through.
    """
    kept = [stream for stream in contents(page) if not _is_ours(stream)]
    if len(kept) != len(contents(page)):
        _set_contents(page, kept)
    left = MOST_BYTES
    data = b"\n".join(unpacked(stream, left) for stream in kept)
    if _may_hold_text(data, others=others):
        cleaned = _Cleaner(others=others)
        new = cleaned.cleaned(page if kept else None)
        if cleaned.removed:
            _set_contents(page, [streams.packed(pdf, new)])
    if others:
        _clean_forms(space.inherited(page, "/Resources"), left - len(data))


def contents(page: pikepdf.Object) -> list[Any]:
    """The content streams of a page, in order."""
    import pikepdf

    found = page.get("/Contents")
    listed = list(found) if isinstance(found, pikepdf.Array) else [found]  # type: ignore[call-overload]
    return [stream for stream in listed if isinstance(stream, pikepdf.Stream)]


def lay_below(pdf: pikepdf.Pdf, page: pikepdf.Object, data: bytes) -> None:
    """Let the page show ``data`` before all else: there the page's own space still holds, whatever follows."""
    _set_contents(page, [streams.packed(pdf, data), *contents(page)])


def _set_contents(page: pikepdf.Object, listed: list[Any]) -> None:
    import pikepdf

    page["/Contents"] = pikepdf.Array(listed)


def _is_ours(stream: pikepdf.Stream) -> bool:
    """Whether the stream is a layer as ``text_layer`` makes them, and nothing else."""
    import pikepdf

    begin = BEGIN.encode()
    raw = stream.read_raw_bytes()
    if stream.get("/Filter") is None:
        return raw.startswith(begin)
    if stream.get("/Filter") != pikepdf.Name.FlateDecode:
        return False
    try:
        return zlib.decompressobj().decompress(raw, len(begin)) == begin
    except zlib.error:
        return False


def unpacked(stream: pikepdf.Stream, most: int) -> bytes:
    """What a stream holds, without ever holding much more than ``most`` bytes.

    Raises:
        TooLarge: It is more.
    """
    import pikepdf

    raw, how = stream.read_raw_bytes(), stream.get("/Filter")
    if how == pikepdf.Name.FlateDecode and "/DecodeParms" not in stream:
        unpacking = zlib.decompressobj()
        try:
            data = unpacking.decompress(raw, most + 1)
        except zlib.error:
            data = b""  # damaged: qpdf reads of it what can be read
        if len(data) > most:
            raise TooLarge
        if data:
            return data
    elif how is not None and len(raw) > most // 1000:  # 1 to 1000, at most, for each of its filters
        raise TooLarge
    try:
        data = stream.read_bytes()
    except pikepdf.PdfError:
        return b""
    if len(data) > most:
        raise TooLarge
    return data


def _may_hold_text(data: bytes, *, others: bool) -> bool:
    return TAG.encode() in data or (others and b"Tr" in data)


def _clean_forms(resources: Any, left: int, seen: set[tuple[int, int]] | None = None, depth: int = 0) -> None:
    """Take invisible text out of the forms that these resources name, and out of theirs."""
    seen = set() if seen is None else seen
    for form in _forms(resources):
        if form.objgen in seen:
            continue
        seen.add(form.objgen)
        if len(seen) > MOST_FORMS or depth >= MOST_DEPTH:
            raise TooLarge
        data = unpacked(form, left)
        left -= len(data)
        if _may_hold_text(data, others=True):
            cleaner = _Cleaner(others=True)
            new = cleaner.cleaned(form)
            if cleaner.removed:
                streams.rewrite(form, new)
        _clean_forms(form.get("/Resources"), left, seen, depth + 1)


def _forms(resources: Any) -> Iterator[Any]:
    import pikepdf

    named = resources.get("/XObject") if isinstance(resources, pikepdf.Dictionary) else None
    for found in named.values() if isinstance(named, pikepdf.Dictionary) else ():  # type: ignore[attr-defined]
        if isinstance(found, pikepdf.Stream) and found.get("/Subtype") == pikepdf.Name.Form:
            yield found


class _Cleaner:
    """Leaves out instructions of one content stream."""

    def __init__(self, *, others: bool) -> None:
        self.removed = 0
        self._others = others
        self._mode = 0
        self._modes: list[int] = []
        self._marks: list[bool] = []

    def cleaned(self, shown: Any) -> bytes:
        """The content of a page or form without its invisible text."""
        import pikepdf

        if shown is None:
            return b""
        whole = pikepdf.Page(shown) if shown.get("/Type") == pikepdf.Name.Page else shown
        kept = [one for each in pikepdf.parse_content_stream(whole) for one in self._kept(each)]
        return pikepdf.unparse_content_stream(kept)

    def _kept(self, instruction: Any) -> Iterable[Any]:
        operator = str(instruction.operator)
        operands = instruction.operands
        if operator in ("BDC", "BMC"):
            self._marks.append(bool(operands) and str(operands[0]) == TAG)
        is_ours = any(self._marks)
        if operator == "EMC" and self._marks:
            self._marks.pop()
        if is_ours:
            self.removed += 1
            return ()
        self._follow(operator, operands)
        if operator in SHOWING and self._mode == INVISIBLE and self._others:
            self.removed += 1
            return _moves(operator, operands)
        return (instruction,)

    def _follow(self, operator: str, operands: Any) -> None:
        """Keep account of the text rendering mode."""
        if operator == "q":
            self._modes.append(self._mode)
        elif operator == "Q" and self._modes:
            self._mode = self._modes.pop()
        elif operator == "Tr" and operands:
            try:
                self._mode = int(operands[0])
            except (TypeError, ValueError, ArithmeticError):
                self._mode = 0


def _moves(operator: str, operands: Any) -> Iterable[Any]:
    """What an instruction that showed text did besides: go to the next line, set the space between words."""
    import pikepdf

    if operator not in ("'", '"'):
        return
    if operator == '"' and len(operands) == 3:
        yield pikepdf.ContentStreamInstruction([operands[0]], pikepdf.Operator("Tw"))
        yield pikepdf.ContentStreamInstruction([operands[1]], pikepdf.Operator("Tc"))
    yield pikepdf.ContentStreamInstruction([], pikepdf.Operator("T*"))
