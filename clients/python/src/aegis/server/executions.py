"""The actions that the app runs. An action runs at most once, and goes on without the caller who asked for it.

Such an action goes the whole way by the rules of `aegis._govern`: prepared, proposed with the caller's credential,
decided by a reviewer where the policy says so, run on the daemon's `ALLOW`, and reported. The task that proposed it is
the only one that runs it. If the app ends in between, nobody runs it again, and its result is `unknown`.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aegis._govern.call import govern, may_run, not_allowed
from aegis._govern.decide import Proposed, best_effort, propose, withdraw
from aegis._govern.kept import Kept
from aegis._govern.run import run
from aegis._govern.terms import Terms, Work
from aegis._operations import agent
from aegis._operations.effects import Operation, call
from aegis._proto import governance_pb2
from aegis._requests import action as described
from aegis._requests import actor as declared
from aegis._transport import Transport
from aegis.adapters.base import BaseExecutor
from aegis.core.action import Action, ActionLike
from aegis.core.decision import Decision, Outcome
from aegis.core.errors import AegisError
from aegis.core.result import Result
from aegis.core.status import ResultStatus
from aegis.errors import AlreadyClaimed
from aegis.runtime.setup import Setup
from aegis.runtime.sync import in_thread
from aegis.server.callers import Callers
from aegis.server.orders import Order
from aegis.server.problems import Problem

AT_ONCE = 64
"""How many actions run at once; more wait for their turn."""
MOST = 1_000
"""How many are under way at once, with those that wait for a reviewer."""
MOST_OF_ONE = 250
"""How many of them one token may have."""
GRACE = 10.0
"""Seconds that actions may still run for when the app ends."""

_LOST = "the app ended before it could report the result: the action may have run, and is not run again"

_current: contextvars.ContextVar[tuple[Transport, Terms]] = contextvars.ContextVar("aegis.server.current")


@dataclass(frozen=True)
class Execution:
    """An action that goes its way."""

    decision: Decision
    """The first decision."""
    task: asyncio.Task[Result | None]
    """Ends with the result; with None where the action waits for somebody whom this app does not wait for."""


class Executions:
    """The actions that are under way."""

    def __init__(self, callers: Callers, executor: BaseExecutor) -> None:
        self._callers, self._executor = callers, executor
        self._setup = Setup(executor)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._started: set[asyncio.Task[Any]] = set()
        self._by_token: Counter[str | None] = Counter()
        self._by_decision: dict[str, asyncio.Task[Result | None]] = {}
        self._by_key: dict[tuple[str | None, str], asyncio.Future[Decision]] = {}
        executor.attach(_CurrentCaller())

    def prepared(self, order: Order) -> Action:
        """What is proposed for an order. Raises where it is no action of the executor, or cannot be sent whole."""
        action = self._executor.prepare(order.action)
        described(action)
        return action

    async def check(self, token: str | None, pairs: Sequence[tuple[Order, Action]]) -> None:
        """Lets the daemon check all actions before the first one is proposed."""
        items = [
            governance_pb2.EvaluateItem(actor=declared(order.actor), action=described(action)[1])
            for order, action in pairs
        ]
        async with self._callers.of(token) as caller:
            request = governance_pb2.EvaluateRequest(items=items)
            await caller.transport.run_async(call(caller.transport.settings, "Evaluate", request))

    async def start(self, token: str | None, order: Order, action: Action) -> Execution:
        """Proposes an action, which then goes its way without whoever asked."""
        key = order.idempotency_key
        earlier = None if key is None else self._by_key.get((token, key))
        if earlier is not None:
            # A request with the same key is being answered: what it got is known by then.
            await asyncio.wait({earlier})
        if len(self._tasks) >= MOST or self._by_token[token] >= MOST_OF_ONE:
            most = f"{MOST} actions are under way, or {MOST_OF_ONE} of this token"
            why = f"{most}: retry when some have ended"
            raise Problem("TOO_MANY_PENDING_APPROVALS", 429, why, retry_after=1.0)
        decided: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        claim = None if key is None else (token, key)
        if claim is not None:
            self._by_key[claim] = decided
        task = asyncio.create_task(self._carry_out(token, order, action, decided))
        self._tasks.add(task)
        self._by_token[token] += 1
        task.add_done_callback(lambda task: self._forget(task, token, claim, decided))
        return Execution(await asyncio.shield(decided), task)

    def _forget(
        self,
        task: asyncio.Task[Result | None],
        token: str | None,
        claim: tuple[str | None, str] | None,
        decided: asyncio.Future[Decision],
    ) -> None:
        self._tasks.discard(task)
        self._by_token[token] -= 1
        if self._by_token[token] == 0:
            del self._by_token[token]
        self._started.discard(task)
        if claim is not None and self._by_key.get(claim) is decided:
            del self._by_key[claim]
        for decision_id in [name for name, found in self._by_decision.items() if found is task]:
            del self._by_decision[decision_id]
        failure = None if task.cancelled() else task.exception()
        if not decided.done():
            decided.set_exception(failure or Problem("NOT_SERVING", 503, "the app ends: ask it later", retry_after=1.0))
            # Where nobody waits any more, nobody reads it.
            decided.exception()

    def of(self, decision_id: str) -> asyncio.Task[Result | None] | None:
        """The task that runs the action of a decision, or waits for its reviewer."""
        return self._by_decision.get(decision_id)

    async def _carry_out(
        self, token: str | None, order: Order, action: Action, decided: asyncio.Future[Decision]
    ) -> Result | None:
        async with self._callers.of(token) as caller:
            transport = caller.transport
            context = {"session_id": order.session_id, "metadata": order.metadata}
            terms = Terms(transport.settings, order.actor, context)
            _current.set((transport, terms))
            if type(self._executor).describe is not BaseExecutor.describe:
                action = await self._executor.describe(action)
            try:
                proposing = propose(terms, action, order.idempotency_key, order.confirmation_token)
                proposed = await transport.run_async(proposing)
            except AlreadyClaimed as claimed:
                return await self._joined(transport, claimed.decision, decided)
            task = asyncio.current_task()
            if task is not None and proposed.decision.outcome in {"ALLOW", "ESCALATE"}:
                self._by_decision[proposed.decision.decision_id] = task
            decided.set_result(proposed.decision)
            return await transport.run_async(finish(terms, proposed, self._work(task)))

    async def _joined(
        self, transport: Transport, decision: Decision, decided: asyncio.Future[Decision]
    ) -> Result | None:
        """The result of an action that another request with the same key proposed. It does not run here."""
        other = self._by_decision.get(decision.decision_id)
        if other is not None:
            decided.set_result(decision)
            return await asyncio.shield(other)
        # It may have ended in this very moment; else the app that ran it did.
        stands = await transport.run_async(agent.wait(transport.settings, decision, 0.0))
        decided.set_result(stands)
        action = decision.action
        if action is None or stands.outcome in {"ESCALATE", "REQUIRE_CONFIRMATION"}:
            return None
        if may_run(stands):
            return Result(action, ResultStatus.UNKNOWN, error=_LOST, decision=stands)
        return _not_run(Kept(*described(action)), stands, decision.outcome)

    def _work(self, task: asyncio.Task[Any] | None) -> Work:
        async def before() -> None:
            if task is not None:
                self._started.add(task)
            await self._setup.do()

        async def execute(action: Action) -> Any:
            async with self._turns:
                try:
                    return await self._executor.execute(action)
                except SystemExit as error:
                    # One action does not end the server.
                    raise RuntimeError(f"the executor wanted to end the process: {error}") from error

        return Work(execute, self._executor.verify, before=before)

    async def close(self) -> None:
        """Withdraws what waits for a reviewer, and lets what runs end, for `GRACE` seconds at most."""
        for task in self._tasks - self._started:
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=GRACE)
        left = set(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._setup.undo()


def finish(terms: Terms, proposed: Proposed, work: Work) -> Operation[Result | None]:
    """From the first decision to the recorded result. None where the agent's own user must confirm first."""
    decision, first = proposed.decision, proposed.decision.outcome
    if first == "REQUIRE_CONFIRMATION":
        return None
    if first == "ESCALATE":
        try:
            decision = yield from agent.wait(terms.settings, decision, None)
        except GeneratorExit:
            raise
        except BaseException:
            yield from best_effort(withdraw(terms, decision, "not tried: the app gave up before the action ran"))
            raise
    if may_run(decision):
        result = yield from run(terms, proposed.kept, decision, work)
        if not isinstance(result, Result):
            raise AssertionError("this work does not stream")
        return result
    return _not_run(proposed.kept, decision, first)


def _not_run(kept: Kept, decision: Decision, first: Outcome) -> Result:
    if decision.code == "CANCELLED":
        return Result(kept.action, ResultStatus.SKIPPED, error=decision.reason, decision=decision)
    return not_allowed(kept, decision, first)


class _CurrentCaller:
    """What an executor's action leads to, a redirect, is proposed by the caller of that action."""

    async def call(self, action: ActionLike, function: Callable[[Action], Any]) -> Result:
        """Governs one call of a function."""
        try:
            transport, terms = _current.get()
        except LookupError:
            raise AegisError("an executor asks for more while it runs an action, and at no other time") from None
        return await transport.run_async(govern(terms, action, Work(in_thread(function))))
