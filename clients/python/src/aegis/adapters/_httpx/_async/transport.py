"""Governs every request that a client sends."""

from __future__ import annotations

import httpx

from aegis.adapters._httpx.request import answered, outcome, prepared
from aegis.core.action import Action
from aegis.core.result import Result
from aegis.runtime.engine import Runtime


class AsyncAegisTransport(httpx.AsyncBaseTransport):
    """Governs every request of an `httpx.AsyncClient`, each redirect included.

    `httpx.AsyncClient(transport=AsyncAegisTransport(runtime))` is a client whose requests are governed.

    A request that may not be sent raises `ActionDenied`. What is sent is a copy of the request, made before it is
    proposed. For redirects and default headers across origins, `AsyncGovernedClient` does more than a transport can.

    Args:
        runtime: Governs the requests. Its executor is not used.
        transport: Sends them. None: `httpx.AsyncHTTPTransport()`.
        allow_encoded_slashes: Whether `%2F` and `%5C` may stand in a path (`normalised_url`).
    """

    def __init__(
        self,
        runtime: Runtime,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        allow_encoded_slashes: bool = False,
    ) -> None:
        self._runtime = runtime
        self._transport = transport if transport is not None else httpx.AsyncHTTPTransport()
        self._allow_encoded_slashes = allow_encoded_slashes

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Proposes the request, and sends it if it may be sent."""
        kept = prepared(request, allow_encoded_slashes=self._allow_encoded_slashes)
        responses: list[httpx.Response] = []

        async def send(proposed: Action) -> Result:
            responses.append(await self._transport.handle_async_request(kept.request))
            return outcome(proposed, responses[-1])

        try:
            return answered(await self._runtime.call(kept.action, send), responses)
        except BaseException:
            # Nobody gets the response: it would keep its connection.
            for response in responses:
                await response.aclose()
            raise

    async def aclose(self) -> None:
        """Closes the transport below."""
        await self._transport.aclose()
