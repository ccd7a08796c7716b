"""Encode rows as a card says: those that are predicted become what the training rows became."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from splitters.tables import columns, source, values
from splitters.tables.card import Card
from splitters.tables.columns import Values

ALIKE = {"true": "True", "True": "true", "false": "False", "False": "false"}
"""JSON and Python write these differently."""
FARTHEST = 1e18
"""Standard deviations from the mean of the training rows: a product of numbers that are farther leaves float32."""
Problems = dict[int, str]


class Encoder:
    """Encodes rows for what was made of a card's training rows.

    A method that takes ``problems`` enters there, by its number, each row that it cannot encode and leaves it all 0;
    without, it raises of the first one.
    """

    def __init__(self, card: Card) -> None:
        self._card = card
        self._columns = card["columns"]
        self._codes = [None if column["kind"] == "number" else _codes(column["values"]) for column in self._columns]
        self._mean = np.array([column.get("mean", 0.0) for column in self._columns])
        self._std = np.array([column.get("std", 1.0) for column in self._columns])

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> Self:
        """The encoder of a card.

        Raises:
            ValueError: It is none that ``splitters.tables`` makes.
        """
        try:
            return cls(cast(Card, card))
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"the card is damaged: {type(error).__name__}: {error}") from None

    @property
    def names(self) -> list[str]:
        """The columns that it takes; empty where it takes arrays."""
        return [column["name"] for column in self._columns]

    @property
    def numbers(self) -> list[str]:
        """Those of them that are numbers."""
        return [column["name"] for column in self._columns if column["kind"] == "number"]

    def columns(self, found: Mapping[str, Values], problems: Problems | None = None) -> NDArray[np.float32]:
        """Rows of named columns, in any order and with others beside them; of shape (rows, width).

        Texts are read as the splitter reads them. An unseen text of a category counts as missing.

        Raises:
            ValueError: A column is missing. Without ``problems``: a number is a text, infinite, or ``FARTHEST``.
        """
        if not self._columns:
            raise ValueError(f"the model takes {self._taken()}, not columns: give an .npz file with X")
        if missing := [name for name in self.names if name not in found]:
            there = source.no_such("column", missing[0], list(found), "the input")
            raise ValueError(f"{there}; of the model's columns {values.listed(missing)} {_is(missing)} not there")
        first = found[self.names[0]]
        raw = np.empty((len(first), len(self._columns)))
        told: Problems = {} if problems is None else problems
        for to, (name, codes) in enumerate(zip(self.names, self._codes, strict=True)):
            raw[:, to] = _numbers(found[name], name, told) if codes is None else _found(found[name], codes)
        self._find_far(raw, told)
        if problems is None and told:
            raise ValueError(f"row {min(told)}: {told[min(told)]}")
        raw[list(told)] = np.nan
        return columns.encode(raw, self._columns, self._mean, self._std)

    def array(self, X: NDArray[Any], problems: Problems | None = None) -> NDArray[Any]:
        """Rows of numbers, of shape (rows, *input_shape) or with channels last; of a table (rows, columns), in the
        card's order and with a category by its number there.

        Raises:
            ValueError: They have another shape. Without ``problems``: a number is infinite, or ``FARTHEST``.
        """
        if X.dtype.kind not in "fiub":
            raise ValueError(f"X is of dtype {X.dtype}: it must hold numbers")
        told: Problems = {} if problems is None else problems
        X = self._shaped(X)
        if self._card["dtype"] == "uint8":
            return self._bytes(X)
        X = X.astype(np.float64)
        for row in np.flatnonzero(np.isinf(X).reshape(len(X), -1).any(axis=1)).tolist():
            told.setdefault(row, "X has an infinite number")
        if self._columns:
            self._find_far(X, told)
        if problems is None and told:
            raise ValueError(f"row {min(told)}: {told[min(told)]}")
        X[list(told)] = np.nan
        if self._columns:
            return columns.encode(self._known(X), self._columns, self._mean, self._std)
        scaling = self._card["scaling"]
        if scaling is not None:
            wide = [1] * X.ndim
            wide[scaling["axis"]] = -1
            X = (X - np.reshape(scaling["mean"], wide)) / np.reshape(scaling["std"], wide)
        encoded: NDArray[np.float32] = np.nan_to_num(X, nan=0.0).astype(np.float32)
        return encoded

    def pictures(self, found: Iterable[bytes]) -> tuple[NDArray[np.uint8], Problems]:
        """Pictures as files, decoded as for training; and those that cannot be.

        Raises:
            ImportError: Pillow is not installed.
            ValueError: The model takes none.
        """
        from splitters.tables import picture_folders

        wanted = self._card["picture"]
        if wanted is None or self._card["dtype"] != "uint8":
            raise ValueError(f"the model takes {self._taken()}, and no pictures")
        size = wanted["width"], wanted["height"]
        rows, problems = [], {}
        for at, data in enumerate(found):
            picture, problem = picture_folders.decode(data, size, grey=wanted["grey"])
            if picture is None:
                problems[at] = problem
                picture = np.zeros((size[1], size[0], 1 if wanted["grey"] else 3), np.uint8)
            rows.append(np.moveaxis(picture.reshape(size[1], size[0], -1), -1, 0))
        return np.stack(rows) if rows else np.zeros((0, *self._card["input_shape"]), np.uint8), problems

    def _taken(self) -> str:
        shape = " x ".join(map(str, self._card["input_shape"]))
        return f"the columns {values.listed(self.names)}" if self._columns else f"arrays of {shape}"

    def _shaped(self, X: NDArray[Any]) -> NDArray[Any]:
        wanted = (len(self._columns),) if self._columns else tuple(self._card["input_shape"])
        if X.shape[1:] == wanted:
            return X
        if len(wanted) == 3 and X.ndim == 4 and (X.shape[3], *X.shape[1:3]) == wanted:
            return np.ascontiguousarray(np.moveaxis(X, -1, 1))
        if len(wanted) == 3 and wanted[0] == 1 and X[:1].size == wanted[1] * wanted[2]:
            return X.reshape(len(X), *wanted)
        raise ValueError(f"a row of X has the shape {X.shape[1:]}; the model takes {wanted}")

    def _bytes(self, X: NDArray[Any]) -> NDArray[np.uint8]:
        if X.dtype != np.uint8:
            whole = np.nan_to_num(X, nan=-1.0)
            if not ((whole >= 0) & (whole <= 255) & (whole == np.floor(whole))).all():
                raise ValueError("X must hold the bytes of pictures, whole numbers from 0 to 255")
        return X.astype(np.uint8)

    def _find_far(self, raw: NDArray[np.float64], told: Problems) -> None:
        """Enter rows with a number that no model can reckon with: such mark missing values in some files."""
        with np.errstate(over="ignore", invalid="ignore"):
            is_far = np.abs((raw - self._mean) / self._std) > FARTHEST
        for row, at in zip(*(places.tolist() for places in np.nonzero(is_far)), strict=True):
            if self._codes[at] is None:
                told.setdefault(row, f"{self._columns[at]['name']!r} is {raw[row, at]:g}, which is too large")

    def _known(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same, with NaN for the numbers of categories that are none."""
        for at, codes in enumerate(self._codes):
            if codes is not None:
                code = raw[:, at]
                known = (code >= 0) & (code < len(self._columns[at]["values"])) & (code == np.floor(code))
                raw[:, at] = np.where(known, code, codes.get("", np.nan))
        return raw


