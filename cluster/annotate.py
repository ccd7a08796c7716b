"""x"""

from typing import Any


def write(*a: Any, **k: Any) -> Any:
    return []
