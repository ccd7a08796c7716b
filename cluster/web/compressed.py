"""Which answers travel compressed: pages and their data, and files that hold nothing secret.

Answers to actions are sent as they are: these tell secrets, as the line with the broker's password, a link or a token.
So are downloads and pictures, most of which are compressed already, and events, which must not wait.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

MIN_BYTES = 1000
"""Less than that fits into one packet either way."""
LEVEL = 4
OWN_SITES = ("same-origin", "none")
"""Of ``Sec-Fetch-Site``: our own pages, and somebody who types an address."""


def takes_gzip(headers: Mapping[str, str]) -> bool:
    """Whether one who asks with these headers reads gzip."""
    return "gzip" in (one.partition(";")[0].strip() for one in headers.get("accept-encoding", "").split(","))


def answered(headers: Mapping[str, str], answer: Response) -> Response:
    """The same answer, compressed where the one who asks with these headers reads that, and it is worth it.

    What another site's page asks for stays as it is: such a page chooses words that stand in the answer, as of a
    search, and whoever listens to the line could learn from the lengths what stands beside them, through TLS (BREACH).
    Browsers that do not say who has sent them are on plain HTTP, where a listener reads everything anyway.
    """
    data = bytes(answer.body)
    if len(data) >= MIN_BYTES:
        answer.headers["Vary"] = "Accept-Encoding, Sec-Fetch-Site"
        if takes_gzip(headers) and headers.get("sec-fetch-site", "none") in OWN_SITES:
            answer.body = gzip.compress(data, LEVEL, mtime=0)
            answer.headers["Content-Encoding"] = "gzip"
            answer.headers["Content-Length"] = str(len(answer.body))
    return answer