def _codes(known: Sequence[str | None]) -> dict[str, float]:
    """Text -> the number of its category; "" -> that of a missing one, NaN if there is none."""
    missing = next((float(at) for at, value in enumerate(known) if value is None), np.nan)
    codes = {value: float(at) for at, value in enumerate(known) if value is not None}
    codes |= {ALIKE[text]: code for text, code in codes.items() if text in ALIKE and ALIKE[text] not in codes}
    return {**dict.fromkeys(values.MISSING, missing), **codes}


def _found(held: Values, codes: Mapping[str, float]) -> NDArray[np.float64]:
    texts = [columns.category(one) for one in held.tolist()] if isinstance(held, np.ndarray) else held
    other = codes[""]
    return np.array([codes.get(text, other) for text in texts], np.float64)


def _numbers(held: Values, name: str, problems: Problems) -> NDArray[np.float64]:
    if isinstance(held, np.ndarray):
        numbers = held.astype(np.float64)
    else:
        numbers, is_text = values.numbers(held)
        for row in np.flatnonzero(is_text).tolist():
            problems.setdefault(row, f"{name!r} has {_short(held[row])}, which is no number")
    for row in np.flatnonzero(np.isinf(numbers)).tolist():
        problems.setdefault(row, f"{name!r} is infinite")
        numbers[row] = np.nan
    return numbers


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
