"""Boxes of a map of probabilities, made up: no weights."""

import numpy as np
import pytest

pytest.importorskip("cv2")
from tasks.ocr.ppocr import boxes


def _map(*cores: tuple[int, int, int, int], sure: float = 0.9) -> np.ndarray:
    found = np.zeros((160, 320), np.float32)
    for left, top, right, bottom in cores:
        found[top:bottom, left:right] = sure
    return found


def test_a_core_becomes_a_box_with_a_margin() -> None:
    [box] = boxes.of(_map((100, 60, 200, 80)), 320, 160)
    # 100 x 20 grow by 100 * 20 * 1.6 / 240 = 13.3 on each side.
    assert box == pytest.approx(np.array([[86.7, 46.7], [213.3, 46.7], [213.3, 93.3], [86.7, 93.3]]), abs=2)


def test_boxes_are_in_pixels_of_the_page() -> None:
    [small] = boxes.of(_map((100, 60, 200, 80)), 320, 160)
    [large] = boxes.of(_map((100, 60, 200, 80)), 640, 480)
    assert large == pytest.approx(small * (2, 3), abs=0.01)


def test_what_is_unsure_or_tiny_is_no_text() -> None:
    assert len(boxes.of(_map((100, 60, 200, 80), sure=0.4), 320, 160)) == 0
    assert len(boxes.of(_map((100, 60, 102, 61)), 320, 160)) == 0
    assert boxes.of(_map(), 320, 160).shape == (0, 4, 2)


def test_a_box_at_the_edge_stays_on_the_page() -> None:
    [box] = boxes.of(_map((0, 0, 100, 20)), 320, 160)
    assert box.min() == 0
    assert box[:, 0].max() < 320


def test_the_piece_of_a_sloping_box_is_straight() -> None:
    import cv2

    page = np.full((200, 300, 3), 255, np.uint8)
    corners = np.array([[50, 60], [250, 100], [244, 130], [44, 90]], np.float32)
    cv2.fillPoly(page, [corners.astype(np.int32)], (0, 0, 0))
    piece = boxes.piece(page, corners)
    assert piece.shape[:2] == (31, 204)
    assert piece[4:-4, 4:-4].max() < 40


def test_a_tall_piece_is_turned_to_be_read() -> None:
    page = np.zeros((100, 100, 3), np.uint8)
    page[:50] = 255
    piece = boxes.piece(page, np.array([[40, 10], [50, 10], [50, 90], [40, 90]], np.float32))
    assert piece.shape[:2] == (10, 80)
    assert piece[:, :30].min() == 255, "the upper end is the beginning"
    assert piece[:, -30:].max() == 0


@pytest.mark.parametrize("angle", [-30, -5, 0, 5, 30])
def test_corners_begin_at_the_top_left(angle: float) -> None:
    import cv2

    corners = boxes.ordered(np.asarray(cv2.boxPoints(((100, 100), (80, 20), angle)), np.float32))
    turn = np.deg2rad(angle)
    along, down = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    expected = [(100, 100) + x * along + y * down for x, y in ((-40, -10), (40, -10), (40, 10), (-40, 10))]
    assert corners == pytest.approx(np.array(expected), abs=0.01)
