"""What is made once, when it is first asked for, whichever threads ask."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, Self, TypeVar, overload

Made = TypeVar("Made")


class once(functools.cached_property[Made]):  # noqa: N801 - used as a decorator
    """``functools.cached_property``, which since Python 3.12 makes several where threads ask at a time."""

    def __init__(self, make: Callable[[Any], Made]) -> None:
        super().__init__(make)
        self._making = threading.RLock()

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> Made: ...
    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        """The value; only asked until it is made."""
        with self._making:
            return super().__get__(instance, owner)
