"""The program that cuts PDFs into pages: a child of the splitter, so that a PDF that ends it ends nothing else.

It is started with the number of a socket. Each request and each answer begins with ``HEAD``, its kind and length:

| request | its bytes | answer |
| --- | --- | --- |
| OPEN, with an open file | JSON: a number for the document, passwords to try | PAGES, or PROBLEM |
| CUT | JSON: the document's number, the page's index | PAGE: a PDF of that page alone; or PROBLEM |
| CLOSE | JSON: the document's number | none |

PAGES is JSON, how many there are and why there may be more; PROBLEM is a reason in UTF-8.
The same page gives the same bytes each time, in any process. It imports nothing of ours: it is run as a file.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import resource
import select
import signal
import socket
import struct
import sys
import tempfile
from typing import Any

HEAD = struct.Struct("!cQ")
OPEN, CUT, CLOSE, PAGES, PAGE, PROBLEM = b"O", b"C", b"X", b"N", b"P", b"E"
MOST_PAGE_BYTES = 256 * 2**20
MEMORY_BYTES = 4 * 2**30
"""Of address space. A page is held twice; the rest is for what PDFium unpacks of a file's structure."""
CPU_S = 30
"""Processor time of one request. A page takes 0.2 ms."""
ALONE_S = 5.0
"""Between two looks whether the splitter is still there, when it asks nothing."""
ANEW_BYTES = 32 * 2**20
"""PDFium keeps what it has read: it opens a document anew after pages of so many bytes."""
LEAN_BYTES = 2**16
"""A page of more bytes may carry what only other pages show."""
MOST_TIMES = 2
WRONG_PASSWORD = 4
"""PDFium's number of this error."""
NEEDS_PASSWORD = "needs its password (--password-file)"  # noqa: S105 - a reason
NO_PASSWORD_FITS = "none of the passwords in --password-file opens it"  # noqa: S105 - a reason
NO_PAGES = "is damaged: no pages can be found in it"
ID = re.compile(rb"/ID\[<[0-9A-F]{32}><[0-9A-F]{32}>\]")
SAME_ID = b"/ID[<" + b"0" * 32 + b"><" + b"0" * 32 + b">]"


class Refused(Exception):
    """Why a document or a page cannot be cut."""


class Kept(io.BytesIO):
    """A file in memory that drops what exceeds ``MOST_PAGE_BYTES``; its ``size`` counts that, too."""

    size = 0

    def write(self, data: Any, /) -> int:
        """As of any file."""
        self.size += len(data)
        return super().write(data) if self.size <= MOST_PAGE_BYTES else len(data)


class Program:
    """Answers requests until the other end is closed."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._parent = os.getppid()
        self._documents: dict[int, Document] = {}

    def run(self) -> None:
        """Answer all requests."""
        while head := self._receive_head():
            kind, asked, handle = head
            _limit_time()
            try:
                answer = self._answer(kind, asked, handle)
            except Refused as error:
                answer = PROBLEM, str(error).encode()
            except Exception as error:  # noqa: BLE001 - whatever a damaged file makes a library raise
                answer = PROBLEM, f"is damaged: {error}".encode("utf-8", "backslashreplace")
            if answer:
                self._line.sendall(HEAD.pack(answer[0], len(answer[1])))
                self._line.sendall(answer[1])

    def _receive_head(self) -> tuple[bytes, list[Any], int] | None:
        while not select.select([self._line], [], [], ALONE_S)[0]:
            if os.getppid() != self._parent:  # a forked process may hold its end of the socket open
                return None
        head, handles, _, _ = socket.recv_fds(self._line, HEAD.size, 1)
        if not head:
            return None
        kind, size = HEAD.unpack(head + self._receive(HEAD.size - len(head)))
        return kind, json.loads(self._receive(size)), handles[0] if handles else -1

    def _receive(self, size: int) -> bytes:
        found = bytearray()
        while len(found) < size:
            found += self._line.recv(size - len(found)) or sys.exit()
        return bytes(found)

    def _answer(self, kind: bytes, asked: list[Any], handle: int) -> tuple[bytes, bytes] | None:
        number = asked[0]
        if kind == OPEN:
            document = Document(handle)
            try:
                told = document.open(asked[1])
            except BaseException:
                document.close()
                raise
            self._documents[number] = document
            return PAGES, json.dumps(told).encode()
        if kind == CLOSE:
            if given_up := self._documents.pop(number, None):
                given_up.close()
            return None
        return PAGE, self._documents[number].cut(asked[1])


class Document:
    """A PDF whose pages are counted and cut.

    Args:
        handle: Of its open file, which it closes.
    """

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._bytes = os.fstat(handle).st_size
        self._password = ""
        self._pdf: Any = None
        self._cut_bytes = 0

    def close(self) -> None:
        """Close it, and its file."""
        if self._pdf:
            self._pdf.close()
        os.close(self._handle)

    def open(self, passwords: list[str]) -> tuple[int, str]:
        """How many pages there are, and why there may be more, or "".

        Raises:
            Refused: It cannot be opened, or has no pages.
        """
        for self._password in ("", *passwords):
            self._pdf, error = _load(self._handle, self._password)
            if error != WRONG_PASSWORD:
                break
        else:
            raise Refused(NO_PASSWORD_FITS if passwords else NEEDS_PASSWORD)
        if not self._pdf:
            mended, self._password = _mended(self._handle), ""
            os.dup2(mended, self._handle)
            os.close(mended)
            self._pdf, error = _load(self._handle, "")
            if error:
                raise Refused(NO_PAGES)
            return _count(self._pdf), "the file is damaged, perhaps cut off; there may be pages from this one on"
        there, claimed = _count(self._pdf), len(self._pdf)
        missing = f"the file says that it has {claimed:,} pages; they cannot be found from this one on"
        return there, missing if there < claimed else ""

    def cut(self, index: int) -> bytes:
        """A page as a PDF.

        Raises:
            Refused: It is damaged, or too large.
        """
        if self._cut_bytes > ANEW_BYTES:
            self._pdf.close()
            self._pdf, _ = _load(self._handle, self._password)
            self._cut_bytes = 0
        data = _cut(self._pdf, index)
        self._cut_bytes += len(data)
        is_fat = len(data) > LEAN_BYTES and len(data) * len(self._pdf) > MOST_TIMES * self._bytes
        return _lean(data) if is_fat else data


def _limit_time() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    with contextlib.suppress(ValueError):  # its user allows less
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + CPU_S, hard))


def _load(handle: int, password: str) -> tuple[Any, int]:
    """The document in an open file, and 0; or None and PDFium's number of an error."""
    import pypdfium2
    import pypdfium2.raw

    # Not by pypdfium2's own way, which looks for the name that the file has, or had.
    found = pypdfium2.raw.FPDF_LoadDocument(f"/dev/fd/{handle}".encode(), password.encode())
    return (pypdfium2.PdfDocument(found), 0) if found else (None, pypdfium2.raw.FPDF_GetLastError() or -1)


