"""A client of a gateway for tests: one connection, its token with each request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Self

import httpx


class Asking:
    """Asks a gateway, as ``with Asking(url, token) as asking``."""

    def __init__(self, url: str, token: str, **options: Any) -> None:
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def infer(self, model: str, rows: Sequence[Sequence[float]], **more: Any) -> httpx.Response:
        """Ask for a tensor of these rows."""
        data = [number for row in rows for number in row]
        tensor = {"name": "x", "shape": [len(rows), len(rows[0])], "datatype": "FP32", "data": data}
        return self.http.post(f"/v2/models/{model}/infer", json={"inputs": [tensor], **more})

    def predict(self, model: str, body: bytes, content_type: str = "image/jpeg", **headers: str) -> httpx.Response:
        """Ask for one item."""
        sent = {"Content-Type": content_type, **headers}
        return self.http.post(f"/v1/models/{model}/predict", content=body, headers=sent)


def error_of(response: httpx.Response) -> str:
    """What the gateway says is wrong: JSON with "error" alone."""
    assert response.headers["content-type"] == "application/json"
    said = json.loads(response.content)
    assert list(said) == ["error"]
    text: str = said["error"]
    return text
