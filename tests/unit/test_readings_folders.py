"""Pages that were read, as a file a document: texts, hOCR, ALTO, Tesseract's table."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregators import by_name, documents, readings_alto, readings_folders, readings_hocr, readings_tsv, xml_text
from aggregators.documents import Document
from aggregators.readings import Reading
from splitters import page_names
from tests.kit.records import record

TEXT = 'Invoice 2041\nMüller & <Söhne> "x"\nthird line'
PAGE = record(TEXT, words=True)
HOSTILE = Document("a\n\"b'<&>\x01.png", {None: record("<b> &amp; ]]> '\"", words=True)})
XHTML = "{http://www.w3.org/1999/xhtml}"
ALTO = f"{{{readings_alto.NAMESPACE}}}"


def folder_of(
    write: Callable[..., None], parts: list[dict[str, Reading | None]], folder: Path, **more: Any
) -> dict[str, bytes]:
    write(parts, folder, **more)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rendered(render: Callable[[Document], Iterator[bytes]], *pages: Reading | None) -> bytes:
    return b"".join(render(Document("s/book.pdf", dict(enumerate(pages, 1)))))


# Texts.


def test_texts_of_pictures_are_what_they_were(tmp_path: Path) -> None:
    by_name.write_text_folder([{"a.png": "a", "b/c.png": "c\n"}], tmp_path / "before")
    readings_folders.write_texts([{"a.png": record("a")}, {"b/c.png": record("c\n"), "d.png": None}], tmp_path / "now")
    now, before = (
        {path.relative_to(top): path.read_bytes() for path in top.rglob("*.txt")}
        for top in (tmp_path / "now", tmp_path / "before")
    )
    assert now == before


def test_pages_of_a_document_are_one_text_with_form_feeds(tmp_path: Path) -> None:
    parts: list[dict[str, Reading | None]] = [
        {"a.pdf#0001": record("one"), "a.pdf#0002": record("two")}, {"b.pdf#0001": record("b")},
    ]  # fmt: skip
    assert folder_of(readings_folders.write_texts, parts, tmp_path) == {"a.pdf.txt": b"one\ftwo", "b.pdf.txt": b"b"}


def test_a_page_that_is_missing_leaves_the_others_in_their_places(tmp_path: Path) -> None:
    parts: list[dict[str, Reading | None]] = [
        {"a.pdf#0002": record("two"), "a.pdf#0004": record("four")},
        {"a.pdf#0001": None},
    ]
    assert folder_of(readings_folders.write_texts, parts, tmp_path) == {"a.pdf.txt": b"\ftwo\f\ffour"}


def test_pages_that_nobody_asked_for_have_no_places(tmp_path: Path) -> None:
    parts: list[dict[str, Reading | None]] = [{"a.pdf#0090": record("90"), "a.pdf#0092": record("92")}]
    assert folder_of(readings_folders.write_texts, parts, tmp_path, pages="90-") == {"a.pdf.txt": b"90\f92"}


def test_an_item_with_a_page_number_of_a_billion_writes_no_gigabyte(tmp_path: Path) -> None:
    parts: list[dict[str, Reading | None]] = [{"a#999999999": record("a")}]
    assert len(folder_of(readings_folders.write_texts, parts, tmp_path)["a.txt"]) == readings_folders.MOST_PAGES + 1


def test_a_document_without_a_page_that_was_read_gets_no_file(tmp_path: Path) -> None:
    parts: list[dict[str, Reading | None]] = [{"a.pdf#0001": None, "b.png": None, "c.png": record("c")}]
    assert list(folder_of(readings_folders.write_texts, parts, tmp_path)) == ["c.png.txt"]


# All of them.

WRITERS = {
    ".txt": readings_folders.write_texts, ".hocr": readings_folders.write_hocr,
    ".alto.xml": readings_folders.write_alto, ".tsv": readings_folders.write_tsv,
}  # fmt: skip


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_document_is_told_of_once_its_file_is_there(suffix: str, tmp_path: Path) -> None:
    told: list[tuple[str, Path]] = []

    def parts() -> Iterator[Mapping[str, Reading | None]]:
        yield {"s/a%23.pdf#0001": PAGE, "b.png": PAGE}
        assert told == [("s/a%23.pdf", tmp_path / f"s/a#.pdf{suffix}"), ("b.png", tmp_path / f"b.png{suffix}")]

    def wrote(name: str, path: Path) -> None:
        assert path.is_file()
        told.append((name, path))

    WRITERS[suffix](parts(), tmp_path, wrote=wrote)


@pytest.mark.parametrize("suffix", WRITERS)
def test_pages_that_come_in_any_order_give_the_same_file(suffix: str, tmp_path: Path) -> None:
    pages = {f"a.pdf#{number:04}": record(f"page {number}", words=True) for number in range(1, 12)}
    in_order: list[dict[str, Reading | None]] = [{name: page} for name, page in pages.items()]
    expected = folder_of(WRITERS[suffix], in_order, tmp_path / "1")
    assert folder_of(WRITERS[suffix], in_order[::-1], tmp_path / "2", pages_of={"a.pdf": 11}.get) == expected


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)


@given(
    st.dictionaries(
        NAMES,
        st.lists(st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"]), max_size=30), max_size=3),
        max_size=4,
    )
)
def test_any_name_and_text_becomes_xml_that_can_be_read(found: dict[str, list[str]]) -> None:
    parts: list[Mapping[str, Reading | None]] = [
        {
            page_names.page(page_names.document(name), number): record(text, words=True)
            for number, text in enumerate(texts, 1)
        }
        for name, texts in found.items()
    ]
    for document in documents.grouped(parts):
        name = xml_text.FORBIDDEN.sub("\ufffd", document.name)
        words = [word for text in found[page_names.path(document.name)] for word in text.split()]
        hocr = ElementTree.fromstring(b"".join(readings_hocr.render(document)))
        assert hocr.findtext(f"{XHTML}head/{XHTML}title") == name
        assert [one.text for one in hocr.iter(f"{XHTML}span") if one.get("class") == "ocrx_word"] == words
        alto = ElementTree.fromstring(b"".join(readings_alto.render(document)))
        assert alto.findtext(f".//{ALTO}fileName") == name
        assert [one.get("CONTENT") for one in alto.iter(f"{ALTO}String")] == words
        check_alto(alto)


@given(st.lists(NAMES.filter(lambda name: str(PurePosixPath(name)) == name), unique=True, max_size=5))
def test_each_document_has_a_file_of_its_own_below_the_folder(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("out")
    told: dict[str, Path] = {}
    parts = [{page_names.document(name): record(str(number))} for number, name in enumerate(names)]
    problems = ""
    try:
        readings_folders.write_texts(parts, folder, wrote=told.__setitem__)
    except ValueError as error:
        problems = str(error)
    assert bool(problems) == (len(told) < len(names))
    assert len(set(told.values())) == len(told)
    for name, path in told.items():
        assert path.resolve().is_relative_to(folder.resolve())
        assert path.read_text() == str(names.index(page_names.path(name)))


# hOCR.


def hocr_of(document: Document) -> list[tuple[str, str, dict[str, list[str]], str]]:
    """Class, id, properties and text of each element that has a class."""
    found = []
    for element in ElementTree.fromstring(b"".join(readings_hocr.render(document))).iter():
        if kind := element.get("class"):
            facts = [fact.split() for fact in element.get("title", "").split("; ") if fact]
            told = {fact[0]: fact[1:] for fact in facts}
            found.append((kind, element.get("id", ""), told, element.text or ""))
    return found


def test_hocr_has_pages_blocks_paragraphs_lines_and_words() -> None:
    found = hocr_of(Document("s/book.pdf", {1: PAGE, 2: None, 3: record("x", words=True)}))
    kinds = [kind for kind, *_ in found]
    assert kinds[:5] == ["ocr_page", "ocr_carea", "ocr_par", "ocr_line", "ocrx_word"]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "ocr_page": 2, "ocr_carea": 3, "ocr_par": 3, "ocr_line": 4, "ocrx_word": 9,
    }  # fmt: skip
    assert found[0][2] == {
        "image": ['"s/book.pdf"'], "bbox": ["0", "0", "1000", "1400"], "ppageno": ["0"], "scan_res": ["300", "300"],
    }  # fmt: skip
    assert found[3][2] == {"bbox": ["10", "40", "130", "70"], "baseline": ["0.01", "-5"]}
    assert found[4][2:] == ({"bbox": ["10", "40", "80", "70"], "x_wconf": ["80"]}, "Invoice")
    assert [told["ppageno"] for kind, _, told, _ in found if kind == "ocr_page"] == [["0"], ["2"]]
    ids = [id_ for _, id_, *_ in found]
    assert len(set(ids)) == len(ids)


def test_hocr_of_a_page_without_places_has_its_words_without_boxes() -> None:
    found = hocr_of(Document("a.png", {None: record("two words")}))
    assert [(kind, text) for kind, _, _, text in found if text.strip()] == [
        ("ocrx_word", "two"),
        ("ocrx_word", "words"),
    ]
    assert all(set(told) <= {"image", "ppageno"} for _, _, told, _ in found)


def test_a_name_cannot_leave_its_place_in_hocr() -> None:
    page = hocr_of(HOSTILE)[0]
    assert page[2]["image"] == ['"a%0A%22b\'<&>\ufffd.png"']
    assert page[2]["bbox"] == ["0", "0", "1000", "1400"]


# ALTO: what the schema of version 4.2 says of the elements that are used here.

FLOATS = ("HEIGHT", "WIDTH", "HPOS", "VPOS")
CHILDREN = {
    "alto": ("Description", "Layout"), "Description": ("MeasurementUnit", "sourceImageInformation", "Processing"),
    "sourceImageInformation": ("fileName",), "Processing": ("processingSoftware",),
    "processingSoftware": ("softwareName",), "Layout": ("Page",), "Page": ("PrintSpace",),
    "PrintSpace": ("ComposedBlock",), "ComposedBlock": ("TextBlock",), "TextBlock": ("TextLine",),
    "TextLine": ("String", "SP"),
}  # fmt: skip
NEEDED = {
    "Processing": {"ID"}, "Page": {"ID", "PHYSICAL_IMG_NR"}, "ComposedBlock": {"ID"}, "TextBlock": {"ID"},
    "String": {"CONTENT"},
}  # fmt: skip
OPTIONAL = {
    "alto": {"SCHEMAVERSION", "{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"},
    "Page": {"HEIGHT", "WIDTH", "PC"}, "PrintSpace": {*FLOATS}, "ComposedBlock": {*FLOATS}, "TextBlock": {*FLOATS},
    "TextLine": {"ID", "BASELINE", *FLOATS}, "String": {"ID", "WC", *FLOATS}, "SP": {"WIDTH", "HPOS", "VPOS"},
}  # fmt: skip


def check_alto(root: ElementTree.Element) -> None:
    ids = [element.get("ID") for element in root.iter() if "ID" in element.attrib]
    assert len(set(ids)) == len(ids)
    assert root.tag == f"{ALTO}alto"
    assert root.findtext(f"{ALTO}Description/{ALTO}MeasurementUnit") == "pixel"
    assert root.find(f"{ALTO}Layout/{ALTO}Page") is not None
    for element in root.iter():
        kind = element.tag.removeprefix(ALTO)
        inner = [child.tag.removeprefix(ALTO) for child in element]
        assert set(inner) <= set(CHILDREN.get(kind, ())), kind
        assert kind not in ("alto", "Description") or inner == list(CHILDREN[kind])  # these stand in their order
        assert kind != "TextLine" or (
            inner and inner[::2] == ["String"] * len(inner[::2]) and inner[1::2] == ["SP"] * len(inner[1::2])
        )
        assert NEEDED.get(kind, set()) <= set(element.keys()) <= NEEDED.get(kind, set()) | OPTIONAL.get(kind, set())
        for name in {*FLOATS, "WC", "PC", "PHYSICAL_IMG_NR"} & set(element.keys()):
            assert float(element.get(name, "")) >= 0
            assert name not in ("WC", "PC") or float(element.get(name, "")) <= 1


def test_alto_holds_what_its_schema_asks_for() -> None:
    for document in (Document("b.pdf", {1: PAGE, 2: None, 3: record("x")}), HOSTILE):
        check_alto(ElementTree.fromstring(b"".join(readings_alto.render(document))))


def test_alto_places_words_and_the_blanks_between_them() -> None:
    root = ElementTree.fromstring(rendered(readings_alto.render, None, PAGE))
    page = root.find(f".//{ALTO}Page")
    assert page is not None
    assert page.attrib == {"ID": "page_2", "PHYSICAL_IMG_NR": "2", "WIDTH": "1000", "HEIGHT": "1400", "PC": "0.9"}
    line = root.find(f".//{ALTO}TextLine")
    assert line is not None
    assert line.get("BASELINE") == "10,65.0 130,66.2"
    first, blank, second = line
    assert [first.get(name) for name in ("HPOS", "VPOS", "WIDTH", "HEIGHT", "CONTENT", "WC")] == [
        "10",
        "40",
        "70",
        "30",
        "Invoice",
        "0.8",
    ]
    assert blank.attrib == {"HPOS": "80", "VPOS": "40", "WIDTH": "10"}
    assert second.get("CONTENT") == "2041"


# Tesseract's table.


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline=""), delimiter="\t", quoting=csv.QUOTE_NONE))


def test_the_table_has_tesseracts_columns_and_levels() -> None:
    found = rows(rendered(readings_tsv.render, PAGE, record("x", words=True)))
    assert tuple(found[0]) == readings_tsv.COLUMNS
    assert [row["level"] for row in found] == list("12345545555") + list("23455") + list("12345")
    assert tuple(found[0].values()) == ("1", "1", "0", "0", "0", "0", "0", "0", "1000", "1400", "-1", "")
    assert tuple(found[5].values()) == ("5", "1", "1", "1", "1", "2", "90", "40", "40", "30", "81", "2041")
    assert [row["text"] for row in found if row["level"] == "5"] == [*TEXT.split(), "x"]
    assert {row["page_num"] for row in found[-5:]} == {"2"}


def test_no_text_breaks_a_row_of_the_table() -> None:
    odd = record("x")
    odd["page"], odd["lines"] = [100, 100, 0], [[1, 1, 0.0, 0.0, [["a\u2028b\u00a0c", 0, 0, 9, 9, 50]]]]
    assert rows(rendered(readings_tsv.render, odd))[-1]["text"] == "a b c"
