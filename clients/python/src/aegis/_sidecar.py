"""Finding, starting and stopping a daemon of one's own on this machine."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path

from aegis import _process, types
from aegis._client import AegisClient
from aegis._data_dir import default_data_dir
from aegis._transport import Transport
from aegis.errors import AegisError, SidecarError

_EMPTY_LAYER = 'version: "1"\n'


def find_binary() -> Path:
    """The daemon: `AEGIS_BIN`, else the build output of the repository that this package lies in, else on the PATH."""
    named = os.environ.get("AEGIS_BIN")
    if named:
        path = Path(named)
        if not (path.is_file() and os.access(path, os.X_OK)):
            raise SidecarError(f"AEGIS_BIN names {named}, which is no program that can be run")
        return path.absolute()
    for parent in Path(__file__).resolve().parents:
        if (parent / "Cargo.toml").is_file() and (parent / "proto" / "aegis").is_dir():
            built = [parent / "target" / profile / "aegis" for profile in ("release", "debug")]
            found = [path for path in built if path.is_file()]
            if found:
                return max(found, key=lambda path: path.stat().st_mtime)
    on_path = shutil.which("aegis")
    if on_path is not None:
        return Path(on_path)
    raise SidecarError("there is no `aegis` daemon: install it on the PATH, or name it with AEGIS_BIN")


def own_data_dir() -> Path:
    """Where a sidecar of one's own keeps its files: where `aegis serve` does."""
    directory = default_data_dir()
    if directory is None:
        raise SidecarError("there is no home directory to find the data directory in: name it with AEGIS_DATA_DIR")
    return directory


