"""Pictures on the page: our own WebP of what was sent; originals only to be kept."""

from __future__ import annotations

import io
import os
import queue
import secrets
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from cluster.client.run import Belongs
from cluster.roles import Role
from cluster.web import pictures
from cluster.web.pictures import Pictures
from tests.kit import pdfs
from tests.kit.pages import Page, Visitor

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("pypdfium2")
HOSTILE = (
    "<img src=x onerror=alert(1)>.png",
    '"><script>alert(1)</script>.png',
    "{{7*7}}#1 100%25?.png",
    "a\u202egnp.exe",
)


def picture(form: str = "PNG", size: tuple[int, int] = (400, 300), mode: str = "RGB", colour: object = "red") -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, colour).save(out, form)
    return out.getvalue()


def sent(page: Page, files: Mapping[str, bytes], owner: str = "maria") -> str:
    """A run of an upload with these files."""
    upload = page.web.spool.begin(owner)
    for name, data in files.items():
        upload.put(name, data)
    upload.close()
    run = f"ocr-{secrets.token_hex(4)}"
    belongs = Belongs(owner, upload=upload.id)
    page.web.client.stores.ledger.runs.create(run, "ocr", "2", {}, "hub:1", belongs=belongs)
    return run


@pytest.fixture(scope="module")
def maria(page: Page) -> Visitor:
    return page.visitor(Role.SUBMITTER, "maria")


def asked(visitor: Visitor, run: str, item: str, **query: str) -> httpx.Response:
    return visitor.ask("GET", f"/runs/{run}/picture/{quote(item)}", params=query)


def shown(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/webp"
    return Image.open(io.BytesIO(answer.content), formats=["WEBP"])


def test_a_picture_is_shown_as_a_small_webp_of_ours(page: Page, maria: Visitor) -> None:
    run = sent(page, {"a/b.bmp": picture("BMP", (4000, 2000)), "c.tif": picture("TIFF", (10, 30))})
    assert shown(asked(maria, run, "a/b.bmp")).size == (1600, 800)
    assert shown(asked(maria, run, "a/b.bmp", size="thumb")).size == (96, 48)
    assert shown(asked(maria, run, "c.tif", turn="90")).size == (30, 10)
    assert shown(asked(maria, run, "a/b.bmp", size="face", box="500,500,500,400")).size == (160, 160)


def test_a_page_of_a_pdf_is_shown_and_one_that_is_not_there_is_told(page: Page, maria: Visitor) -> None:
    run = sent(page, {"scan.pdf": pdfs.scan("one", "two")})
    assert max(shown(asked(maria, run, "scan.pdf#0002")).size) == 1600
    answer = asked(maria, run, "scan.pdf#0003")
    assert answer.status_code == 422
    assert answer.json()["detail"] == "cannot be shown: has no page 3"


def test_a_picture_in_an_archive_is_shown(page: Page, maria: Visitor) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("in/a#1.png", picture(size=(40, 30)))
        archive.writestr("b.pdf", pdfs.scan("one"))
    run = sent(page, {"phone.zip": out.getvalue()})
    assert shown(asked(maria, run, "phone.zip/in/a%231.png")).size == (40, 30)
    assert max(shown(asked(maria, run, "phone.zip/b.pdf#0001")).size) == 1600
    answer = asked(maria, run, "phone.zip/c.png")
    assert answer.json()["detail"] == "cannot be shown: is not in its archive by the name 'c.png'"


def test_what_was_made_is_made_once_and_asked_for_again(page: Page, maria: Visitor) -> None:
    run = sent(page, {"once.png": picture(colour="blue"), "twice.png": picture(colour="blue")})
    first = asked(maria, run, "once.png")
    before = page.web.pictures._made
    assert asked(maria, run, "twice.png").content == first.content
    assert page.web.pictures._made == before
    again = maria.ask("GET", f"/runs/{run}/picture/once.png", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "the file is empty"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "not a picture of a known kind"),
        (picture()[:60], "damaged"),
        (picture("PNG", (13_400, 13_400), "1", 1), "exceeds limit of 178956970 pixels"),
    ],
    ids=["empty", "svg", "torn", "bomb"],
)
def test_what_cannot_be_shown_is_told_with_the_reason(page: Page, maria: Visitor, data: bytes, why: str) -> None:
    run = sent(page, {"bad.png": data})
    answer = asked(maria, run, "bad.png")
    assert answer.status_code == 422
    assert why in answer.json()["detail"]


