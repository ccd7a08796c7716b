"""Which sub-models can be asked for, and what is said of one that cannot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregators.submodels import spec


def test_parameters_are_read_and_the_others_have_defaults() -> None:
    asked = spec.parse("rf:trees=200, depth=12")
    assert dict(asked.parameters) == {"trees": 200, "depth": 12, "leaf": 1, "features": None}
    assert spec.parse("mlp:units=64x32").get("units") == (64, 32)
    assert spec.parse(" hgb ").get("rate") == 0.1


@pytest.mark.parametrize(
    "text", ["rf", "rf:trees=200,depth=12", "hgb:rate=0.0512345678,leaf=3", "mlp:units=64x32", "ridge:l2=0"]
)
def test_a_spec_is_written_as_it_is_read(text: str) -> None:
    assert str(spec.parse(text)) == text
    assert spec.parse(str(spec.parse(text))) == spec.parse(text)


def test_a_default_that_is_given_is_the_same_spec() -> None:
    assert spec.parse("rf:trees=100") == spec.parse("rf")
    assert str(spec.parse("rf:trees=100")) == "rf"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("svm", "no sub-model 'svm'; choose from rf, et, hgb, mlp, logreg, ridge, tree"),
        ("", "no sub-model ''"),
        ("rf:", "no parameter ''; it takes trees .how many; 100., depth"),
        ("rf:trees", "no parameter 'trees'; it takes"),
        ("rf:rate=1", "rf has no parameter 'rate=1'; it takes trees"),
        ("rf:trees=1,trees=2", "gives trees twice"),
        ("rf:trees=0", "trees of rf is '0'; it must be a whole number from 1 to 5,000"),
        ("rf:trees=1e3", "a whole number from 1"),
        ("rf:trees=-5", "a whole number from 1"),
        ("rf:trees=٣", "a whole number from 1"),
        ("rf:depth=513", "a whole number from 1 to 512"),
        ("rf:features=2", "a number from 0.001 to 1"),
        ("hgb:rate=nan", "rate of hgb is 'nan'; it must be a number"),
        ("hgb:rate=fast", "a number from 0.0001 to 1"),
        ("logreg:c=inf", "a number from 1e-06"),
        ("mlp:units=", "units of 1 to 8 layers"),
        ("mlp:units=0x4", "at least 1 unit"),
        ("mlp:units=4x4x4x4x4x4x4x4x4", "units of 1 to 8 layers"),
        ("rf:" + "trees=1," * 100, "at most 200 characters"),
    ],
)
def test_what_cannot_be_asked_for_is_told_with_what_can(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        spec.parse(text)


@given(text=st.text(max_size=60) | st.from_regex(r"(rf|mlp|hgb):[a-z]{1,8}=[-0-9.ex]{0,9}", fullmatch=True))
def test_any_text_is_read_or_refused_with_a_sentence(text: str) -> None:
    try:
        asked = spec.parse(text)
    except ValueError:
        return
    assert spec.parse(str(asked)) == asked


def test_kinds_are_for_classes_or_numbers_or_both() -> None:
    spec.check(spec.parse("rf"), "regression")
    with pytest.raises(
        ValueError, match="logreg is for classification, and this is regression; choose from rf, et, hgb"
    ):
        spec.check(spec.parse("logreg"), "regression")
    with pytest.raises(ValueError, match="ridge is for regression, and this is classification"):
        spec.check(spec.parse("ridge"), "classification")
