"""Write pages that were read as ALTO 4.2, the XML that libraries and archives keep."""

from __future__ import annotations

from collections.abc import Iterator

from aggregators import page_layout
from aggregators.documents import Document
from aggregators.page_layout import Block, Box, Line
from aggregators.readings import Reading
from aggregators.xml_text import escape

NAMESPACE = "http://www.loc.gov/standards/alto/ns-v4#"
HEAD = f"""\
<?xml version="1.0" encoding="UTF-8"?>
<alto xmlns="{NAMESPACE}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"\
 xsi:schemaLocation="{NAMESPACE} http://www.loc.gov/standards/alto/v4/alto-4-2.xsd" SCHEMAVERSION="4.2">
 <Description>
  <MeasurementUnit>pixel</MeasurementUnit>
  <sourceImageInformation><fileName>%s</fileName></sourceImageInformation>
  <Processing ID="read"><processingSoftware><softwareName>cluster</softwareName></processingSoftware></Processing>
 </Description>
 <Layout>
"""
TAIL = b" </Layout>\n</alto>\n"


def render(document: Document) -> Iterator[bytes]:
    """A document as ALTO, a page at a time; pages that are missing are left out, as PHYSICAL_IMG_NR tells.

    Boxes are pixels of the page as it is seen upright, see ``readings.Reading.page``.
    """
    yield (HEAD % escape(document.name)).encode()
    for number, record in page_layout.pages(document):
        yield "".join(_page(number, record)).encode()
    yield TAIL


def _page(number: int, record: Reading) -> Iterator[str]:
    size = place = ""
    if "page" in record:
        width, height, _ = record["page"]
        size, place = f' WIDTH="{width}" HEIGHT="{height}"', _place(Box(0, 0, width, height))
    sure = f' PC="{record["confidence"] / 100:g}"'
    yield f'  <Page ID="page_{number}" PHYSICAL_IMG_NR="{number}"{size}{sure}>\n   <PrintSpace{place}>\n'
    for position, block in enumerate(page_layout.blocks(record), 1):
        yield from _block(f"{number}_{position}", block)
    yield "   </PrintSpace>\n  </Page>\n"


def _block(id_: str, block: Block) -> Iterator[str]:
    yield f'    <ComposedBlock ID="block_{id_}"{_place(block.box)}>\n'
    for number, paragraph in enumerate(block.paragraphs, 1):
        yield f'     <TextBlock ID="par_{id_}_{number}"{_place(paragraph.box)}>\n'
        for position, line in enumerate(paragraph.lines, 1):
            yield from _line(f"{id_}_{number}_{position}", line)
        yield "     </TextBlock>\n"
    yield "    </ComposedBlock>\n"


def _line(id_: str, line: Line) -> Iterator[str]:
    yield f'      <TextLine ID="line_{id_}"{_place(line.box)}{_baseline(line)}>\n'
    before: Box | None = None
    for number, word in enumerate(line.words, 1):
        if number > 1:
            yield f"       <SP{_between(before, word.box)}/>\n"
        sure = "" if word.confidence is None else f' WC="{word.confidence / 100:g}"'
        yield f'       <String ID="word_{id_}_{number}"{_place(word.box)} CONTENT="{escape(word.text)}"{sure}/>\n'
        before = word.box
    yield "      </TextLine>\n"


def _place(box: Box | None) -> str:
    if box is None:
        return ""
    return f' HPOS="{box.left}" VPOS="{box.top}" WIDTH="{box.width}" HEIGHT="{box.height}"'


def _between(left: Box | None, right: Box | None) -> str:
    if left is None or right is None:
        return ""
    return f' HPOS="{left.right}" VPOS="{left.top}" WIDTH="{max(0, right.left - left.right)}"'


def _baseline(line: Line) -> str:
    if line.box is None:
        return ""
    begin = line.box.bottom + line.offset
    end = begin + line.slope * line.box.width
    return f' BASELINE="{line.box.left},{begin:.1f} {line.box.right},{end:.1f}"'
