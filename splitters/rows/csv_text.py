"""Find the records of CSV text where the module csv finds them, without looking at their fields.

Text is bytes in UTF-8. A field that begins with a quotation mark, after spaces, goes to the next one that is not
doubled; line ends and delimiters in it do not count. A record ends with a line feed, a carriage return or both; one
without a character is no row.
"""

from __future__ import annotations

import csv
import functools
import io
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DELIMITERS = ",;\t|"
HEAD_BYTES = 2**14
MARK = b"\xef\xbb\xbf"
LINE_FEED, CARRIAGE_RETURN, MARK_OF_QUOTES = 10, 13, 34
Places = NDArray[np.int64]


class Header(NamedTuple):
    """The first record of a file."""

    names: list[str]
    delimiter: str
    text: bytes
    """With its line end."""


class Records(NamedTuple):
    """Where the rows of some text end."""

    ends: Places
    """Behind the line end of each row that is whole."""
    is_open: bool
    """What follows on the last one begins a field in quotation marks that does not end."""


def header(head: bytes, file: str) -> Header:
    """The names of the columns. The delimiter is the one that cuts them most often.

    Args:
        head: The first record of a file, or more, without a byte order mark.
        file: Its name, for messages.

    Raises:
        ValueError: It is none; the message says what to do.
    """
    if not head:
        raise ValueError(f"{file} is empty: it must have a line with the names of the columns, then rows")
    if b"\0" in head[:HEAD_BYTES]:
        raise ValueError(f"{file} is a binary file: give CSV in UTF-8, .npz, JSON, Parquet or pictures")
    try:
        delimiter, names = max(((one, _first(head, one)) for one in DELIMITERS), key=lambda found: len(found[1]))
    except UnicodeDecodeError:
        raise ValueError(f"{file} is no text in UTF-8 (line 1): save it as UTF-8") from None
    except csv.Error as error:
        raise ValueError(f"{file} cannot be read: {error}") from None
    if not names:
        raise ValueError(f"the first line of {file} is empty: it must have the names of the columns")
    names = [name or f"column {at}" for at, name in enumerate(names, 1)]
    if len(set(names)) < len(names):
        [twice, *_] = [name for name in names if names.count(name) > 1]
        raise ValueError(f"{file} has two columns of the name {twice!r}")
    if all(_is_number(name) for name in names):
        raise ValueError(f"the first line of {file} is all numbers: it must have the names of the columns")
    return Header(names, delimiter, _record(head, delimiter))


def records(data: bytes, delimiter: str, *, is_end: bool) -> Records:
    """The records of text that begins with one.

    Args:
        data: The text.
        delimiter: Of fields.
        is_end: Nothing follows in the file, so the last record ends with the text.
    """
    plain, is_open = _without_quoted(data, delimiter)
    found = np.frombuffer(plain, np.uint8)
    is_line_end = found == LINE_FEED
    if b"\r" in plain:
        is_return = found == CARRIAGE_RETURN
        follows = np.append(is_line_end[1:], not is_end)  # what follows on the last byte is not known
        is_line_end |= is_return & ~follows
        content = ~(is_return | is_line_end)
    else:
        content = ~is_line_end
    ends: Places = np.flatnonzero(is_line_end) + 1
    if is_end and (not len(ends) or ends[-1] < len(data)) and data:
        ends = np.append(ends, len(data))
    if len(ends):
        starts = np.concatenate([[0], ends[:-1]])
        ends = ends[np.logical_or.reduceat(content[: int(ends[-1])], starts)]
    return Records(ends, is_open and not is_end)


def rows(data: bytes, delimiter: str, width: int) -> tuple[list[Sequence[str]], dict[int, str]]:
    """The fields of each row, stripped; and row -> why it cannot be read, in whose place stand empty fields."""
    try:
        found: list[list[str] | str] = list(_read(data, delimiter))
    except (csv.Error, UnicodeDecodeError):
        found = [_alone(record, delimiter) for record in _each(data, delimiter)]
    problems: dict[int, str] = {}
    for at, row in enumerate(found):
        if isinstance(row, str):
            problems[at] = row
        elif len(row) != width:
            problems[at] = f"it has {len(row)} fields, and the header has {width}"
    empty = ("",) * width
    return [empty if at in problems else row for at, row in enumerate(found)] if problems else found, problems  # type: ignore[return-value]


def _read(data: bytes, delimiter: str) -> Iterator[list[str]]:
    text = io.StringIO(data.decode(), newline="")
    for row in csv.reader(text, delimiter=delimiter, skipinitialspace=True, strict=True):
        if row:
            yield [field.strip() for field in row]


def _each(data: bytes, delimiter: str) -> Iterator[bytes]:
    ends = records(data, delimiter, is_end=True).ends.tolist()
    return (data[start:end] for start, end in zip([0, *ends], ends, strict=False))


def _alone(record: bytes, delimiter: str) -> list[str] | str:
    """The fields of one record; or why it has none."""
    try:
        return next(_read(record, delimiter), [])
    except UnicodeDecodeError:
        return "it is no text in UTF-8"
    except csv.Error as error:
        return f"it cannot be read: {error}"


def _first(head: bytes, delimiter: str) -> list[str]:
    text = io.StringIO(_record(head, delimiter).decode(), newline="")
    reader = csv.reader(text, delimiter=delimiter, skipinitialspace=True)
    return next(([field.strip() for field in row] for row in reader if row), [])


def _record(head: bytes, delimiter: str) -> bytes:
    """The first record, with the blank lines before it."""
    for size in (HEAD_BYTES, len(head)):
        ends = records(head[:size], delimiter, is_end=size >= len(head)).ends
        if len(ends) > 1 or (len(ends) and size >= len(head)):
            return head[: int(ends[0])]
    return b""


def _without_quoted(data: bytes, delimiter: str) -> tuple[bytes, bool]:
    """The text with another letter for each byte in quotation marks; and whether the last such field is open."""
    if b'"' not in data:
        return data, False
    if (found := _without_paired(data, delimiter)) is not None:
        return found
    is_open = False

    def blank(found: re.Match[bytes]) -> bytes:
        nonlocal is_open
        is_open = not found[1]
        return b"x" * len(found[0])

    return _quoted(delimiter).sub(blank, data), is_open


def _without_paired(data: bytes, delimiter: str) -> tuple[bytes, bool] | None:
    """The same, where each second quotation mark ends what the one before began; None where they are no such pairs.

    They are where each first one of a pair stands at the beginning of a field, or directly behind another pair: then
    both are one doubled mark.
    """
    found = np.frombuffer(data, np.uint8)
    is_mark = found == MARK_OF_QUOTES
    marks = np.flatnonzero(is_mark)
    first = marks[::2]
    before = found[np.maximum(first - 1, 0)]
    begins = (first == 0) | (before == ord(delimiter)) | (before == LINE_FEED) | (before == CARRIAGE_RETURN)
    is_doubled = np.zeros(len(first), bool)
    is_doubled[1:] = first[1:] - marks[1::2][: len(first) - 1] == 1
    if not (begins | is_doubled).all():
        return None
    is_inside = np.cumsum(is_mark, dtype=np.uint8) & 1  # it wraps around at 256, which is even
    return np.where(is_inside == 1, np.uint8(ord("x")), found).tobytes(), bool(len(marks) % 2)


@functools.cache
def _quoted(delimiter: str) -> re.Pattern[bytes]:
    return re.compile(rb'(?:(?<=[\r\n%b])|\A) *+"[^"]*+(?:""[^"]*+)*+("|\Z)' % re.escape(delimiter.encode()))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
