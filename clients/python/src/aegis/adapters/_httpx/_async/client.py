"""A client whose every request is governed, each hop of a redirect included."""

from __future__ import annotations

from functools import partial
from typing import Any

import httpx

from aegis.adapters._httpx._async.transport import AsyncAegisTransport
from aegis.adapters._httpx.origins import Origins, next_hop, refuse_unmounted, transport_options
from aegis.adapters._httpx.url import as_written, origin
from aegis.runtime.engine import Runtime

_DEFAULT: Any = httpx.USE_CLIENT_DEFAULT


class AsyncGovernedClient(httpx.AsyncClient):
    """An `httpx.AsyncClient` whose every request is governed, each hop of a redirect included.

    A request that may not be sent raises `ActionDenied`. Headers and auth of the client go to the origin of its
    `base_url` only, where it has one; on a redirect to another origin, everything that was set for the first is left
    behind.

    Args:
        runtime: Governs the requests. Its executor is not used.
        allow_encoded_slashes: Whether `%2F` and `%5C` may stand in a path (`normalised_url`).
        options: As of `httpx.AsyncClient`.
    """

    def __init__(self, runtime: Runtime, *, allow_encoded_slashes: bool = False, **options: Any) -> None:
        refuse_unmounted(options)
        inner = options.pop("transport", None) or httpx.AsyncHTTPTransport(**transport_options(options))
        govern = partial(AsyncAegisTransport, runtime, allow_encoded_slashes=allow_encoded_slashes)
        mounts = {
            pattern: None if transport is None else govern(transport)
            for pattern, transport in (options.pop("mounts", None) or {}).items()
        }
        super().__init__(transport=govern(inner), mounts=mounts, **options)
        self._aegis_origins = Origins(self)

    def build_request(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Request:
        """As of `httpx.AsyncClient`, without the client's headers for another origin."""
        if isinstance(url, str):
            url = as_written(url)
        request = super().build_request(method, url, **options)
        self._aegis_origins.outgoing(request, options.get("headers"))
        return request

    async def send(
        self,
        request: httpx.Request,
        *,
        stream: bool = False,
        auth: Any = _DEFAULT,
        follow_redirects: Any = _DEFAULT,
    ) -> httpx.Response:
        """As of `httpx.AsyncClient`; redirects are followed hop by hop."""
        follow = self.follow_redirects if follow_redirects is _DEFAULT else follow_redirects
        history: list[httpx.Response] = []
        while True:
            foreign = self._aegis_origins.outgoing(request, request.headers)
            used = None if auth is _DEFAULT and foreign else auth
            response = await super().send(request, stream=stream, auth=used, follow_redirects=False)
            response.history = list(history)
            following = next_hop(response)
            if not follow or following is None:
                return response
            if len(history) >= self.max_redirects:
                await response.aclose()
                raise httpx.TooManyRedirects("Exceeded maximum allowed redirects.", request=request)
            await response.aread()
            history.append(response)
            if origin(following.url) != origin(request.url):
                auth = None
            request = following
