"""A sidecar for a policy: a daemon of the runtime's own, or the one that holds the data directory already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from aegis import _sidecar, types
from aegis._client import AegisClient
from aegis._sidecar import Daemon
from aegis.core.errors import SidecarError
from aegis.core.policy import Policy

LEAST_LAYERS = 4
"""With how many policy files a daemon is started at least, so that `update_policy` may bring more layers."""

isolated: Callable[[Sequence[types.PolicyLayer]], Daemon] | None = None
"""How sidecars are started inside `aegis.testing.isolated`."""


def local(policy: Policy, data_dir: Path | None) -> tuple[Daemon | None, AegisClient, AegisClient]:
    """A sidecar for a policy: a daemon of our own, or the one that holds the data directory, under this very policy."""
    if isolated is not None:
        daemon = isolated(policy.layers)
        daemon.start()
        return daemon, daemon.agent(), daemon.operator()
    where = (data_dir if data_dir is not None else _sidecar.default_data_dir()).absolute()
    endpoint = _sidecar.running_daemon(where)
    if endpoint is None:
        daemon = Daemon(policy.layers, data_dir=where, least_layers=LEAST_LAYERS)
        try:
            daemon.start()
        except SidecarError:
            daemon.close()
            # Somebody may have been faster.
            endpoint = _sidecar.running_daemon(where)
            if endpoint is None:
                raise
        else:
            return daemon, daemon.agent(), daemon.operator()
    operator = AegisClient(f"unix:{where / 'aegis.sock'}", "")
    wanted, there = _sidecar.validate(operator, policy.layers), operator.get_policy().revision
    if wanted != there:
        operator.close()
        raise SidecarError(
            f"a daemon with another policy holds {where} (revision {there[:12]}, not {wanted[:12]}): stop it, put this "
            "policy in force there, run under its policy with `Runtime(client=AegisClient())`, or keep this runtime's "
            "record elsewhere with `data_dir=`",
            reason="POLICY_MISMATCH",
        )
    return None, AegisClient(endpoint, ""), operator
