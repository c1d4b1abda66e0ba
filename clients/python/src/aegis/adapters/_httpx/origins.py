"""What was set for one origin does not follow to another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from aegis.adapters._httpx.url import origin

# What may follow to another origin: nothing that the caller set for the first.
NEUTRAL = {
    "accept",
    "accept-encoding",
    "accept-language",
    "connection",
    "content-encoding",
    "content-language",
    "content-length",
    "content-type",
    "user-agent",
}


class Origins:
    """Keeps what was set for one origin there."""

    def __init__(self, client: httpx.Client | httpx.AsyncClient) -> None:
        self._client = client
        self._own = set(client.headers) - NEUTRAL

    def outgoing(self, request: httpx.Request, given: Any) -> bool:
        """Takes the client's own headers off a request to another origin. Whether it is one."""
        base = self._client.base_url
        if not base.host or origin(base) == origin(request.url):
            return False
        explicit = set(httpx.Headers(given))
        for name in self._own - explicit:
            request.headers.pop(name, None)
        return True


def next_hop(response: httpx.Response) -> httpx.Request | None:
    """The request that a redirect asks for, without what was meant for the origin before."""
    following = response.next_request
    if following is not None and origin(following.url) != origin(response.request.url):
        for name in set(following.headers) - NEUTRAL - {"host"}:
            following.headers.pop(name, None)
    return following


def refuse_unmounted(options: Mapping[str, Any]) -> None:
    if options.get("app") is not None or options.get("proxies") is not None:
        raise TypeError("pass a `transport` instead: it is governed")


def transport_options(options: dict[str, Any]) -> dict[str, Any]:
    """What `httpx.Client` would make its transport of."""
    names = ("verify", "cert", "trust_env", "http1", "http2", "limits", "proxy")
    return {name: options.pop(name) if name == "proxy" else options[name] for name in names if name in options}
