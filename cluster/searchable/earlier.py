"""Take invisible text out of a page: layers of ours, and with ``others`` that of any program."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from cluster.searchable import space, streams
from cluster.searchable.text_layer import BEGIN, TAG

if TYPE_CHECKING:
    import pikepdf

MOST_BYTES = 16 * 2**20
"""Of what a page shows, unpacked: each operator becomes an object of 500 bytes."""
STEADY = ("/ASCII85Decode", "/ASCIIHexDecode")
"""Ways of packing that make nothing smaller."""
MOST_LZW_BYTES = 2**18
"""They unpack to 650 MB at most."""
MOST_FORMS, MOST_DEPTH = 1000, 20
"""Form XObjects of a page, and how deep they may lie in each other."""
INVISIBLE = 3
"""The text rendering mode that draws nothing."""
SHOWING = frozenset({"Tj", "TJ", "'", '"'})


class TooLarge(ValueError):
    """A page shows too much for its invisible text to be found."""


def remove(pdf: pikepdf.Pdf, page: pikepdf.Object, *, others: bool) -> None:
    """Take layers of ours out of a page, in place. What else it shows stays byte for byte where nothing goes.

    Args:
        pdf: That the page is of.
        page: The page's dictionary.
        others: Whether invisible text of any origin goes, also in Form XObjects. Other pages may show these, too.

    Raises:
        TooLarge: It has more than ``MOST_BYTES`` to look through.
    """
    listed = contents(page)
    kept = [stream for stream in listed if not _is_ours(stream)]
    if others:
        shown, left = _all_unpacked(kept, MOST_BYTES)
        forms = list(_forms_below(space.inherited(page, "/Resources"), left))  # before anything is changed
    if len(kept) != len(listed):
        _set_contents(page, kept)
    if not others:
        return
    if _may_hide_text(shown) and (new := _cleaned(page)) is not None:
        _set_contents(page, [streams.packed(pdf, new)])
    for form in forms:
        if (new := _cleaned(form)) is not None:
            streams.rewrite(form, new)


def contents(page: pikepdf.Object) -> list[Any]:
    """The content streams of a page, in order."""
    import pikepdf

    found = page.get("/Contents")
    listed = list(found) if isinstance(found, pikepdf.Array) else [found]
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
    """What a stream holds, without ever holding much more than ``most`` bytes; b"" of what cannot be unpacked.

    Raises:
        TooLarge: It is more, or may be.
    """
    import pikepdf

    raw = stream.read_raw_bytes()
    how = stream.get("/Filter")
    names = [str(name) for name in (how if isinstance(how, pikepdf.Array) else [how] if how is not None else [])]
    growing = [name for name in names if name not in STEADY]
    if growing == ["/FlateDecode"]:
        _check_inflated(raw, names, most)
    elif growing and (growing != ["/LZWDecode"] or len(raw) > MOST_LZW_BYTES):
        raise TooLarge
    try:
        data = stream.read_bytes()
    except pikepdf.PdfError:
        return b""
    if len(data) > most:
        raise TooLarge
    return data


def _check_inflated(raw: bytes, names: list[str], most: int) -> None:
    """See that a stream inflates to at most ``most`` bytes; qpdf knows no such limit.

    Raises:
        TooLarge: It is more.
    """
    try:
        for name in names[:-1]:
            raw = base64.a85decode(raw.rstrip().removesuffix(b"~>")) if name == "/ASCII85Decode" else _from_hex(raw)
        if len(zlib.decompressobj().decompress(raw, most + 1)) > most:
            raise TooLarge
    except (ValueError, zlib.error) as error:
        if isinstance(error, TooLarge) or len(names) > 1:
            raise TooLarge from None


def _from_hex(raw: bytes) -> bytes:
    return bytes.fromhex(raw.partition(b">")[0].decode("ascii"))


def _may_hide_text(data: bytes) -> bool:
    return TAG.encode() in data or b"Tr" in data


def _all_unpacked(listed: Iterable[pikepdf.Stream], left: int) -> tuple[bytes, int]:
    """What streams hold, and how many bytes may follow.

    Raises:
        TooLarge: They hold more than ``left`` bytes.
    """
    found = []
    for stream in listed:
        found.append(unpacked(stream, left))
        left -= len(found[-1]) + 1
        if left < 0:
            raise TooLarge
    return b"\n".join(found), left


def _forms_below(resources: Any, left: int) -> Iterator[Any]:
    """The forms that these resources name, and theirs, each once, that may hold invisible text.

    Raises:
        TooLarge: They hold more than ``left`` bytes, or there are too many.
    """
    seen: set[tuple[int, int]] = set()
    level = [resources]
    for _ in range(MOST_DEPTH):
        forms = [form for one in level for form in _forms(one) if form.objgen not in seen]
        for form in {form.objgen: form for form in forms}.values():
            seen.add(form.objgen)
            data, left = _all_unpacked([form], left)
            if len(seen) > MOST_FORMS:
                raise TooLarge
            if _may_hide_text(data):
                yield form
        level = [form.get("/Resources") for form in forms]
        if not level:
            return
    raise TooLarge


def _forms(resources: Any) -> Iterator[Any]:
    import pikepdf

    named = resources.get("/XObject") if isinstance(resources, pikepdf.Dictionary) else None
    for found in named.values() if isinstance(named, pikepdf.Dictionary) else ():
        if isinstance(found, pikepdf.Stream) and found.get("/Subtype") == pikepdf.Name.Form:
            yield found


def _cleaned(shown: Any) -> bytes | None:
    """The content of a page or form without its invisible text; None where it has none."""
    import pikepdf

    cleaner = _Cleaner()
    # A form is parsed as the stream that it is, a page through its helper, which joins its streams.
    whole = shown if isinstance(shown, pikepdf.Stream) else pikepdf.Page(shown)
    kept = [one for each in pikepdf.parse_content_stream(whole) for one in cleaner.kept(each)]
    return pikepdf.unparse_content_stream(kept) if cleaner.removed else None


class _Cleaner:
    """Leaves out instructions of one content stream."""

    def __init__(self) -> None:
        self.removed = 0
        self._mode = 0
        self._modes: list[int] = []
        self._marks: list[bool] = []

    def kept(self, instruction: Any) -> Iterable[Any]:
        """What stays of an instruction; they come in their order."""
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
        if operator in SHOWING and self._mode == INVISIBLE:
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
