"""Who may ask what: host, origin, session or token, role. Whatever is not allowed here is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool

from cluster.roles import Role
from cluster.web.problems import Problem
from cluster.web.routes import Who

if TYPE_CHECKING:
    from starlette.requests import Request

    from cluster.client.accounts import RunLink
    from cluster.web.context import Web

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""The methods that change nothing. All others, also those to come, need to come from our own pages or by a token."""
JSON, BYTES, FORM = "application/json", "application/octet-stream", "multipart/form-data"
BEARER = "bearer "
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script';"
        " trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of each response, unless the response says otherwise."""
MOST_LINKS = 8
"""Run links that a browser has open at a time."""
BY_PROGRAM = ", or send the header `Authorization: Bearer TOKEN`"
LOG_IN = f"log in first: open a link that `cluster web` prints{BY_PROGRAM}"
ENDED = "this link has ended: ask the one who has sent it for another one"


def cookie_name(web: Web) -> str:
    """The session's cookie. With ``__Host-`` a browser takes it from this host alone, and by HTTPS alone."""
    return "__Host-cluster" if web.is_tls else "cluster"


def link_cookie_name(web: Web, link: str) -> str:
    """The cookie of the run link with that id, beside that of a session; each ends with its link."""
    return f"{cookie_name(web)}-run-{link}"


def run_links(web: Web, request: Request) -> dict[str, RunLink | None]:
    """Cookie -> the run link that it opens; None for one that has ended."""
    begin = link_cookie_name(web, "")
    found = [(name, secret) for name, secret in request.cookies.items() if name.startswith(begin)]
    links = web.accounts.run_links.open_all([secret for _, secret in found])
    return {name: link for (name, _), link in zip(found, links, strict=True)}


def nobody(web: Web, request: Request) -> Problem:
    """Why one whom ``identify`` does not know is refused: the links of a guest have ended, or a user is to log in."""
    begin = link_cookie_name(web, "")
    is_guest = cookie_name(web) not in request.cookies and any(name.startswith(begin) for name in request.cookies)
    return Problem(401, ENDED if is_guest else LOG_IN, {"WWW-Authenticate": "Bearer"})


def require_host(web: Web, request: Request) -> None:
    """See that the browser means this page: a name of somebody else may lead to our address (DNS rebinding).

    Raises:
        Problem: It does not (421).
    """
    host = request.headers.get("host", "")
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        name = ""
    if name not in web.hosts:
        raise Problem(421, f"this page is not at {host[:200]!r}; `cluster web --name NAME` adds an address")


async def identify(web: Web, request: Request) -> Who | None:
    """Who asks: by a bearer token, else by the cookies of a session and of run links; None for nobody.

    A token is named apart from users: one that is called like a user sees no more for it.

    Raises:
        Problem: There is a token, and it is wrong (401), or too many were of late (429).
    """
    given = request.headers.get("authorization", "")
    if given:
        if not given.lower().startswith(BEARER):
            raise Problem(401, LOG_IN)
        web.failures.require_few(address(request))
        found = await run_in_threadpool(web.client.tokens.who, given[len(BEARER) :].strip())
        if found is None:
            web.failures.note(address(request))
            raise Problem(401, "this token is not known here, or has expired: `cluster token new NAME` makes one")
        return Who(f"token:{found.name}", found.role, by_token=True)
    session = request.cookies.get(cookie_name(web))
    user = await run_in_threadpool(web.accounts.who, session) if session else None
    has_links = any(name.startswith(link_cookie_name(web, "")) for name in request.cookies)
    opened = await run_in_threadpool(run_links, web, request) if has_links else {}
    links = sorted(filter(None, opened.values()), key=lambda link: -link.began_s)
    shown = tuple(dict.fromkeys(link.run for link in links))
    if user is not None:
        return Who(user.name, Role.of(user.role), shown_runs=shown)
    return Who(f"link:{links[-1].id}", Role.VIEWER, shown_runs=shown, by_link=True) if links else None


def address(request: Request) -> str:
    """Where a request comes from; behind a proxy, what that says."""
    return request.client.host if request.client else ""


def own_address(web: Web, request: Request) -> str:
    """The address of this page as the one who asks has written it."""
    return f"{'https' if web.is_tls else 'http'}://{request.headers['host']}"


def require_own_page(web: Web, request: Request, who: Who | None) -> None:
    """See that a request that changes something comes from our own pages, or from a program with a token.

    Raises:
        Problem: Another site's page has sent it (403).
    """
    if request.method in SAFE or (who is not None and who.by_token):
        return
    site = request.headers.get("sec-fetch-site")
    if site is None:
        is_own = request.headers.get("origin", "").lower() == own_address(web, request).lower()
    else:
        is_own = site == "same-origin"
    if not is_own:
        raise Problem(403, "this came from another site's page, so it was not done")


def require_type(request: Request, *allowed: str) -> None:
    """See that the body has one of these media types; forms of other sites can send none of JSON and bytes.

    Raises:
        Problem: It has another one (415).
    """
    if request.method in SAFE:
        return
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    if (given or has_body) and given not in allowed:
        raise Problem(415, f"the body must be {' or '.join(allowed)}, not {given or 'of no type'}")
