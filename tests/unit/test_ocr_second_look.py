"""The engine auto, with engines that say what a test wants."""

from typing import Any

from tasks.ocr import second_look
from tasks.ocr.engines import Reading


class Said:
    """An engine that reads the same on each page."""

    def __init__(self, text: str, confidence: int) -> None:
        self.reading, self.calls, self.loads = Reading(text, confidence), 0, 0

    def __call__(self, page: Any, dpi: int, *, words: bool = False) -> Reading:
        self.calls += 1
        return self.reading

    def load(self) -> "Said":
        self.loads += 1
        return self


def read(first: Said, second: Said, pages: int = 1) -> str:
    engine = second_look.engine(first, second.load)
    return [engine(None, 300).text for _ in range(pages)][-1]  # type: ignore[arg-type]


def test_a_page_that_is_read_surely_is_read_once() -> None:
    second = Said("second", 99)
    assert read(Said("first", second_look.UNSURE), second) == "first"
    assert second.loads == 0


def test_a_page_that_is_read_unsurely_is_read_again() -> None:
    assert read(Said("first", second_look.UNSURE - 1), Said("second", 90)) == "second"


def test_the_surer_of_two_readings_is_taken() -> None:
    assert read(Said("first", 60), Said("second", 40)) == "first"


def test_the_second_engine_is_loaded_once() -> None:
    second = Said("second", 90)
    read(Said("first", 10), second, pages=3)
    assert (second.loads, second.calls) == (1, 3)