class Daemon:
    """A daemon of our own. It ends with this process, however this process ends.

    Args:
        layers: The policy, lowest layer first; none: the built-in starter policy.
        files: Policy files that it serves where they are, in place of `layers`.
        data_dir: Its data directory. None: a new directory, removed at the end.
        arguments: More arguments for `aegis serve`.
        least_layers: How many files it is started with at least, so that a later policy may have more layers than this
            one.
        port: Where it listens. `0`: any port that is free.
        test_kit: Whether `AutoApprovalHandler` may be used with it.
    """

    def __init__(
        self,
        layers: Sequence[types.PolicyLayer] = (),
        *,
        files: Sequence[Path] = (),
        data_dir: Path | None = None,
        arguments: Sequence[str] = (),
        least_layers: int = 1,
        port: str = "0",
        test_kit: bool = False,
    ) -> None:
        self._layers = tuple(layers)
        self._least_layers = least_layers
        self._arguments = tuple(arguments)
        self._test_kit = test_kit
        self._home = Path(tempfile.mkdtemp(prefix="aegis-"))
        self.data_dir = data_dir.absolute() if data_dir is not None else self._home / "data"
        self._files: list[Path] = []
        self._files = self._write_layers() or list(files)
        self._port = port
        self._process: subprocess.Popen[str] | None = None
        self._log = _process.Log()
        self.endpoint = ""
        self._processes: list[subprocess.Popen[str]] = []
        self._finalizer = weakref.finalize(self, _process.clean_up, self._processes, self._home)

    @property
    def socket(self) -> str:
        """The endpoint of reviewers, auditors and admins of this user."""
        return f"unix:{self.data_dir / 'aegis.sock'}"

    @property
    def log(self) -> str:
        """What it has logged."""
        return self._log.text()

    @property
    def runs(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Its process, while it runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Starts it and waits until it listens. Started again, it has the same port and the same data."""
        command = [str(find_binary()), "serve", *map(str, self._files), "--port", self._port, "--admin-listen", "off"]
        command += ["--data-dir", str(self.data_dir), *self._arguments]
        process = _process.start(command)
        self._processes[:] = [process]
        output, errors = process.stdout, process.stderr
        if output is None or errors is None:
            raise AssertionError("both are pipes")
        logger = threading.Thread(target=self._log.read, args=(errors,), name="aegis-log", daemon=True)
        logger.start()
        line = _process.first_line(process, output)
        if not line.startswith("listening on "):
            self._processes.clear()
            _process.stop(process)
            logger.join(_process.STOP_TIMEOUT)
            raise SidecarError(f"the daemon did not start: {self._named(self.log).strip() or line.strip()}")
        self.endpoint = line.removeprefix("listening on ").strip()
        self._port = self.endpoint.rpartition(":")[2]
        self._process = process

    def stop(self) -> None:
        """Asks it to end, and waits for it. Stopping twice is fine."""
        process, self._process = self._process, None
        self._processes.clear()
        if process is not None:
            _process.stop(process)

    def kill(self) -> None:
        """Ends it as a crash would."""
        process, self._process = self._process, None
        self._processes.clear()
        if process is not None:
            process.kill()
            _process.reap(process)

    def close(self) -> None:
        """Stops it and removes what it left behind, but for a data directory that was named."""
        self.stop()
        self._finalizer()

    def agent(self) -> AegisClient:
        """A client as an anonymous agent."""
        return self._client(self.endpoint)

    def operator(self) -> AegisClient:
        """A client as reviewer, auditor and admin."""
        return self._client(self.socket)

    def _client(self, endpoint: str, api_key: str = "") -> AegisClient:
        client = AegisClient(endpoint, api_key)
        if not self._test_kit:
            return client
        return AegisClient._over(Transport(client._settings.for_test_kit()))

    def update_policy(self, layers: Sequence[types.PolicyLayer]) -> str:
        """Puts another policy in force; its revision."""
        if not self._files:
            raise SidecarError("the daemon was started with the built-in policy, which no file can change: give it one")
        if not self._layers:
            raise SidecarError("the daemon serves policy files of its user's: change those")
        if len(layers) > len(self._files):
            raise SidecarError(
                f"the daemon was started with {len(self._files)} files, and this policy has {len(layers)} layers"
            )
        with self.operator() as operator:
            wanted = validate(operator, layers)
            self._layers = tuple(layers)
            self._write_layers()
            deadline = time.monotonic() + _process.START_TIMEOUT
            while operator.get_policy().revision != wanted:
                if time.monotonic() > deadline:
                    raise SidecarError(f"the daemon did not take the policy: {self.log[-2000:]}")
                time.sleep(0.01)
        return wanted

    def _write_layers(self) -> list[Path]:
        if not self._layers:
            return []
        texts = [layer.yaml for layer in self._layers]
        texts += [_EMPTY_LAYER] * (max(self._least_layers, len(self._files)) - len(texts))
        directory = self._home / "policy"
        directory.mkdir(exist_ok=True)
        files = []
        for index, text in enumerate(texts):
            file = directory / f"layer-{index}.yaml"
            fresh = file.with_suffix(".new")
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(file)
            files.append(file)
        return files

    def _named(self, text: str) -> str:
        """A text with the layers called what their owner calls them."""
        for file, layer in zip(self._files, self._layers, strict=False):
            text = text.replace(str(file), layer.name)
        return text


def validate(operator: AegisClient, layers: Sequence[types.PolicyLayer]) -> str:
    """The revision of a policy. Raises where it is not valid."""
    validation = operator.validate_policy(*layers)
    if not validation.valid:
        findings = "\n  ".join(map(str, validation.errors))
        raise SidecarError(f"the policy is not valid:\n  {findings}", reason="POLICY_INVALID")
    return validation.revision


def running_daemon(data_dir: Path) -> str | None:
    """The main endpoint of a daemon of this user that holds a data directory, where there is one."""
    socket = data_dir / "aegis.sock"
    try:
        if not stat.S_ISSOCK(socket.stat().st_mode):
            return None
        endpoint = (data_dir / "endpoint").read_text(encoding="utf-8").strip()
        with AegisClient(f"unix:{socket}", "", timeout=5.0, retries=0) as client:
            client.health()
    except (OSError, AegisError):
        return None
    return endpoint
