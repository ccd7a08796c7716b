"""The order in which boxes of text are read."""

import time
from collections.abc import Mapping

from tasks.ocr.ppocr import order
from tasks.ocr.ppocr.order import Extent


def _texts(boxes: Mapping[str, tuple[float, float, float, float]]) -> list[list[list[str]]]:
    names, extents = list(boxes), [Extent(*box) for box in boxes.values()]
    return [[[names[one] for one in line] for line in block] for block in order.blocks(extents)]


def test_boxes_side_by_side_are_one_line() -> None:
    found = _texts({"price": (300, 12, 360, 31), "item": (10, 10, 200, 30), "next": (10, 40, 200, 60)})
    assert found == [[["item", "price"], ["next"]]]


def test_a_sloping_line_is_one_line() -> None:
    found = _texts({"a": (0, 0, 90, 20), "b": (100, 8, 190, 28), "c": (200, 16, 290, 36), "d": (0, 30, 90, 50)})
    assert found == [[["a", "b", "c"], ["d"]]]


def test_lines_that_slope_by_their_height_are_told_apart() -> None:
    boxes = {f"{line}{at}": (100.0 * at, 8.0 * at + 30 * line, 100.0 * at + 90, 8.0 * at + 30 * line + 20)
             for line in range(3) for at in range(5)}  # fmt: skip
    assert _texts(boxes) == [[[f"{line}{at}" for at in range(5)] for line in range(3)]]


def test_columns_of_text_are_read_one_after_the_other() -> None:
    boxes = {}
    for at in range(5):
        boxes[f"left {at}"] = (0, 30 * at, 300, 30 * at + 20)
        boxes[f"right {at}"] = (340, 30 * at + 3, 640, 30 * at + 23)
    assert _texts(boxes) == [[[f"{side} {at}"] for at in range(5)] for side in ("left", "right")]


def test_columns_below_a_heading_are_found() -> None:
    boxes = {"heading": (0.0, 0.0, 640.0, 40.0)}
    for at in range(5):
        boxes[f"left {at}"] = (0, 100 + 30 * at, 300, 120 + 30 * at)
        boxes[f"right {at}"] = (340, 100 + 30 * at, 640, 120 + 30 * at)
    assert [len(block) for block in _texts(boxes)] == [1, 5, 5]


def test_a_table_of_short_cells_is_read_line_by_line() -> None:
    boxes = {}
    for at in range(6):
        boxes[f"item {at}"] = (0, 30 * at, 300, 30 * at + 20)
        boxes[f"price {at}"] = (400, 30 * at, 440, 30 * at + 20)
    assert _texts(boxes) == [[[f"item {at}", f"price {at}"] for at in range(6)]]


def test_a_gap_between_lines_ends_a_paragraph() -> None:
    extents = [Extent(0, top, 100, top + 20) for top in (0, 25, 50, 120, 145)]
    assert order.paragraphs(extents, [[at] for at in range(5)]) == [0, 0, 0, 1, 1]


def test_no_boxes_are_no_lines() -> None:
    assert [line for block in order.blocks([]) for line in block] == []


def test_columns_with_paragraphs_at_the_same_height_stay_columns() -> None:
    boxes = {}
    for at in range(8):
        top = 30 * at + 60 * (at > 3)
        boxes[f"left {at}"] = (0, top, 300, top + 20)
        boxes[f"right {at}"] = (340, top, 640, top + 20)
    assert _texts(boxes) == [[[f"{side} {at}"] for at in range(8)] for side in ("left", "right")]


def test_three_columns_are_read_from_left_to_right() -> None:
    boxes = {}
    for at in range(6):
        for side in range(3):
            boxes[f"{side}.{at}"] = (340 * side, 30 * at, 340 * side + 300, 30 * at + 20)
    assert _texts(boxes) == [[[f"{side}.{at}"] for at in range(6)] for side in range(3)]


def test_a_thousand_boxes_are_put_in_order_within_a_second() -> None:
    extents = [Extent(200 * (at % 5), 40 * (at // 5), 200 * (at % 5) + 30, 40 * (at // 5) + 20) for at in range(1000)]
    begun = time.process_time()
    [block] = order.blocks(extents)
    assert time.process_time() - begun < 1
    assert len(block) == 200
