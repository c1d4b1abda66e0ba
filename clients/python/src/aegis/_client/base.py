"""How a client is made: endpoint, credential, patience. What the sync and the async client share."""

from __future__ import annotations

from typing import TypeVar

from aegis._settings import TLS, Settings
from aegis._transport import Transport

C = TypeVar("C", bound="BaseConnection")


class BaseConnection:
    """How both clients are made and shown."""

    def __init__(
        self,
        endpoint: str | None = None,
        api_key: str | None = None,
        timeout: float = 30.0,
        retries: int = 3,
        retry_delay: float = 1.0,
        *,
        tls: TLS | None = None,
    ) -> None:
        settings = Settings.read(endpoint, api_key, timeout=timeout, retries=retries, retry_delay=retry_delay, tls=tls)
        self._transport = Transport(settings)

    @classmethod
    def _over(cls: type[C], transport: Transport) -> C:
        """A client over a connection that exists already."""
        client = cls.__new__(cls)
        client._transport = transport
        return client

    @property
    def _settings(self) -> Settings:
        return self._transport.settings

    @property
    def endpoint(self) -> str:
        """Where the daemon is."""
        return self._settings.address.url

    def __repr__(self) -> str:
        credential = "no credential" if self._settings.token is None else "a credential"
        return f"<{type(self).__name__} {self.endpoint}, {credential}>"
