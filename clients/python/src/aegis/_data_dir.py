"""The data directory of a daemon on this machine, found as the command line finds it. Reads the environment only."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_AGENT_SOCKET = "agent.sock"


def default_data_dir() -> Path | None:
    """The data directory that `aegis serve` and the command line use by default; None where there is no home for it."""
    for variable, below in (("AEGIS_DATA_DIR", ""), ("XDG_STATE_HOME", "aegis"), ("HOME", ".local/state/aegis")):
        value = os.environ.get(variable)
        # The XDG specification says that a relative path is to be ignored.
        if value and (variable == "AEGIS_DATA_DIR" or Path(value).is_absolute()):
            return Path(value, below)
    return Path("/var/lib/aegis") if os.geteuid() == 0 else None


def agent_endpoint() -> str | None:
    """The socket for agents in the default data directory, as an endpoint; None where there is none.

    Only who may write to that directory can put a socket there. A port is anybody's who is first.
    """
    directory = default_data_dir()
    if directory is None:
        return None
    socket = directory.absolute() / _AGENT_SOCKET
    try:
        return f"unix:{socket}" if stat.S_ISSOCK(socket.stat().st_mode) else None
    except (OSError, ValueError):
        return None