def _mended(handle: int) -> int:
    """An open file with what qpdf finds of a document: of one that is cut off, say."""
    import pikepdf

    refused = (pikepdf.PdfError, AttributeError, TypeError, ValueError)
    with contextlib.suppress(*refused), pikepdf.open(f"/dev/fd/{handle}") as found:
        if len(found.pages):
            with tempfile.TemporaryFile() as mended:
                found.save(mended, static_id=True)
                mended.flush()
                return os.dup(mended.fileno())
    raise Refused(NO_PAGES)


def _count(pdf: Any) -> int:
    """How many pages there are: PDFium takes the file's word for it.

    Raises:
        Refused: None.
    """
    claimed = len(pdf)
    there, missing = 0, claimed + 1  # numbers of pages: one that is there, and one that is not
    if claimed and _is_there(pdf, claimed):
        there = claimed
    while there + 1 < missing and there < claimed:
        middle = (there + missing) // 2
        there, missing = (middle, missing) if _is_there(pdf, middle) else (there, middle)
    if not there:
        raise Refused(NO_PAGES)
    return there


def _is_there(pdf: Any, number: int) -> bool:
    import pypdfium2

    try:
        pdf.get_page_size(number - 1)
    except pypdfium2.PdfiumError:
        return False
    return True


def _cut(pdf: Any, index: int) -> bytes:
    import pypdfium2

    page = pypdfium2.PdfDocument.new()
    try:
        page.import_pages(pdf, [index])
        kept = Kept()
        page.save(kept)
    except pypdfium2.PdfiumError as error:
        raise Refused(f"the page is damaged: {error}") from None
    finally:
        page.close()
    if kept.size > MOST_PAGE_BYTES:
        raise Refused(f"the page has {kept.size:,} bytes; the limit is {MOST_PAGE_BYTES:,}")
    return _with_same_id(kept.getvalue())


def _with_same_id(data: bytes) -> bytes:
    """The file with an ID that says nothing: PDFium's is another one each time. It stands at the end."""
    return data[:-1024] + ID.sub(SAME_ID, data[-1024:])


def _lean(data: bytes) -> bytes:
    """The page without the pictures and fonts of other pages, which some programs list at every page."""
    import pikepdf

    with contextlib.suppress(Exception), pikepdf.open(io.BytesIO(data)) as page:
        page.remove_unreferenced_resources()
        kept = io.BytesIO()
        page.save(kept, static_id=True)
        if len(kept.getvalue()) < len(data):
            return kept.getvalue()
    return data


def main() -> None:
    """Limit this process, then answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to it, too; the splitter closes the socket
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ValueError, OSError):  # macOS knows no such limit
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    import pypdfium2.raw

    pypdfium2.raw.FPDF_SetSandBoxPolicy(pypdfium2.raw.FPDF_POLICY_MACHINETIME_ACCESS, False)  # no dates in pages
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        Program(socket.socket(fileno=int(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
