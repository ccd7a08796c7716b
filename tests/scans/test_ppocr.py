"""PP-OCR with its weights; skipped where these are not."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import cast

import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont

pytest.importorskip("cv2")
pytest.importorskip("onnxruntime")
from aggregators import readings
from splitters import Item
from tasks import ocr
from tasks.ocr import second_look
from tests.kit import ppocr
from tests.kit.programs import RedisServer, Worker, cluster

LINES = {"Invoice 2041": (60, 40), "Total 12.50 EUR": (60, 140), "Thank you": (400, 240)}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return ppocr.lay_out(tmp_path_factory.mktemp("ppocr"), ppocr.weights())


def drawn(turn: int = 0, *, blurred: bool = False) -> bytes:
    """A page with a few lines; where each begins is its place in ``LINES``."""
    page = Image.new("RGB", (720, 320), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(40)
    for text, place in LINES.items():
        draw.text(place, text, "black", font)
    if blurred:
        page = page.resize((144, 64), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(0.8)).resize(page.size)
    out = io.BytesIO()
    page.rotate(-turn, expand=True).save(out, "PNG")
    return out.getvalue()


def read(weights: str, data: bytes, **options: object) -> readings.Reading:
    asked = {"engine": "ppocr", "model": weights, **options}
    part = ocr.read_pages([Item("page.png", data)], **asked)  # type: ignore[arg-type]
    assert part.failures == {}
    readings.check(part.value)
    return cast(readings.Reading, part.value["page.png"])


def test_what_is_drawn_is_read_line_by_line(weights: str) -> None:
    found = read(weights, drawn())
    assert found["text"].splitlines() == list(LINES)
    assert found["confidence"] > 80


def test_words_are_where_they_were_drawn(weights: str) -> None:
    font = ImageFont.load_default(40)
    expected = {}
    for text, (left, top) in LINES.items():
        for word in text.split():
            x = left + font.getlength(text[: text.index(word)])
            expected[word] = (x, top, x + font.getlength(word), top + 50)
    found = {word[0]: word[1:5] for line in read(weights, drawn(), words=True)["lines"] for word in line[4]}
    assert found.keys() == expected.keys()
    for word, box in expected.items():
        assert found[word] == pytest.approx(box, abs=16), word


def test_a_page_upside_down_is_turned(weights: str) -> None:
    found = read(weights, drawn(turn=180), rotate=True)
    assert found["turn"] == 180
    assert found["text"].splitlines() == list(LINES)


def test_auto_reads_a_hard_page_by_the_engine_that_is_surer(weights: str) -> None:
    data = drawn(blurred=True)
    plain, other = (read(weights, data, engine=engine, **more)
                    for engine, more in (("tesseract", {"model": None}), ("auto", {})))  # fmt: skip
    assert plain["confidence"] < second_look.UNSURE
    assert other["text"].splitlines() == list(LINES)
    assert other["confidence"] > plain["confidence"]


def test_a_blank_page_has_no_text(weights: str) -> None:
    out = io.BytesIO()
    Image.new("L", (400, 300), 255).save(out, "PNG")
    found = read(weights, out.getvalue(), words=True)
    assert (found["text"], found["confidence"], found["lines"]) == ("", 0, [])


def test_weights_that_are_cut_off_cannot_be_used(tmp_path: Path) -> None:
    place = Path(ppocr.lay_out(tmp_path / "cut", ppocr.weights()))
    detector = place / "detector.onnx"
    detector.write_bytes(detector.read_bytes()[:-1000])
    assert "it is damaged" in ocr.why_unavailable(lang="eng", engine="ppocr", model=str(place))


@pytest.mark.timeout(120)
def test_nodes_fetch_the_weights_and_read_with_them(tmp_path: Path) -> None:
    ppocr.weights()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "page.png").write_bytes(drawn())
    with RedisServer(tmp_path / "redis") as server, Worker("one", server.url, tmp_path, "-c", "1"):
        at = ("--broker", server.url)
        none = cluster("submit", "--job", "ocr", "--engine", "ppocr", tmp_path / "in", *at)
        assert none.returncode == 2
        assert "no bundle 'ppocr' (there are: none); `cluster models import ppocr` makes" in none.stderr
        wheels = ppocr.wheels()
        made = cluster("models", "import", "ppocr", *([wheels] if wheels else []), *at)
        assert made.returncode == 0, made.stderr
        assert "ppocr:1" in made.stdout
        done = cluster("submit", "--job", "ocr", "--engine", "ppocr", tmp_path / "in", *at)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["page.png"].splitlines() == list(LINES)
