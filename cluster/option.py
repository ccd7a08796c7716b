"""An option of a job: its name, type and limits, as the command line, a form and the job itself read them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cluster import errors

JSON_TYPES: Mapping[type, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


@dataclass(frozen=True)
class Option:
    """An option of a job. It reaches those of splitter, task, aggregator, finish, formats and ``why_unavailable`` that
    have a parameter of its name."""

    name: str
    type: type[str] | type[int] | type[float] | type[bool]
    default: Any
    help: str
    minimum: float | None = None
    maximum: float | None = None
    below: float | None = None
    """All numbers below this one are in range, and itself is not."""
    required: bool = False
    """A run cannot be submitted without."""
    choices: tuple[str, ...] = ()
    """All texts that it may be; any, where there are none."""
    repeats: bool = False
    """A text that may be given several times on the command line, and as a list in Python: joined with spaces."""
    file: Literal["", "may", "must"] = ""
    """Whether a text names a file of the machine that submits: any but the default, or where it looks like a path.
    A text of several lines is the content of one."""
    word: str = ""
    """Its name on the command line, where that is not ``name``: no parameter in Python is called ``from``."""

    @property
    def flag(self) -> str:
        """The option as written on the command line: ``--max-megapixels``."""
        return "--" + (self.word or self.name).replace("_", "-")

    def may_read(self, value: str) -> bool:
        """Whether a run with this value reads a file of the machine that submits it."""
        if not self.file or value in ("", self.default) or "\n" in value:
            return False
        return self.file == "must" or "/" in value or value.endswith(".toml") or Path(value).exists()

    @property
    def json_schema(self) -> dict[str, Any]:
        """The values that ``check`` takes, as JSON Schema: a form can be made from it."""
        kind = JSON_TYPES[self.type]
        may_be_left_out = self.default is None and not self.required
        schema: dict[str, Any] = {"type": [kind, "null"] if may_be_left_out else kind}
        schema["description"] = self.help
        if self.default is not None:
            schema["default"] = self.default
        if self.minimum is not None:
            schema["minimum"] = self.minimum
        if self.maximum is not None:
            schema["maximum"] = self.maximum
        if self.below is not None:
            schema["exclusiveMaximum"] = self.below
        if self.choices:
            schema["enum"] = [*self.choices, None] if may_be_left_out else [*self.choices]
        return schema

    def read(self, text: str) -> Any:
        """The value that ``requirement`` wrote as this text; "" is None."""
        return None if not text else text == "True" if self.type is bool else self.type(text)

    def check(self, value: Any) -> Any:
        """The value as this option's type; None stands for "not given" where that is the default.

        Raises:
            errors.UsageError: It has another type, is out of range, or none of the choices.
        """
        if value is None and self.default is None:
            return None
        if self.repeats and isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
            value = " ".join(value)
        right = isinstance(value, self.type) and (self.type is bool or not isinstance(value, bool))
        if self.type is float and isinstance(value, int) and not isinstance(value, bool):
            right = True
        if not right:
            raise errors.UsageError(f"{self.flag} is {value!r}; it must be of type {self.type.__name__}")
        if isinstance(value, str) and not _is_text(value):
            raise errors.UsageError(f"{self.flag} is {value!r}; it must be text in UTF-8")
        if isinstance(value, int | float) and not abs(value) < 2**63:  # neither too large nor NaN
            raise errors.UsageError(f"{self.flag} is {value!r}; it must be a number below 2**63")
        if self.minimum is not None and value < self.minimum:
            raise errors.UsageError(f"{self.flag} is {value!r}; it must be {self.minimum} or more")
        if self.maximum is not None and value > self.maximum:
            raise errors.UsageError(f"{self.flag} is {value!r}; it must be {self.maximum} or less")
        if self.below is not None and value >= self.below:
            raise errors.UsageError(f"{self.flag} is {value!r}; it must be below {self.below}")
        if self.choices and value not in self.choices:
            near = difflib.get_close_matches(value.lower(), self.choices, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise errors.UsageError(f"{self.flag} is {value!r}; it must be one of {', '.join(self.choices)}{hint}")
        return value


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
