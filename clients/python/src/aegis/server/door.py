"""Who may come in: the host, the page behind a browser's request, the credential.

The checks of the daemon's own REST API (`src/server/web.rs`), and one more: the app answers nobody without a token,
except over loopback with `dev=True`.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Collection
from typing import TypeAlias

from starlette.types import ASGIApp, Receive, Scope, Send

from aegis.server.attempts import Attempts
from aegis.server.problems import Problem

_log = logging.getLogger("aegis.server")

TOKEN = "aegis.token"  # noqa: S105
"""Where the scope has the token of the caller; None where nobody showed one."""

ATTEMPT = "aegis.attempt"
"""Where the scope has the `Attempt` of the token."""

OPEN = frozenset({"/health", "/openapi.json", "/docs"})
"""What everybody may read, as with the daemon: they say nothing of any action."""

_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::[0-9]{1,5})?")
_ORIGIN = re.compile(r"https?://(?P<authority>[^/?#@]+)", re.IGNORECASE)
_BEARER = re.compile(r"bearer +(?P<token>[!-~]+) *", re.IGNORECASE)
_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
"""What proxies add: the peer is not the caller then, whatever its address."""

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


class Door:
    """Middleware that lets a request in, with the token of its caller, or answers it with a problem."""

    def __init__(self, app: ASGIApp, *, allowed_hosts: Collection[str], dev: bool) -> None:
        self._app, self._dev = app, dev
        self._attempts = Attempts()
        self._allowed = {name.lower() for name in allowed_hosts}
        self._warned = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check_page(scope)
            scope[TOKEN] = token = self._token(scope)
            client = scope.get("client")
            attempt = None if token is None else self._attempts.begin(token, "" if client is None else client[0])
        except Problem as problem:
            await problem.response()(scope, receive, send)
            return
        scope[ATTEMPT] = attempt
        try:
            await self._app(scope, receive, send)
        finally:
            if attempt is not None:
                attempt.close()

    def _check_page(self, scope: Scope) -> None:
        """Refuses a request for another host, or one that a page of another site sent."""
        hosts = _headers(scope, b"host")
        authority = _AUTHORITY.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if authority is None:
            raise _refused("the request does not say for which host it is, or says it twice: send one Host header")
        host = authority["host"].strip("[]")
        if not (_is_loopback(host) or host.lower() in self._allowed or _is_own(host, scope)):
            raise _refused(
                f"the request is for the host `{host}`, and this server is not known by that name: use its address, or "
                f"make the app with `allowed_hosts=[{host!r}]`"
            )
        if any(site not in {"same-origin", "none"} for site in _headers(scope, b"sec-fetch-site")):
            raise _refused("a page of another site sent this request, and the server accepts none from those")
        for origin in _headers(scope, b"origin"):
            page = _ORIGIN.fullmatch(origin)
            if page is None or page["authority"].lower() != authority[0].lower():
                raise _refused("a page of another origin sent this request, and the server accepts none from those")

    def _token(self, scope: Scope) -> str | None:
        """The token that the caller shows."""
        shown = _headers(scope, b"authorization")
        if not shown:
            reads = scope["method"] in {"GET", "HEAD"}
            if (reads and route_path(scope) in OPEN) or (self._dev and _is_direct_loopback(scope)):
                return None
            why = "send `authorization: Bearer TOKEN`; `aegis token create` makes a token"
            if self._dev:
                why += ". Without one, `dev=True` answers callers on this machine only, and not through a proxy"
            raise Problem("CREDENTIAL_REQUIRED", 401, why)
        bearer = _BEARER.fullmatch(shown[0]) if len(shown) == 1 else None
        if bearer is None:
            raise Problem("CREDENTIAL_INVALID", 401, "the credential is wrong: send one `authorization: Bearer TOKEN`")
        self._warn_of_plaintext(scope)
        return bearer["token"]

    def _warn_of_plaintext(self, scope: Scope) -> None:
        client = scope.get("client")
        if self._warned or scope.get("scheme") != "http" or client is None or _is_loopback(client[0]):
            return
        self._warned = True
        _log.warning(
            "a token came from %s without TLS: everybody on the way can read it. Serve TLS (uvicorn's ssl_keyfile and "
            "ssl_certfile), or put a proxy that does in front",
            client[0],
        )


def route_path(scope: Scope) -> str:
    """The path below the place where the app is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(root + "/") else path


def _headers(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1").strip() for key, value in scope["headers"] if key.lower() == name]


def _refused(why: str) -> Problem:
    return Problem("CROSS_ORIGIN", 403, why)


def _address(host: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def _is_own(host: str, scope: Scope) -> bool:
    """Whether a host is the address that the connection came to."""
    server, address = scope.get("server"), _address(host)
    return server is not None and address is not None and _address(server[0]) == address


def _is_direct_loopback(scope: Scope) -> bool:
    """Whether the caller is on this machine: both ends of the connection are loopback, and no proxy stands between."""
    ends = (scope.get("client"), scope.get("server"))
    if any(end is None or not _is_loopback(end[0]) for end in ends):
        return False
    return not any(_headers(scope, name.encode()) for name in _FORWARDED)
