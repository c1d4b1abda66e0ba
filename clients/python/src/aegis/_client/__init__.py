"""The clients: a connection to the sidecar, with one credential. One class for sync code, one for asyncio."""

from aegis._client._async.client import AsyncAegisClient
from aegis._client._sync.client import AegisClient

__all__ = ["AegisClient", "AsyncAegisClient"]
