"""Models as HTML: Jinja's templates, with everything escaped, and the few ways in which figures are written."""

from __future__ import annotations

import functools
import shlex
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from starlette.responses import HTMLResponse, Response

from cluster.roles import Role
from cluster.web import access, static_files

if TYPE_CHECKING:
    import jinja2
    import markupsafe
    from pydantic import BaseModel
    from starlette.requests import Request

    from cluster.web.context import Web
    from cluster.web.problems import ProblemBody
    from cluster.web.routes import Asked

BIDI = {
    ord(char): f"\\u{ord(char):04x}" for char in "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
}
"""Characters that turn the direction of text: a name with one would look like another name."""
THEMES = ("light", "dark")
"""What a browser's cookie ``theme`` may say; without one the browser's own setting holds."""


def prepare() -> None:
    """Load what the first page needs, so that nobody waits for it."""
    for template in ("runs.html", "submit.html"):
        templates().get_template(template)


def page(asked: Asked, template: str, it: BaseModel) -> Response:
    """A page for people."""
    text = _text(template, asked.request, it, who=asked.who, cluster=asked.web.top_line(), query=asked.query)
    return HTMLResponse(text)


def problem(web: Web, request: Request, body: ProblemBody, headers: dict[str, str]) -> Response:
    """A problem as a page; to somebody who has not entered, the page that says how, to a guest the one of links."""
    if body.status == 401:
        people = body.detail.removesuffix(access.BY_PROGRAM)
        template = "shared.html" if body.detail == access.ENDED else "enter.html"
        return door(request, body.model_copy(update={"detail": people}), headers, template)
    who = getattr(request.state, "who", None)
    return HTMLResponse(_text("problem.html", request, body, who=who), body.status, headers)


def door(request: Request, body: ProblemBody, headers: dict[str, str], template: str = "enter.html") -> Response:
    """A page for somebody who has not entered: by default the one on which one enters by a link."""
    return HTMLResponse(_text(template, request, body), body.status, headers)


def _text(template: str, request: Request, it: BaseModel, **more: Any) -> str:
    theme = request.cookies.get("theme")
    given = {"who": None, "cluster": None, "query": None, **more}
    return templates().get_template(template).render(
        it=it, role=Role, path=request.url.path, theme=theme if theme in THEMES else None, **given
    )  # fmt: skip


BROWSERS = (
    ("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"),
)  # fmt: skip
"""A sign in how a browser names itself -> its name; the first one counts, as each names others besides."""
SYSTEMS = (
    ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"), ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)  # fmt: skip


def is_for_people(request: Request) -> bool:
    """Whether a browser shows the answer, rather than a program reads it."""
    path = request.url.path
    return "text/html" in request.headers.get("accept", "") and not path.startswith("/api/") and ".json" not in path


def plain(text: object) -> str:
    """Somebody else's text with what turns its direction made visible. Jinja escapes it besides."""
    return str(text).translate(BIDI)


def count(number: int | float | None) -> str:
    """A count: "10,000"; "?" for one that is not known yet."""
    return "?" if number is None else f"{number:,.0f}"


def counted(number: int, word: str) -> str:
    """A count of things: "1 picture", "10,000 pictures"."""
    return f"{count(number)} {word}{'' if number == 1 else 's'}"


def size(number: float) -> str:
    """Bytes: "2.6 GB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def duration(seconds: float | None) -> str:
    """Seconds: "0.4 s", "1:32 min", "2:05 h"; "?" for what is not known."""
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02} h"


def short(seconds: float) -> str:
    """Seconds on an axis: "40 s", "10 min", "2.5 h"."""
    for unit, length in (("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= 2 * length or length == 1:
            return f"{seconds / length:.1f}".removesuffix(".0") + f" {unit}"
    return ""


def moment(at: datetime | None) -> str:
    """A moment, short: the time of today, else the day, too, in the time zone of this machine."""
    if at is None:
        return ""
    local = at.astimezone()
    is_recent = abs(datetime.now(UTC) - at) < timedelta(hours=20)
    return f"{local:%H:%M:%S}" if is_recent else f"{local:%Y-%m-%d %H:%M}"


def told(text: object) -> markupsafe.Markup:
    """A message of ours as HTML: what stands between ` ` is code."""
    import markupsafe

    parts = plain(text).split("`")
    code = markupsafe.Markup("<code>{}</code>")
    return markupsafe.Markup("").join(code.format(part) if at % 2 else part for at, part in enumerate(parts))


def browser(agent: str) -> str:
    """A browser as people call it, after how it names itself: "Firefox on Linux"."""
    name = next((name for sign, name in BROWSERS if sign in agent), "another program")
    system = next((name for sign, name in SYSTEMS if sign in agent), "")
    return f"{name} on {system}" if system else name


def command(words: list[str]) -> str:
    """A command as one types it. What turns the direction of text is written as bash reads it: ``$'\\u202e'``."""
    return " ".join(map(_word, words))


def _word(word: str) -> str:
    if plain(word) == word:
        return shlex.quote(word)
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{plain(escaped)}'"


def address(parameters: dict[str, Any]) -> str:
    """What stands behind the ``?`` of an address; what is "" or 0 is left out."""
    return urlencode({name: value for name, value in parameters.items() if value})


def in_path(name: str) -> str:
    """The name of an item as a part of an address's path."""
    return quote(name, safe="/")


@functools.cache
def templates() -> jinja2.Environment:
    """Jinja's environment, made once."""
    import jinja2

    from cluster.web.compiled import Compiled

    found = jinja2.Environment(
        loader=jinja2.PackageLoader("cluster.web"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, bytecode_cache=Compiled(),
    )  # fmt: skip
    ours = (browser, told, plain, count, counted, size, duration, short, moment, command, address, in_path)
    filters: dict[str, Any] = {f.__name__: f for f in ours}
    found.filters.update(filters)
    found.globals.update(static=static_files.address, scripts=static_files.scripts)
    return found
