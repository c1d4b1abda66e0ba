"""Where the daemon is, with which credential, and how patient to be. Reads the environment; talks to nobody."""

from __future__ import annotations

import ipaddress
import math
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit

import grpc

from aegis._data_dir import agent_endpoint
from aegis.core.errors import AegisError

DEFAULT_ENDPOINT = "http://127.0.0.1:50051"
"""Where a daemon listens by default, for agents that cannot look into its data directory."""


@dataclass(frozen=True)
class TLS:
    """What to believe of a daemon at an `https://` endpoint, and what to show it. All PEM files."""

    ca: str | os.PathLike[str] | None = None
    """Whose certificates to believe. None: `AEGIS_TLS_CA`, else the system's authorities."""
    cert: str | os.PathLike[str] | None = None
    """The certificate to show. None: `AEGIS_TLS_CERT`, else none."""
    key: str | os.PathLike[str] | None = None
    """Its key. None: `AEGIS_TLS_KEY`."""


@dataclass(frozen=True)
class Address:
    """An endpoint that was understood."""

    url: str
    kind: Literal["http", "https", "unix"]
    target: str
    """What gRPC calls it."""
    trusted: bool
    """Whether a credential may be sent: nobody on the way can read it."""


@dataclass(frozen=True)
class Settings:
    """Everything that a client is made of but its connection."""

    address: Address
    token: str | None = field(repr=False)
    timeout: float
    retries: int
    retry_delay: float
    tls: TLS
    test_kit: bool = False
    """Whether the daemon is one that `aegis.testing` started."""
    revive: Callable[[], None] | None = field(default=None, repr=False, compare=False)
    """Starts the daemon again, where it is a sidecar that this process may start. Called when it is not there."""

    @classmethod
    def read(
        cls,
        endpoint: str | None,
        api_key: str | None,
        *,
        timeout: float,
        retries: int,
        retry_delay: float,
        tls: TLS | None,
    ) -> Settings:
        """Puts arguments and environment together: an argument wins."""
        named = _from_environment(endpoint, "AEGIS_ENDPOINT")
        address = read_address(named or agent_endpoint() or DEFAULT_ENDPOINT)
        token = _token(api_key)
        if token is not None and not address.trusted:
            raise AegisError(
                f"a credential is not sent to {address.url}, where everybody on the way could read it: use https://, a "
                'unix socket or loopback, or send none (api_key="")'
            )
        if not (math.isfinite(timeout) and timeout > 0):
            raise ValueError(f"timeout must be a number of seconds above 0, not {timeout}")
        if retries < 0:
            raise ValueError(f"retries must be 0 or more, not {retries}")
        if not (math.isfinite(retry_delay) and retry_delay >= 0):
            raise ValueError(f"retry_delay must be a number of seconds, not {retry_delay}")
        return cls(address, token, float(timeout), int(retries), float(retry_delay), _tls(tls or TLS()))

    def open_channel(self) -> grpc.Channel:
        """A channel; it connects when it is first used."""
        options: list[tuple[str, int | str]] = list(_OPTIONS)
        if self.address.kind == "unix":
            # gRPC would send the escaped path, which is no authority that HTTP/2 has.
            options.append(("grpc.default_authority", "localhost"))
        if self.address.trusted and self.address.kind != "https":
            # A proxy is for what is far away.
            options.append(("grpc.enable_http_proxy", 0))
        if self.address.kind == "https":
            return grpc.secure_channel(self.address.target, self._channel_credentials(), options=options)
        return grpc.insecure_channel(self.address.target, options=options)

    def _channel_credentials(self) -> grpc.ChannelCredentials:
        ca, cert, key = (_read_pem(path) for path in (self.tls.ca, self.tls.cert, self.tls.key))
        if (cert is None) != (key is None):
            given, missing = ("cert", "key") if key is None else ("key", "cert")
            raise AegisError(f"TLS: `{given}` is given and `{missing}` is not: a client certificate needs both")
        return grpc.ssl_channel_credentials(ca or _system_authorities(), key, cert)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What every call carries."""
        return () if self.token is None else (("authorization", f"Bearer {self.token}"),)

    def for_test_kit(self) -> Settings:
        """The same, for a daemon that the test kit started."""
        return replace(self, test_kit=True)


# One connection per client, kept alive while a call waits for a person, and soon there again after a restart.
_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", 64 << 20),
)


def read_address(endpoint: str) -> Address:
    """Understands `http://HOST:PORT`, `https://HOST:PORT` and `unix:/PATH`."""
    wanted = "an endpoint is http://HOST:PORT, https://HOST:PORT or unix:/PATH"
    scheme, _, rest = endpoint.partition(":")
    if scheme == "unix":
        path = rest[2:] if rest.startswith("///") else rest
        if not path.startswith("/") or path.startswith("//"):
            raise AegisError(f"`{endpoint}`: the path of a socket begins with a slash: {wanted}")
        return Address(endpoint, "unix", "unix:" + quote(path), trusted=True)
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise AegisError(f"`{endpoint}`: {error}: {wanted}") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise AegisError(f"`{endpoint}`: {wanted}")
    if parts.username or parts.password or parts.path.strip("/") or parts.query or parts.fragment:
        raise AegisError(f"`{parts.scheme}://{host}` with more than host and port: {wanted}")
    bracketed = f"[{host}]" if ":" in host else host
    target = f"dns:///{bracketed}:{port or (443 if parts.scheme == 'https' else 80)}"
    if parts.scheme == "https":
        return Address(endpoint, "https", target, trusted=True)
    return Address(endpoint, "http", target, trusted=_is_loopback(host))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _from_environment(given: str | None, variable: str) -> str | None:
    return given if given is not None else os.environ.get(variable, "").strip() or None


def _token(api_key: str | None) -> str | None:
    """An empty key sends no credential, and does not fall back to the environment's.

    `AEGIS_API_KEY` is the platform's name; `AEGIS_TOKEN` wins.
    """
    given = _from_environment(api_key, "AEGIS_TOKEN")
    token = (given if given is not None else _from_environment(None, "AEGIS_API_KEY") or "").strip()
    if any(not ("!" <= character <= "~") for character in token):
        raise AegisError("the credential holds characters that no token has: is it the token itself, on one line?")
    return token or None


def _tls(given: TLS) -> TLS:
    def path(value: str | os.PathLike[str] | None, variable: str) -> str | None:
        return os.fspath(value) if value is not None else os.environ.get(variable) or None

    return TLS(path(given.ca, "AEGIS_TLS_CA"), path(given.cert, "AEGIS_TLS_CERT"), path(given.key, "AEGIS_TLS_KEY"))


def _read_pem(path: str | os.PathLike[str] | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise AegisError(f"TLS: {error}") from error


def _system_authorities() -> bytes | None:
    """The system's authorities. gRPC would take a list of its own, which no administrator looks after."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile is not None:
        return Path(paths.cafile).read_bytes()
    if paths.capath is not None:
        found = sorted(path for path in Path(paths.capath).glob("*.pem") if path.is_file())
        return b"\n".join(path.read_bytes() for path in found) or None
    return None