def test_a_picture_that_takes_too_much_memory_costs_no_other(
    page: Page, maria: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MEMORY_BYTES", 300 * 2**20)
    run = sent(page, {"bomb.png": picture("PNG", (9000, 9000), "P", 1), "good.png": picture()})
    answer = asked(maria, run, "bomb.png")
    assert answer.status_code == 422
    assert answer.json()["detail"] == "cannot be shown: takes more than 300 MiB of memory to show"
    assert shown(asked(maria, run, "good.png")).size == (400, 300)


@pytest.mark.parametrize("name", HOSTILE)
def test_items_of_any_name_are_shown_and_kept(page: Page, maria: Visitor, name: str) -> None:
    from splitters import page_names

    item = page_names.document(name)
    run = sent(page, {name: picture()})
    assert shown(asked(maria, run, item)).size == (400, 300)
    kept = maria.ask("GET", f"/runs/{run}/original/{quote(item)}")
    assert kept.content == picture()


@pytest.mark.parametrize("name", ["x.svg", "x.html", "both.jpg"])
def test_an_original_is_only_ever_kept_never_shown(page: Page, maria: Visitor, name: str) -> None:
    data = picture("JPEG") + b"<script>alert(1)</script>"
    run = sent(page, {name: data})
    answer = maria.ask("GET", f"/runs/{run}/original/{name}")
    assert answer.content == data
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment; filename")
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("item", ["../order.jsonl", "..%2f..%2forder.jsonl", "/etc/passwd", "order.jsonl", "a" * 5000])
def test_nothing_but_what_was_sent_is_given(page: Page, maria: Visitor, item: str) -> None:
    run = sent(page, {"a.png": picture()})
    for kind in ("picture", "original"):
        assert maria.ask("GET", f"/runs/{run}/{kind}/{item}").status_code in (404, 405)


def test_a_picture_of_somebody_else_and_of_the_command_line_is_not_found(page: Page, maria: Visitor) -> None:
    other = sent(page, {"a.png": picture()}, "jan")
    assert asked(maria, other, "a.png").status_code == 404
    run = f"ocr-{secrets.token_hex(4)}"
    page.web.client.stores.ledger.runs.create(run, "ocr", "2", {}, "hub:1")
    answer = asked(maria, run, "a.png")
    assert answer.status_code == 404
    assert "not on this page's machine" in answer.json()["detail"]


@pytest.mark.parametrize("query", [{"size": "huge"}, {"turn": "45"}, {"box": "1,2,3"}, {"box": "-1,2,3,4"}])
def test_a_query_that_is_none_is_told(page: Page, maria: Visitor, query: dict[str, str]) -> None:
    run = sent(page, {"a.png": picture()})
    assert asked(maria, run, "a.png", **query).status_code == 422


def test_the_oldest_pictures_go_where_there_are_too_many(tmp_path: Path) -> None:
    made = Pictures(tmp_path)
    for number in range(3):
        kept = tmp_path / "aa" / f"{number}.webp"
        kept.parent.mkdir(exist_ok=True)
        kept.write_bytes(b"x" * 10)
        os.utime(kept, (number, number))
    made.trim(20)
    assert sorted(path.name for path in tmp_path.glob("??/*")) == ["1.webp", "2.webp"]
    made.close()


def test_a_picture_made_while_its_file_is_forgotten_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / f"{'a' * 64}.png"
    source.write_bytes(picture())
    made = Pictures(tmp_path / "pictures")
    ask = made._ask

    def forgotten_meanwhile(*given: Any) -> Any:
        answer = ask(*given)
        source.unlink()
        made.forget(["a" * 64])
        return answer

    monkeypatch.setattr(made, "_ask", forgotten_meanwhile)
    try:
        assert made.webp(source, pictures.Wanted(96))
    finally:
        made.close()
    assert list((tmp_path / "pictures").glob("??/*")) == []


def test_a_kill_leaves_no_picture_that_is_not_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    kept = tmp_path / "aa" / f"{'a' * 64}-1-96-0.webp"
    with monkeypatch.context() as kill:
        kill.setattr(Path, "replace", killed)
        kill.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            pictures._put(kept, b"webp", tmp_path)
    assert len(list(kept.parent.iterdir())) == 1
    made = Pictures(tmp_path)
    made.forget(["a" * 64])
    made.close()
    assert list(kept.parent.iterdir()) == []


def test_a_picture_that_gets_no_turn_is_to_be_loaded_again(
    page: Page, maria: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page.web.pictures, "_children", queue.LifoQueue())
    monkeypatch.setattr(pictures, "WAIT_S", 0.1)
    answer = asked(maria, sent(page, {"busy.png": picture(colour=(1, 2, 3))}), "busy.png")
    assert (answer.status_code, answer.headers.get("retry-after")) == (503, "5"), answer.text
    assert "load it again" in answer.json()["detail"]
