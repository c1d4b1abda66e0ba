"""A real daemon for your own tests: on a free port, with a policy and a directory of its own, stopped at the end.

    with Sidecar(policy) as sidecar:
        runtime = Runtime(executor=MyExecutor(), client=sidecar.client())

As pytest fixtures: `aegis_sidecar` (its policy: the marker `aegis_policy`, else the built-in starter policy) and
`aegis_isolated`. The daemon is found as `AEGIS_BIN`, in the build output, or on the PATH.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from aegis import types
from aegis._client import AegisClient, AsyncAegisClient
from aegis._sidecar import Daemon
from aegis.adapters.base import BaseExecutor
from aegis.core.policy import Policy
from aegis.runtime import sidecar
from aegis.runtime.approval import AutoApprovalHandler
from aegis.runtime.audit import AuditLog
from aegis.runtime.engine import Runtime
from aegis.runtime.options import Access

__all__ = ["AutoApprovalHandler", "Sidecar", "isolated"]

S = TypeVar("S", bound="Sidecar")
C = TypeVar("C", AegisClient, AsyncAegisClient)


class Sidecar:
    """A daemon for tests. Use it in a `with` statement, or call `start` and `stop`.

    Args:
        policy: A `Policy`, YAML text, a map, or a `Path` to a file. None: the built-in starter policy.
        arguments: More arguments for `aegis serve`.
        data_dir: Its data directory. None: a new directory, removed at the end.
    """

    def __init__(
        self,
        policy: Policy | str | Mapping[str, Any] | os.PathLike[str] | None = None,
        *,
        arguments: Sequence[str] = (),
        data_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        self._daemon = Daemon(
            _layers(policy),
            data_dir=None if data_dir is None else Path(data_dir),
            arguments=arguments,
            test_kit=True,
        )
        self._clients: list[AegisClient | AsyncAegisClient] = []

    @property
    def endpoint(self) -> str:
        """Where agents reach it: `http://127.0.0.1:PORT`. The same again after a restart."""
        return self._daemon.endpoint

    @property
    def socket(self) -> str:
        """Where this user is reviewer, auditor and admin: `unix:/...`."""
        return self._daemon.socket

    @property
    def data_dir(self) -> Path:
        """Its data directory."""
        return self._daemon.data_dir

    @property
    def log(self) -> str:
        """What it has logged."""
        return self._daemon.log

    def start(self) -> None:
        """Starts it; after `stop` or `kill`, on the same port with the same data."""
        self._daemon.start()

    def stop(self) -> None:
        """Asks it to end, and waits for it."""
        self._daemon.stop()

    def kill(self) -> None:
        """Ends it as a crash would: SIGKILL."""
        self._daemon.kill()

    def set_policy(self, policy: Policy | str | Mapping[str, Any] | os.PathLike[str]) -> str:
        """Changes its policy file; its revision, once it is in force."""
        return self._daemon.update_policy(_layers(policy))

    def client(self, api_key: str = "", **options: Any) -> AegisClient:
        """A client as an agent: anonymous, or with a token."""
        return self._open(AegisClient, self.endpoint, api_key, options)

    def async_client(self, api_key: str = "", **options: Any) -> AsyncAegisClient:
        """An async client as an agent: anonymous, or with a token."""
        return self._open(AsyncAegisClient, self.endpoint, api_key, options)

    def operator(self, **options: Any) -> AegisClient:
        """A client as reviewer, auditor and admin."""
        return self._open(AegisClient, self.socket, "", options)

    def async_operator(self, **options: Any) -> AsyncAegisClient:
        """An async client as reviewer, auditor and admin."""
        return self._open(AsyncAegisClient, self.socket, "", options)

    def token(self, name: str, *roles: str, actor_id: str = "") -> str:
        """Makes a token; without roles, an agent's."""
        return self.operator().create_token(name, roles or ("agent",), actor_id=actor_id)

    def runtime(self, executor: BaseExecutor | None = None, **options: Any) -> Runtime:
        """A runtime on this daemon, which may review, audit and change the policy."""
        operator = self.operator()
        chosen: dict[str, Any] = {
            "client": self.client(),
            "access": Access(reviewer=operator, auditor=operator, admin=operator),
        }
        return Runtime(executor=executor, **(chosen | options))

    @property
    def audit(self) -> AuditLog:
        """Its record."""
        return AuditLog(self.operator())

    def _open(self, kind: type[C], endpoint: str, api_key: str, options: dict[str, Any]) -> C:
        client = kind(endpoint, api_key, **options)
        marked = kind._over(type(client._transport)(client._settings.for_test_kit()))
        self._clients.append(marked)
        return marked

    def close(self) -> None:
        """Stops it, closes the clients that it gave, and removes its directory."""
        clients, self._clients = self._clients, []
        for client in clients:
            client._transport.close()
        self._daemon.close()

    def __enter__(self: S) -> S:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _layers(policy: Policy | str | Mapping[str, Any] | os.PathLike[str] | None) -> Sequence[types.PolicyLayer]:
    if policy is None:
        return ()
    if isinstance(policy, Policy):
        return policy.layers
    if isinstance(policy, str):
        return Policy.from_text(policy).layers
    if isinstance(policy, Mapping):
        return Policy.from_dict(policy).layers
    return Policy.from_yaml(policy).layers


@contextlib.contextmanager
def isolated() -> Iterator[None]:
    """Inside of it, `Runtime(policy=...)` starts its sidecar as a test kit's: in a new directory, removed at the end.

    For tests of code that makes its own runtime. It holds for the whole process.
    """
    if sidecar.isolated is not None:
        yield
        return
    sidecar.isolated = lambda layers: Daemon(layers, least_layers=sidecar.LEAST_LAYERS, test_kit=True)
    try:
        yield
    finally:
        sidecar.isolated = None
