"""The figures of the benchmark on faces mean what their names say."""

from __future__ import annotations

from tests.benchmarks.faces import Answer, Answers, Split, rates, splits

ALBUM = {f"s{who}": [f"s{who}/{number}.pgm" for number in range(10)] for who in range(20)}


def test_a_split_shows_nothing_that_was_learnt() -> None:
    made = splits(ALBUM, 3)
    assert made == splits(ALBUM, 3)
    assert made[0] != made[1]
    for split in made:
        assert (len(split.learnt), len(split.known), len(split.strangers)) == (75, 75, 50)
        assert not set(split.learnt) & set(split.known)
        assert {who for who, _ in split.learnt} == {who for who, _ in split.known}
        assert not {who for who, _ in split.learnt} & {who for who, _ in split.strangers}


def test_rates_are_of_all_pictures_also_those_without_a_face() -> None:
    split = Split([], [("a", "1"), ("a", "2"), ("b", "3"), ("b", "4")], [("c", str(at)) for at in range(40)])
    known = [Answer("a", 0.9, True), Answer("b", 0.9, True), Answer("b", 0.4, False), Answer("", -9.0)]
    strangers = [Answer("a", 0.8, True), Answer("b", 0.5, True), *[Answer("a", 0.45)] + [Answer("", -9.0)] * 37]
    assert rates(split, Answers(known, strangers)) == {
        "rank-1": 0.5,
        "named rightly, 5 % of strangers named": 0.25,  # the third of 40 strangers has 0.45
        "named rightly at its own threshold": 0.25,
        "strangers named at its own threshold": 0.05,
    }
