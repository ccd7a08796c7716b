"""One run of scans, written in every format that places words, and searched."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

import cluster
from cluster import errors
from cluster.cli import search
from cluster.client import Run, report
from tests.kit.programs import ROOT

IMAGES = ROOT / "deploy" / "examples" / "images"
ITEMS = ["book.pdf#0001", "book.pdf#0002", "no%231.png"]


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path_factory.mktemp("scans")
    first, second = (image.open(IMAGES / name).convert("L") for name in ("invoice.png", "poem.png"))
    first.save(folder / "book.pdf", save_all=True, append_images=[second], resolution=150)
    first.save(folder / "no#1.png")
    (folder / "torn.jpg").write_bytes(b"\xff\xd8\xff torn")
    return folder


@pytest.fixture(scope="module")
def runs(scans: Path) -> Iterator[tuple[Run, Run]]:
    """One with the places of words, and one without."""
    with cluster.local(slots=2) as c:
        with_places = c.submit("ocr", scans, format="hocr")
        without = c.submit("ocr", scans / "no#1.png")
        assert (with_places.wait().state, without.wait().state) == ("done", "done")
        yield with_places, without


def words(path: Path) -> list[str]:
    with path.open(newline="") as stream:
        table = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [row["text"] for row in table if row["level"] == "5"]


def test_one_run_is_written_in_every_format_with_the_same_words(runs: tuple[Run, Run], tmp_path: Path) -> None:
    run, _ = runs
    for name in ("json", "jsonl", "csv", "text-folder", "hocr", "alto", "tsv", "sqlite"):
        run.write(tmp_path / name, name)
    texts = json.loads((tmp_path / "json").read_bytes())
    assert list(texts) == ITEMS
    lines = [json.loads(line) for line in (tmp_path / "jsonl").read_text().splitlines()]
    assert [(line["item"], line["page"]) for line in lines] == list(zip(ITEMS, [1, 2, None], strict=True))
    assert all(line["confidence"] > 80 and line["node"] and line["size"] for line in lines)
    with (tmp_path / "csv").open(newline="") as table:
        assert {row["item"]: row["text"] for row in csv.DictReader(table)} == texts
    assert (tmp_path / "text-folder" / "book.pdf.txt").read_text() == "\f".join(texts[item] for item in ITEMS[:2])
    assert sorted(path.name for path in (tmp_path / "tsv").iterdir()) == ["book.pdf.tsv", "no#1.png.tsv"]

    expected = words(tmp_path / "tsv" / "book.pdf.tsv")
    assert expected == " ".join(texts[item] for item in ITEMS[:2]).split()
    hocr = ElementTree.parse(tmp_path / "hocr" / "book.pdf.hocr")
    assert [one.text for one in hocr.iter() if one.get("class") == "ocrx_word"] == expected
    alto = ElementTree.parse(tmp_path / "alto" / "book.pdf.alto.xml")
    assert [one.get("CONTENT") for one in alto.iter() if one.get("CONTENT")] == expected

    done = CliRunner().invoke(search.command, ["invoice 2041", str(tmp_path / "sqlite"), "--json"])
    assert {(hit["document"], hit["page"]) for hit in json.loads(done.stdout)} == {("book.pdf", 1), ("no#1.png", 1)}


def test_a_pdf_is_written_beside_the_others_with_the_input(runs: tuple[Run, Run], scans: Path, tmp_path: Path) -> None:
    run, _ = runs
    with pytest.raises(errors.UsageError, match="writes copies of the input: give it as source"):
        run.write(tmp_path, "pdf")
    run.write(tmp_path, "pdf", source=scans)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["book.pdf", "no#1.png.pdf"]


def test_the_report_names_what_is_missing(runs: tuple[Run, Run], tmp_path: Path) -> None:
    run, _ = runs
    report.write(run, run.status(), tmp_path / "report.csv")
    with (tmp_path / "report.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [(row["item"], row["state"]) for row in rows] == [
        *((item, "done") for item in ITEMS),
        ("torn.jpg", "missing"),
    ]
    assert rows[-1]["reason"]


def test_a_run_without_places_says_with_what_to_submit_it(runs: tuple[Run, Run], tmp_path: Path) -> None:
    _, run = runs
    with pytest.raises(errors.UsageError, match=r"its words were not kept; submit it with --format .*hocr"):
        run.write(tmp_path / "hocr", "hocr")
    run.write(tmp_path / "texts", "text-folder")
    assert "Invoice number 2041" in (tmp_path / "texts" / "no#1.png.txt").read_text()
