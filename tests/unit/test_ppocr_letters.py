"""Letters and words of the recogniser's scores, made up: no weights."""

import numpy as np
import pytest

from tasks.ocr.ppocr import letters
from tasks.ocr.ppocr.letters import Letter

CHARACTERS = ["a", "b", "c", " "]


def _scores(columns: str) -> np.ndarray:
    """One column a sign: a letter, a blank as _, or none as a dot; each with 0.9."""
    found = np.full((len(columns), 5), 0.02, np.float32)
    for at, sign in enumerate(columns):
        found[at, ".abc_".index(sign)] = 0.9
    return found


def _letters(columns: str) -> list[Letter]:
    return letters.read(_scores(columns), CHARACTERS)


def _texts(columns: str) -> list[str]:
    return [word.text for word in letters.words(_letters(columns), len(columns))]


def test_a_letter_over_several_columns_counts_once() -> None:
    assert "".join(letter.text for letter in _letters(".aab.cc.")) == "abc"


def test_a_letter_after_none_counts_again() -> None:
    assert "".join(letter.text for letter in _letters(".a.aa.")) == "aa"


def test_a_letter_tells_where_and_how_sure() -> None:
    [letter] = _letters("...b")
    assert (letter.text, letter.column) == ("b", 3)
    assert letter.confidence == pytest.approx(0.9)


def test_words_end_at_blanks() -> None:
    assert _texts("a.b._.c.") == ["ab", "c"]


def test_blanks_alone_are_no_word() -> None:
    assert _texts("_._.") == []
    assert _texts("....") == []


def test_a_wide_gap_in_a_line_parts_words() -> None:
    assert _texts("a.b.c.a........b.c.a.b") == ["abca", "bcab"]


def test_letters_a_little_apart_stay_one_word() -> None:
    assert _texts("a.b.c...a.b.c") == ["abcabc"]


def test_a_word_reaches_half_a_letter_beyond_its_peaks() -> None:
    [word] = letters.words(_letters("....a...b...c...."), 17)
    assert (word.begin, word.end) == (2.5, 14.5)


def test_a_word_is_as_sure_as_all_its_letters_together() -> None:
    [word] = letters.words(_letters("a.b.c"), 5)
    assert word.confidence == 73  # 0.9 * 0.9 * 0.9


def test_words_do_not_overlap_and_stay_in_the_line() -> None:
    first, second = letters.words(_letters("a...b_c...a"), 11)
    assert 0 == first.begin < first.end <= second.begin < second.end == 11
