"""Governs every request that a client sends."""

from __future__ import annotations

import httpx

from aegis.adapters._httpx.request import answered, outcome, proposal
from aegis.adapters._httpx.url import normalised_url
from aegis.core.action import Action
from aegis.core.result import Result
from aegis.runtime.engine import Runtime


class AsyncAegisTransport(httpx.AsyncBaseTransport):
    """Governs every request of an `httpx.Client`, each redirect included: `transport=AsyncAegisTransport(runtime)`.

    A request that may not be sent raises `ActionDenied`. For redirects and default headers across origins,
    `AsyncGovernedClient` does more than a transport can.

    Args:
        runtime: Governs the requests. Its executor is not used.
        transport: Sends them. None: `httpx.AsyncHTTPTransport()`.
    """

    def __init__(self, runtime: Runtime, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._runtime = runtime
        self._transport = transport if transport is not None else httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Proposes the request, and sends it if it may be sent."""
        request.url = normalised_url(request.url)
        action = proposal(request)
        responses: list[httpx.Response] = []

        async def send(proposed: Action) -> Result:
            responses.append(await self._transport.handle_async_request(request))
            return outcome(proposed, responses[-1])

        return answered(await self._runtime.call(action, send), responses)

    async def aclose(self) -> None:
        """Closes the transport below."""
        await self._transport.aclose()
