"""Write pages that were read as hOCR, the HTML that viewers of scans and correction tools take."""

from __future__ import annotations

from collections.abc import Iterator

from aggregators import page_layout
from aggregators.documents import Document
from aggregators.page_layout import Block, Box, Line
from aggregators.readings import Reading
from aggregators.xml_text import escape

HEAD = """\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>{title}</title>
  <meta http-equiv="Content-Type" content="text/html;charset=utf-8"/>
  <meta name="ocr-system" content="cluster"/>
  <meta name="ocr-capabilities" content="ocr_page ocr_carea ocr_par ocr_line ocrx_word ocrp_wconf"/>
 </head>
 <body>
"""
TAIL = b" </body>\n</html>\n"


def render(document: Document) -> Iterator[bytes]:
    """A document as hOCR, a page at a time; pages that are missing are left out, as their numbers tell.

    Boxes are pixels of the page as it is seen upright, see ``readings.Reading.page``.
    """
    yield HEAD.format(title=escape(document.name)).encode()
    for number, record in page_layout.pages(document):
        yield "".join(_page(document.name, number, record)).encode()
    yield TAIL


def _page(name: str, number: int, record: Reading) -> Iterator[str]:
    quoted = name.replace("\\", "%5C").replace('"', "%22").replace("\n", "%0A")  # hOCR has no escapes
    facts = [f'image "{quoted}"']
    if "page" in record:
        width, height, dpi = record["page"]
        facts.append(f"bbox 0 0 {width} {height}")
    facts.append(f"ppageno {number - 1}")
    if "page" in record and dpi:
        facts.append(f"scan_res {dpi} {dpi}")
    yield f'  <div class="ocr_page" id="page_{number}" title="{escape("; ".join(facts))}">\n'
    for position, block in enumerate(page_layout.blocks(record), 1):
        yield from _block(f"{number}_{position}", block)
    yield "  </div>\n"


def _block(id_: str, block: Block) -> Iterator[str]:
    yield f'   <div class="ocr_carea" id="block_{id_}"{_title(_bbox(block.box))}>\n'
    for number, paragraph in enumerate(block.paragraphs, 1):
        yield f'    <p class="ocr_par" id="par_{id_}_{number}"{_title(_bbox(paragraph.box))}>\n'
        for position, line in enumerate(paragraph.lines, 1):
            yield from _line(f"{id_}_{number}_{position}", line)
        yield "    </p>\n"
    yield "   </div>\n"


def _line(id_: str, line: Line) -> Iterator[str]:
    baseline = f"baseline {line.slope:.4g} {line.offset:.4g}" if line.box else ""
    yield f'     <span class="ocr_line" id="line_{id_}"{_title(_bbox(line.box), baseline)}>'
    for number, word in enumerate(line.words, 1):
        sure = "" if word.confidence is None else f"x_wconf {word.confidence}"
        title = _title(_bbox(word.box), sure)
        yield " " if number > 1 else ""
        yield f'<span class="ocrx_word" id="word_{id_}_{number}"{title}>{escape(word.text)}</span>'
    yield "</span>\n"


def _bbox(box: Box | None) -> str:
    return f"bbox {box.left} {box.top} {box.right} {box.bottom}" if box else ""


def _title(*facts: str) -> str:
    told = "; ".join(filter(None, facts))
    return f' title="{told}"' if told else ""
