"""The functions of a job: named before they are imported, and called with the options that they take."""

from __future__ import annotations

import functools
import inspect
import pkgutil
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@functools.cache
def _load(path: str) -> Any:
    return pkgutil.resolve_name(path)


@dataclass(frozen=True)
class Lazy:
    """A function of a job by its name, ``module:function``: the module is imported when the function is first used.

    So a machine that only submits, or shows a form, can know the job without the libraries of its task.
    """

    path: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.]+:\w+", self.path):
            raise ValueError(f"{self.path!r} must be of the form module:function")

    @property
    def function(self) -> Callable[..., Any]:
        """The function itself.

        Raises:
            ImportError: The module, or a module that it imports, is not installed.
            AttributeError: The module has no such function.
        """
        function: Callable[..., Any] = _load(self.path)
        return function

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.function)

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call the function, which is imported first if need be."""
        return self.function(*args, **options)


def path_of(function: Callable[..., Any]) -> str:
    """Where a function stands, as ``module:function``."""
    if isinstance(function, Lazy):
        return function.path
    return f"{function.__module__}:{getattr(function, '__qualname__', type(function).__qualname__)}"


def parameters(function: Callable[..., Any]) -> set[str]:
    """Return the names of a function's parameters."""
    try:
        return set(inspect.signature(function).parameters)
    except ValueError:  # one of Python's own that does not tell, as max
        return set()


def taken(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that the function takes."""
    names = parameters(function)
    return {name: value for name, value in options.items() if name in names}
