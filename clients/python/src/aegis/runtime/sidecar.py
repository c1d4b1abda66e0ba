"""A sidecar for a policy: a daemon of the runtime's own, or the one that holds the data directory already."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from aegis import _sidecar, types
from aegis._client import AegisClient
from aegis._sidecar import Daemon
from aegis._transport import Transport
from aegis.core.errors import SidecarError
from aegis.core.policy import Policy

LEAST_LAYERS = 4
"""With how many policy files a daemon is started at least, so that `update_policy` may bring more layers."""

isolated: Callable[[Sequence[types.PolicyLayer]], Daemon] | None = None
"""How sidecars are started inside `aegis.testing.isolated`."""


class LocalSidecar:
    """The sidecar of a runtime that was given a policy.

    Several processes may share one. It ends with the process that started it; another one of them then starts it again,
    on the same port and with the same data, the next time that it is needed.
    """

    def __init__(self, policy: Policy, data_dir: Path | None) -> None:
        self._layers: Sequence[types.PolicyLayer] = policy.layers
        self._isolated = isolated is not None
        self._where = data_dir
        self._daemon: Daemon | None = None
        self._endpoint = ""
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._closed = False

    def open(self) -> None:
        """Starts a daemon, or finds the one that holds the data directory, if it runs under this very policy."""
        if isolated is not None:
            self._daemon = isolated(self._layers)
            self._daemon.start()
            self._endpoint = self._daemon.endpoint
            return
        self._where = where = (self._where if self._where is not None else _sidecar.own_data_dir()).absolute()
        endpoint = _sidecar.running_daemon(where)
        if endpoint is None:
            try:
                self._start(where, "0")
            except SidecarError:
                # Somebody may have been faster.
                endpoint = _sidecar.running_daemon(where)
                if endpoint is None:
                    raise
        if endpoint is not None:
            self._endpoint = endpoint
            self._check_policy(where)

    def _start(self, where: Path, port: str) -> None:
        daemon = Daemon(self._layers, data_dir=where, least_layers=LEAST_LAYERS, port=port)
        try:
            daemon.start()
        except SidecarError:
            daemon.close()
            raise
        self._daemon, self._endpoint = daemon, daemon.endpoint

    def _check_policy(self, where: Path) -> None:
        with self.operator() as operator:
            wanted, there = _sidecar.validate(operator, self._layers), operator.get_policy().revision
        if wanted != there:
            raise SidecarError(
                f"a daemon with another policy holds {where} (revision {there[:12]}, not {wanted[:12]}): stop it, put "
                "this policy in force there, run under its policy with `Runtime(client=AegisClient())`, or keep this "
                "runtime's record elsewhere with `data_dir=`",
                reason="POLICY_MISMATCH",
            )

    def revive(self) -> None:
        """Starts the daemon again where its process, or the one that it was shared with, has ended."""
        with self._lock:
            where = self._where
            if self._closed or where is None or self._pid != os.getpid():
                return
            if (self._daemon is not None and self._daemon.runs) or _sidecar.running_daemon(where) is not None:
                return
            if self._daemon is not None:
                self._daemon.close()
                self._daemon = None
            try:
                self._start(where, self._endpoint.rpartition(":")[2])
            except SidecarError:
                # Another process was faster, or the old daemon has not ended yet: the next attempt tells.
                return

    def agent(self) -> AegisClient:
        """A client as an anonymous agent."""
        return self._client(self._endpoint)

    def operator(self) -> AegisClient:
        """A client as reviewer, auditor and admin."""
        if self._isolated and self._daemon is not None:
            return self._client(self._daemon.socket)
        return self._client(f"unix:{self._where}/aegis.sock")

    def _client(self, endpoint: str) -> AegisClient:
        settings = replace(AegisClient(endpoint, "")._settings, test_kit=self._isolated, revive=self.revive)
        return AegisClient._over(Transport(settings))

    @property
    def is_own(self) -> bool:
        """Whether this process started it."""
        return self._daemon is not None

    def update_policy(self, layers: Sequence[types.PolicyLayer]) -> str:
        """Puts another policy in force; its revision."""
        if self._daemon is None:
            raise SidecarError("another process started this sidecar, and changes its policy")
        revision = self._daemon.update_policy(layers)
        self._layers = layers
        return revision

    def close(self) -> None:
        """Stops it, where this process started it."""
        with self._lock:
            self._closed = True
            daemon, self._daemon = self._daemon, None
        if daemon is not None:
            daemon.close()
