"""`create_app`: the ASGI app."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import AsyncIterator, Collection
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from aegis.adapters.base import BaseExecutor
from aegis.core.action import Action
from aegis.core.errors import AegisError
from aegis.core.policy import Policy
from aegis.server import problems
from aegis.server.callers import Callers
from aegis.server.door import Door
from aegis.server.executions import Executions
from aegis.server.operations import Operations
from aegis.server.problems import Problem
from aegis.server.sidecar import Backend, Source

_log = logging.getLogger("aegis.server")


class NoOpExecutor(BaseExecutor):
    """Does nothing and succeeds: the caller only wants the decision and the record."""

    async def execute(self, action: Action) -> dict[str, bool]:
        """Nothing."""
        return {"executed": True}


def create_app(
    *,
    policy_path: str | os.PathLike[str] | None = None,
    policy: Policy | None = None,
    executor: BaseExecutor | None = None,
    audit_db_path: str | os.PathLike[str] | None = None,
    endpoint: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    dev: bool = False,
    allowed_hosts: Collection[str] = (),
) -> Starlette:
    """The REST API of the daemon as an ASGI app, whose `execute` runs actions with your executor, in this process.

    Callers show a token (`authorization: Bearer TOKEN`; `aegis token create` makes one), and what they do is done with
    that token. Nobody is answered without one, but for `/health`, `/openapi.json` and `/docs`.

    Args:
        policy_path: The policy file. The app starts a sidecar with it, which watches it; `PUT /api/v1/policy` writes
            it.
        policy: A policy, in place of the file.
        executor: Runs what is allowed. None: nothing runs, and the data of a success is `{"executed": true}`.
        audit_db_path: The database of agent-aegis, which does not exist here. The log says where the record is.
        endpoint: A daemon that runs already, in place of a policy. Without either: the daemon that an `AegisClient()`
            finds.
        data_dir: Where the app's own sidecar keeps the record. None: where `aegis serve` does.
        dev: Whether callers on this machine, over loopback and through no proxy, need no token and have every role.
            For development; never beside a real agent.
        allowed_hosts: The names of this server in the Host header, beside `localhost` and the address that the
            connection came to.

    Raises:
        AegisError: The endpoint cannot be used.
        FileNotFoundError: There is no policy file.
    """
    if policy is not None and policy_path is not None:
        raise TypeError("the policy is `policy` or `policy_path`: give one of them")
    own = policy is not None or policy_path is not None
    if own and endpoint is not None:
        raise TypeError("a daemon that runs already (`endpoint`) has a policy: leave `policy` and `policy_path` out")
    if data_dir is not None and not own:
        raise TypeError("`data_dir` is where the app's own sidecar keeps its files: it goes with a policy alone")
    if executor is not None and not isinstance(executor, BaseExecutor):
        raise TypeError(f"the executor is an `aegis.adapters.base.BaseExecutor`, not a {type(executor).__name__}")
    file = None if policy_path is None else Path(policy_path).absolute()
    if file is not None and not file.is_file():
        raise FileNotFoundError(f"there is no policy file {file}")
    layers = () if policy is None else policy.layers
    source = Source(file, layers, endpoint, None if data_dir is None else Path(data_dir).absolute(), dev)
    if audit_db_path is not None:
        _log.warning(
            "there is no database `%s` to write: the daemon keeps the record, in %s. Read it with GET /api/v1/audit or "
            "`aegis audit`; `data_dir=` keeps it elsewhere",
            os.fspath(audit_db_path),
            source.record,
        )
    if dev:
        _log.warning("dev=True: callers on this machine need no token and have every role. Never beside a real agent")
    return _assembled(source, executor or NoOpExecutor(), allowed_hosts)


def _assembled(source: Source, executor: BaseExecutor, allowed_hosts: Collection[str]) -> Starlette:
    backend = Backend(source)
    callers = Callers(backend)
    executions = Executions(callers, executor)
    operations = Operations(callers, executions)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await backend.settings()
        try:
            yield
        finally:
            try:
                await executions.close()
            finally:
                await callers.close()
                await backend.close_async()

    decision = "/api/v1/governance/decisions/{decision_id}"
    app = Starlette(
        routes=[
            Route("/api/v1/execute", operations.execute, methods=["POST"]),
            Route(decision, operations.decision, methods=["GET"]),
            Route(decision + "/result", operations.report, methods=["POST"]),
            Route("/{path:path}", _Passed(operations)),
        ],
        middleware=[Middleware(Door, allowed_hosts=allowed_hosts, dev=source.dev)],
        exception_handlers={Problem: _problem, AegisError: _failure, Exception: _fault},
        lifespan=lifespan,
    )
    app.state.aegis_backend = backend
    return app


class _Passed:
    """An ASGI app, which takes requests of every method."""

    def __init__(self, operations: Operations) -> None:
        self._forward = operations.forward

    async def __call__(self, *arguments: object) -> None:
        await self._forward(*arguments)  # type: ignore[arg-type]


async def _problem(_: Request, error: Exception) -> Response:
    return error.response() if isinstance(error, Problem) else await _fault(_, error)


async def _failure(_: Request, error: Exception) -> Response:
    return problems.of(error).response() if isinstance(error, AegisError) else await _fault(_, error)


async def _fault(_: Request, error: Exception) -> Response:
    # What went wrong is in the log of the server: it may say more than a caller should know.
    return Problem("INTERNAL", 500, "the server has a fault: read its log").response()
