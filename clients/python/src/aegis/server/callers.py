"""The connections to the sidecar: each credential has its own, so that it is nobody else's.

The daemon compares connections: who proposes over one cannot approve over it. So callers never share one.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import httpx

from aegis._settings import Settings
from aegis._transport import Transport
from aegis.server.sidecar import Backend

KEPT = 256
"""How many credentials keep their connections while nobody uses them."""


@dataclass
class Caller:
    """One credential, or none, and its connections."""

    token: str | None
    http: httpx.AsyncClient
    """For what is passed on."""
    transport: Transport
    """For what the SDK does."""
    base: httpx.URL
    users: int = 0

    async def close(self) -> None:
        """Closes the connections."""
        await self.http.aclose()
        await self.transport.close_async()


class Callers:
    """The callers of one event loop."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._callers: OrderedDict[str | None, Caller] = OrderedDict()
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextlib.asynccontextmanager
    async def of(self, token: str | None) -> AsyncIterator[Caller]:
        """The connections of a credential, which are open for as long as they are used."""
        settings = await self._backend.settings()
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # A test's loop has ended, and its connections with it.
            self._loop = loop
            self._callers.clear()
        caller = self._callers.get(token)
        if caller is None:
            self._callers[token] = caller = _connected(token, settings)
        self._callers.move_to_end(token)
        caller.users += 1
        try:
            yield caller
        finally:
            caller.users -= 1
            await self._forget()

    async def _forget(self) -> None:
        idle = [token for token, caller in self._callers.items() if caller.users == 0]
        over = [self._callers.pop(token) for token in idle[: max(0, len(self._callers) - KEPT)]]
        for caller in over:
            await caller.close()

    async def close(self) -> None:
        """Closes all connections."""
        callers = list(self._callers.values())
        self._callers.clear()
        for caller in callers:
            await caller.close()


def _connected(token: str | None, settings: Settings) -> Caller:
    address = settings.address
    uds = address.target.removeprefix("unix:") if address.kind == "unix" else None
    base = httpx.URL("http://localhost" if uds is not None else address.url)
    transport = httpx.AsyncHTTPTransport(
        verify=_authorities(settings) if address.kind == "https" else False,
        uds=address.url.removeprefix("unix:").replace("///", "/", 1) if uds is not None else None,
        trust_env=False,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=8, keepalive_expiry=60.0),
    )
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    # A long poll answers when it answers: the caller may hang up.
    client = httpx.AsyncClient(
        transport=transport,
        headers={"accept-encoding": "identity", "user-agent": "aegis.server", **headers},
        timeout=httpx.Timeout(None, connect=10.0),
        trust_env=False,
    )
    return Caller(token, client, Transport(replace(settings, token=token)), base)


def _authorities(settings: Settings) -> ssl.SSLContext:
    tls = settings.tls
    context = ssl.create_default_context(cafile=tls.ca)
    if tls.cert is not None:
        context.load_cert_chain(tls.cert, tls.key)
    return context
