"""The sidecar behind an app: one of its own, or a daemon that runs already. Nobody is its owner here.

The app reaches its own sidecar over `agent.sock` in the data directory, where nobody else can listen in its place. A
caller without a token is an agent there at most, or nobody at all. The owner's socket is never opened.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aegis import types
from aegis._client import AegisClient
from aegis._settings import Settings
from aegis._sidecar import Daemon, own_data_dir
from aegis.core.errors import AegisError, SidecarError
from aegis.runtime import sidecar

_log = logging.getLogger("aegis.server")


@dataclass(frozen=True)
class Source:
    """Which daemon, and under which policy."""

    file: Path | None = None
    """The policy file. The daemon watches it, and writes a new policy there."""
    layers: Sequence[types.PolicyLayer] = ()
    """The policy, where it is in no file."""
    endpoint: str | None = None
    """A daemon that runs already, in place of one of the app's own."""
    data_dir: Path | None = None
    dev: bool = False

    @property
    def is_own(self) -> bool:
        """Whether the app starts the daemon."""
        return self.file is not None or bool(self.layers)

    @property
    def record(self) -> str:
        """Where the record is, for people."""
        if not self.is_own:
            return "the data directory of the daemon"
        try:
            return str(self.data_dir or own_data_dir())
        except SidecarError:
            return "the data directory"


class Backend:
    """Starts the daemon when it is first needed, and again where it ended."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._daemon: Daemon | None = None
        self._settings: Settings | None = None
        if not source.is_own:
            settings = AegisClient(source.endpoint, "")._settings
            if not settings.address.trusted:
                raise AegisError(
                    f"the tokens of callers are not sent to {settings.address.url}, where everybody on the way could "
                    "read them: use https://, a unix socket or loopback"
                )
            self._settings = settings

    async def settings(self) -> Settings:
        """How to reach the daemon, without a credential. It runs when this returns."""
        found = self._settings
        return found if found is not None else await asyncio.to_thread(self._open)

    def _open(self) -> Settings:
        with self._lock:
            if self._settings is None:
                self._start()
            if self._settings is None:
                raise AssertionError("it has started")
            return self._settings

    def _start(self) -> None:
        source = self._source
        where = source.data_dir
        if sidecar.isolated is None:
            where = (where if where is not None else own_data_dir()).absolute()
        daemon = Daemon(
            source.layers,
            files=() if source.file is None else (source.file,),
            data_dir=where,
            arguments=["--dev"] if source.dev else ["--no-anonymous"],
        )
        try:
            daemon.start()
        except SidecarError as error:
            daemon.close()
            raise SidecarError(
                f"{error}\nWhere a daemon runs already, make the app with its `endpoint=` and without a policy, or "
                "keep the app's record elsewhere with `data_dir=`"
            ) from None
        self._daemon = daemon
        endpoint = f"unix:{daemon.data_dir / 'agent.sock'}"
        self._settings = replace(AegisClient(endpoint, "")._settings, revive=self.revive)
        if not source.dev:
            _log.info(
                "callers need a token: `aegis token create --role agent --name NAME --endpoint unix:%s/aegis.sock`",
                daemon.data_dir,
            )

    def revive(self) -> None:
        """Starts a daemon of the app's own again, where it has ended."""
        with self._lock:
            if self._daemon is None or self._daemon.runs:
                return
            try:
                self._daemon.start()
            except SidecarError as error:
                _log.warning("the sidecar has ended, and does not start again: %s", error)

    async def close_async(self) -> None:
        """Stops a daemon of the app's own."""
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Stops a daemon of the app's own."""
        with self._lock:
            daemon, self._daemon = self._daemon, None
            if daemon is not None:
                self._settings = None
                daemon.close()
