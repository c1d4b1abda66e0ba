"""The operations of the app: `execute` with its executor, and everything else by the daemon."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from aegis.core.action import Action
from aegis.core.errors import AegisError, FieldViolation, InvalidActionError
from aegis.errors import ReportError
from aegis.server import durations, orders, problems, words
from aegis.server.attempts import Attempt
from aegis.server.body import Receiver, read_json
from aegis.server.callers import Callers
from aegis.server.door import ATTEMPT, TOKEN
from aegis.server.executions import Execution, Executions
from aegis.server.forward import Forwarded, sent, until_hung_up
from aegis.server.orders import Order, Orders
from aegis.server.problems import Problem

_ITEM = re.compile(r"items\[(\d+)\]\.(.*)")


class Operations:
    """What the app answers."""

    def __init__(self, callers: Callers, executions: Executions) -> None:
        self._callers, self._executions = callers, executions
        self._receiver = Receiver()

    # --- Execute ---

    async def execute(self, request: Request) -> Response:
        """Takes actions the whole way, and answers with what became of them, or after `wait` with 202."""
        token: str | None = request.scope[TOKEN]
        asked = orders.read(read_json(await self._receiver.receive(request)))
        pairs = self._prepared(asked)
        try:
            if len(pairs) > 1:
                await self._executions.check(token, pairs)
        except AegisError as error:
            raise self._refused(request, error, _called(asked)) from error
        starting = [self._executions.start(token, order, action) for order, action in pairs]
        begun = await asyncio.gather(*starting, return_exceptions=True)
        for order, execution in zip(asked.orders, begun, strict=True):
            if isinstance(execution, AegisError):
                raise self._refused(request, execution, order.called) from execution
            if isinstance(execution, BaseException):
                raise execution
        executions = [execution for execution in begun if isinstance(execution, Execution)]
        settle(request, 200)
        await _ended(request, executions, asked.wait)
        return _answer(request, executions, is_list=asked.is_list)

    def _prepared(self, asked: Orders) -> list[tuple[Order, Action]]:
        pairs: list[tuple[Order, Action]] = []
        wrong: list[FieldViolation] = []
        for order in asked.orders:
            try:
                pairs.append((order, self._executions.prepared(order)))
            except InvalidActionError as error:
                path = order.called(error.path)
                wrong.append(FieldViolation(path, str(error).removeprefix(f"{error.path}: ")))
        if wrong:
            raise problems.invalid(*wrong)
        return pairs

    # --- What the daemon answers ---

    async def forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        request = Request(scope, receive)
        body = await self._receiver.receive(request)
        await Forwarded(self._callers, request, body, settle)(scope, receive, send)

    async def decision(self, request: Request) -> Response:
        """Where a decision stands. Of an action that this app runs, it waits for the result."""
        token: str | None = request.scope[TOKEN]
        task = self._executions.of(request.path_params["decision_id"])
        wait = _wait(request)
        query: bytes | None = None
        if task is not None and wait is not None:
            async with self._callers.of(token) as caller:
                answer = await sent(caller, request, b"", b"")
                await answer.aclose()
            # Whose decision it is, the daemon knows.
            if answer.status_code == 200:
                await until_hung_up(request, asyncio.ensure_future(asyncio.wait({task}, timeout=wait)))
                query = b""
        return Forwarded(self._callers, request, b"", settle, query=query)

    async def report(self, request: Request) -> Response:
        """A report of an agent that runs its action itself. What this app runs, it reports."""
        if self._executions.of(request.path_params["decision_id"]) is not None:
            raise Problem("NOT_REPORTABLE", 409, "the server runs this action, and reports its result")
        body = await self._receiver.receive(request)
        return Forwarded(self._callers, request, body, settle)

    def _refused(self, request: Request, error: AegisError, rename: Callable[[str], str]) -> Problem:
        problem = problems.of(error, rename)
        settle(request, problem.status)
        return problem


def settle(request: Request, status: int) -> None:
    """Counts a token that turned out to be wrong, by the status of an answer."""
    attempt: Attempt | None = request.scope[ATTEMPT]
    # A daemon that does not answer, or asks for patience, has not looked at the token.
    if attempt is not None and status not in {429, 503}:
        attempt.settle(right=status != 401)


def _called(asked: Orders) -> Callable[[str], str]:
    def rename(path: str) -> str:
        item = _ITEM.fullmatch(path)
        return path if item is None else asked.orders[int(item[1])].called(item[2])

    return rename


def _wait(request: Request) -> float | None:
    """The seconds of `?wait=`, where that is all that the query has; what is wrong with it, the daemon says."""
    query = parse_qs(request.url.query, keep_blank_values=True)
    with contextlib.suppress(ValueError):
        if list(query) == ["wait"] and len(query["wait"]) == 1:
            return durations.seconds(query["wait"][0])
    return None


async def _ended(request: Request, executions: list[Execution], wait: float) -> None:
    """Waits until all have ended, for so long at most, and no longer than the caller does."""
    # What is refused has ended but for a moment.
    now = [it.task for it in executions if it.decision.outcome not in {"ALLOW", "ESCALATE"}]
    if now:
        await asyncio.wait(now)
    tasks = {execution.task for execution in executions}
    if wait > 0:
        await until_hung_up(request, asyncio.ensure_future(asyncio.wait(tasks, timeout=wait)))


def _answer(request: Request, executions: list[Execution], *, is_list: bool) -> Response:
    results: list[dict[str, Any]] = []
    for execution in executions:
        task = execution.task
        if not task.done():
            results.append(words.pending(execution.decision))
            continue
        if task.cancelled():
            raise Problem("NOT_SERVING", 503, "the app ends: ask it later", retry_after=1.0)
        failure = task.exception()
        if isinstance(failure, ReportError):
            raise Problem("RECORD_UNAVAILABLE", 503, str(failure)) from failure
        if isinstance(failure, AegisError):
            raise problems.of(failure) from failure
        result = task.result()
        results.append(words.pending(execution.decision) if result is None else words.execution(result))
    is_pending = any(result["status"] == "pending" for result in results)
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    if not is_list:
        decision_id = executions[0].decision.decision_id
        headers["aegis-decision-id"] = decision_id
        if is_pending:
            root = request.scope.get("root_path", "")
            headers["location"] = f"{root}/api/v1/governance/decisions/{decision_id}"
    return JSONResponse(results if is_list else results[0], 202 if is_pending else 200, headers)
