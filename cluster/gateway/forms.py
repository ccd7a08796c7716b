"""The items of a request for ``predict``: one body, or the parts of a form."""

from __future__ import annotations

from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from cluster.gateway.problems import Problem, wrong
from cluster.services.messages import MAX_NAME_CHARS

MAX_ITEMS = 32
ONE = "item"
"""The name of a single item that has none."""
MAX_HEADERS_BYTES = 16 * 1024
"""Of one part of a form."""


def named(text: str | None) -> str:
    """The name of a single item.

    Raises:
        Problem: It is too long (400).
    """
    if text is None or not text:
        return ONE
    if len(text) > MAX_NAME_CHARS:
        raise wrong(f"the name of an item has at most {MAX_NAME_CHARS} characters")
    return text


def kind_of(content_type: bytes) -> bytes:
    """A content type without its parameters; b"" where there is none."""
    kind: bytes = parse_options_header(content_type)[0]
    return kind


def parts(body: bytes, content_type: bytes) -> dict[str, bytes]:
    """The files of a form by their names, in its order.

    Raises:
        Problem: It is no form, has no file, too many, or two of one name (400).
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise wrong("multipart/form-data needs a boundary in its content type")
    form = _Form()
    try:
        parser = MultipartParser(boundary, form.callbacks())  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise wrong(f"the form cannot be read: {error}") from None
    if not form.is_whole:
        raise wrong("the form has no end: its last boundary is missing")
    if not form.files:
        raise wrong('the form has no file; as with curl, write -F "picture=@party.jpg"')
    return form.files


class _Form:
    """Gathers files while the parser reads."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.is_whole = False
        self._disposition = self._field = self._value = b""
        self._headers_bytes = 0
        self._data: list[bytes] = []

    def callbacks(self) -> dict[str, Any]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_field,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header_end,
            "on_part_data": lambda data, start, end: self._data.append(data[start:end]),
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }

    def _begin(self) -> None:
        self._disposition = self._field = self._value = b""
        self._headers_bytes = 0
        self._data = []

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._field += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._value += data[start:end]

    def _count(self, more: int) -> None:
        self._headers_bytes += more
        if self._headers_bytes > MAX_HEADERS_BYTES:
            raise wrong(f"the headers of a part of the form have more than {MAX_HEADERS_BYTES:,} bytes")

    def _on_header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        self._field = self._value = b""

    def _on_part_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = (options.get(b"filename") or options.get(b"name") or b"").decode(errors="replace")
        if not name or len(name) > MAX_NAME_CHARS:
            raise wrong("a part of the form has no name, or one that is too long")
        if name in self.files:
            raise wrong(f"two parts of the form are called {name[:100]!r}; give each another filename")
        if len(self.files) >= MAX_ITEMS:
            raise Problem(413, f"a form has at most {MAX_ITEMS} items; send several, or submit a run")
        self.files[name] = b"".join(self._data)

    def _on_end(self) -> None:
        self.is_whole = True
