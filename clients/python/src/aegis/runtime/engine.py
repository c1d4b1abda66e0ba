"""The runtime: plans of actions over an executor, each governed by the sidecar."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from aegis import types
from aegis._govern.call import begin, govern, skip
from aegis._govern.stream import Streaming, follow_async, recorded_items
from aegis._govern.terms import Confirm, Terms, Work
from aegis._operations import questions
from aegis.adapters.base import BaseExecutor
from aegis.core.action import Action, ActionLike
from aegis.core.errors import AegisError, GovernanceError, InvalidActionError
from aegis.core.policy import Policy
from aegis.core.result import Result
from aegis.core.status import ResultStatus
from aegis.errors import denial
from aegis.runtime.audit import AuditLog
from aegis.runtime.connection import Connector, Opened
from aegis.runtime.options import Access, AnyClient, Approvals, Hooks, Options, Recording, Retries, ShortOptions
from aegis.runtime.plan import ExecutionPlan
from aegis.runtime.plan_run import PlanRun
from aegis.runtime.setup import Setup
from aegis.runtime.sync import in_thread, run_sync

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Runtime"]

R = TypeVar("R", bound="Runtime")


class Runtime:
    """Governs what an executor does: `propose -> (ask) -> run -> report`, one action at a time or a plan of them.

    Which daemon, and under which policy:

    - `client`: that daemon, under the policy that is in force there.
    - `policy`: a sidecar of the runtime's own. The first use starts it with this policy, and `close` stops it. It keeps
      the record where `aegis serve` does, so that the command line finds it. A daemon that holds that place already is
      used if it runs under this very policy, and refused otherwise.
    - Both: that daemon, and nothing runs unless it decides by exactly this policy.
    - Neither: the daemon that an `AegisClient()` finds: by `AEGIS_ENDPOINT`, or on this machine.

    Args:
        executor: Runs the actions. It may be left out where only `call` is used.
        client: The connection to the daemon. It stays open when the runtime is closed.
        policy: See above.
        data_dir: Where a sidecar of the runtime's own keeps its files. None: where `aegis serve` does.
        session_id: The session under which the record finds what this runtime did. None: a random one.
        actor: Who proposes, as declared.
        metadata: Labels for the record.
        approvals: Who answers what the policy asks, and for how long the runtime waits.
        retries: What happens when an action fails.
        hooks: Functions that are told of decisions, answers and results.
        access: Clients with a reviewer's, an auditor's or an admin's credential.
        recording: What is said of results.
        short: `approval_handler`, `audit_logger`, `on_decision`, `on_approval`, `on_execute`, `max_retries`,
            `retry_backoff`: options of those groups by the names that they have in agent-aegis.
    """

    def __init__(
        self,
        *,
        executor: BaseExecutor | None = None,
        client: AnyClient | None = None,
        policy: Policy | None = None,
        data_dir: str | Path | None = None,
        session_id: str | None = None,
        actor: Mapping[str, Any] | types.Actor | str | None = None,
        metadata: Mapping[str, Any] | None = None,
        approvals: Approvals | None = None,
        retries: Retries | None = None,
        hooks: Hooks | None = None,
        access: Access | None = None,
        recording: Recording | None = None,
        **short: Unpack[ShortOptions],
    ) -> None:
        if data_dir is not None and (client is not None or policy is None):
            raise TypeError(
                "`data_dir` is where a sidecar of the runtime's own keeps its files: it goes with `policy` alone"
            )
        options = Options.read(
            short, approvals=approvals, retries=retries, hooks=hooks, access=access, recording=recording
        )
        own_sidecar = client is None and policy is not None
        if options.approvals.handler is not None and options.access.reviewer is None and not own_sidecar:
            raise AegisError(
                "an approval handler decides as a reviewer, and this process has no reviewer's credential: pass "
                "`access=Access(reviewer=AegisClient(endpoint, token))` (`aegis token create --role reviewer` makes a "
                "token), or leave the handler out and let reviewers elsewhere decide (`aegis review`)"
            )
        self.session_id = session_id if session_id is not None else uuid.uuid4().hex[:12]
        self._executor, self._options, self._actor = executor, options, actor
        self._connector = Connector(
            client,
            policy,
            Path(data_dir) if data_dir is not None else None,
            options,
            actor,
            {"session_id": self.session_id, "metadata": metadata or {}},
        )
        self._lock = threading.Lock()
        self._opened: Opened | None = None
        self._closed = False
        self._setup: Setup | None = None
        if executor is not None:
            executor.attach(self)

    # --- Plans ---

    def plan(self, actions: Iterable[ActionLike]) -> ExecutionPlan:
        """What the policy answers for these actions now. Nothing is recorded, nobody is asked.

        Asks the daemon in this thread, without awaiting: in async code that matters, use `aplan`.
        """
        opened = self._open()
        return self._planned(
            opened,
            opened.transport.run(questions.evaluate(opened.settings, self._prepared(actions), actor=self._actor)),
        )

    async def aplan(self, actions: Iterable[ActionLike]) -> ExecutionPlan:
        """`plan`, without keeping the event loop waiting."""
        opened = await self._open_async()
        return self._planned(
            opened,
            await opened.transport.run_async(
                questions.evaluate(opened.settings, self._prepared(actions), actor=self._actor)
            ),
        )

    def _prepared(self, actions: Iterable[ActionLike]) -> list[Action]:
        prepare = self._executor.prepare if self._executor is not None else lambda action: action
        return [prepare(Action.of(action)) for action in actions]

    def _planned(self, opened: Opened, evaluations: list[types.Evaluation]) -> ExecutionPlan:
        pinned = opened.terms.pinned_revision
        other = next((answer for answer in evaluations if pinned not in {None, answer.policy_revision}), None)
        if other is not None:
            raise GovernanceError(
                f"the daemon decides by policy {other.policy_revision[:12]}, and this runtime was given another",
                reason="POLICY_MISMATCH",
            )
        return ExecutionPlan(evaluations)

    async def execute(
        self,
        plan: ExecutionPlan | Iterable[ActionLike],
        dry_run: bool = False,
        parallelism: int = 1,
        *,
        idempotency_key: str | None = None,
    ) -> list[Result]:
        """Governs the actions of a plan, in order; one result each.

        A blocked action does not end the plan. A failed or denied one does: what comes after is proposed and at once
        reported as skipped, so that the record has it.

        Args:
            plan: A plan, or actions.
            dry_run: Whether to ask the policy only: nothing is recorded, nobody is asked, nothing runs.
            parallelism: How many actions may be under way at once.
            idempotency_key: Makes this run one with every run of this key within 24 hours: an action whose result was
                reported is not run again, its result is the recorded one. The action at index `i` is proposed with the
                key `KEY/i`. The session is part of what a key names, so give the runtime a `session_id`. None: this run
                is another than all others.

        Raises:
            AlreadyClaimed: Another run of this key got the answer for an action, and may be running it.
            AegisError: There is no answer. Its `results` are those until then. What came after was not tried.
        """
        if parallelism < 1:
            raise ValueError(f"parallelism must be 1 or more, not {parallelism}")
        actions = list(plan.actions if isinstance(plan, ExecutionPlan) else plan)
        keys = [None if idempotency_key is None else f"{idempotency_key}/{index}" for index in range(len(actions))]
        if idempotency_key == "":
            raise InvalidActionError("idempotency_key", "must not be empty: leave it out")
        return await self._execute(actions, keys, dry_run, parallelism)

    async def _execute(
        self, given: Sequence[ActionLike], keys: Sequence[str | None], dry_run: bool, parallelism: int = 1
    ) -> list[Result]:
        actions = self._prepared(given)
        if dry_run:
            return [_dry(evaluation) for evaluation in await self.aplan(actions)]
        async with self._session():
            opened = await self._open_async()
            return await PlanRun(opened.transport, lambda: opened.terms, self._work(), actions, keys).run(parallelism)

    async def run_one(self, action: ActionLike, dry_run: bool = False, *, idempotency_key: str | None = None) -> Result:
        """Governs one action. Runs with the same `idempotency_key` are one, as with `execute`; it is sent as it is."""
        return (await self._execute([action], [idempotency_key], dry_run))[0]

    def run_one_sync(self, action: ActionLike, dry_run: bool = False, *, idempotency_key: str | None = None) -> Result:
        """`run_one`, for code that is not async.

        In a thread that runs an event loop, another thread does the work.
        """
        result: Result = run_sync(lambda: self.run_one(action, dry_run, idempotency_key=idempotency_key))
        return result

    async def skip(
        self, action: ActionLike, reason: str, *, by_executor: bool = True, idempotency_key: str | None = None
    ) -> Result:
        """Puts on the record that an action was not tried: the agent's own user refused it, or a framework did.

        It is proposed and at once withdrawn, and does not run whatever the answer is. Its result is `skipped`; where
        the policy blocks it, the record calls it `blocked`.

        Args:
            action: The action.
            reason: Who refused it, and why. It is the error of the result.
            by_executor: Whether it is an action of the runtime's executor, as for `run_one`, which then prepares it.
            idempotency_key: Calls with the same key within 24 hours are one. None: this call is another than all.
        """
        prepared = self._prepared([action])[0] if by_executor else Action.of(action)
        opened = await self._open_async()
        result: Result = await opened.transport.run_async(skip(opened.terms, prepared, reason, idempotency_key))
        return result

    def skip_sync(
        self, action: ActionLike, reason: str, *, by_executor: bool = True, idempotency_key: str | None = None
    ) -> Result:
        """`skip`, for code that is not async.

        In a thread that runs an event loop, another thread does the work.
        """
        result: Result = run_sync(
            lambda: self.skip(action, reason, by_executor=by_executor, idempotency_key=idempotency_key)
        )
        return result

    async def call(
        self,
        action: ActionLike,
        function: Callable[[Action], Any],
        *,
        confirm: Confirm | None = None,
        again: Callable[[], Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Result:
        """Governs one call of a function, instead of the executor; once, without retries and rollback.

        A function that is not async runs in a thread, so that it does not keep the event loop waiting.

        Args:
            action: The action.
            function: Is given a copy of what was proposed. It may return a `Result`, or any other value, which is the
                data of a success.
            confirm: Asks the agent's own user, instead of the runtime's.
            again: Describes, just before the function is called, what it is about to do, as an action. The function is
                called only if that is what was proposed. For what the function does not take from its argument.
            idempotency_key: Calls with the same key within 24 hours are one: what was reported is not run again, and
                the result is the recorded one. None: this call is another than all others.

        Raises:
            AlreadyClaimed: Another call of this key got the answer, and may be running the action.
        """
        return await self._call(action, in_thread(function), confirm, again, idempotency_key)

    async def _call(
        self,
        action: ActionLike,
        function: Callable[[Action], Any],
        confirm: Confirm | None,
        again: Callable[[], Any] | None,
        key: str | None,
    ) -> Result:
        opened = await self._open_async()
        work = Work(function, again=again)
        return await opened.transport.run_async(govern(_confirming(opened.terms, confirm), action, work, key))

    def call_sync(
        self,
        action: ActionLike,
        function: Callable[[Action], Any],
        *,
        confirm: Confirm | None = None,
        again: Callable[[], Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Result:
        """`call`, for code that is not async.

        In a thread that runs an event loop, another thread does the work.
        """
        result: Result = run_sync(lambda: self._call(action, function, confirm, again, idempotency_key))
        return result

    async def stream(
        self,
        action: ActionLike,
        function: Callable[[Action], Any],
        *,
        confirm: Confirm | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Governs one call of a function that gives its results one by one: a generator, async or not.

        The action is proposed when the first item is asked for, and reported after the last one. With an
        `idempotency_key` whose result was reported, it gives the recorded items.

        Raises:
            AlreadyClaimed: Another call of this key got the answer, and may be running the action.
            ActionDenied: The answer is no.
        """
        opened = await self._open_async()
        terms = _confirming(opened.terms, confirm)
        outcome = await opened.transport.run_async(begin(terms, action, Work(function, streams=True), idempotency_key))
        if isinstance(outcome, Streaming):
            async with contextlib.aclosing(follow_async(opened.transport, terms, outcome)) as items:
                async for item in items:
                    yield item
        elif outcome.exception is not None:
            raise outcome.exception
        elif not outcome.ok and outcome.decision is not None:
            raise denial(outcome.decision, outcome)
        elif (items_again := recorded_items(outcome)) is not None:
            for item in items_again:
                yield item
        else:
            yield outcome.data

    # --- The policy and the record ---

    def update_policy(self, policy: Policy) -> str:
        """Puts another policy in force, and gives its revision.

        It changes a sidecar of the runtime's own; or, with `Access.admin`, the daemon of `client`, which takes one
        layer and writes it to its policy file. An agent has no right to it.
        """
        return self._open().change_policy(policy)

    @property
    def audit(self) -> AuditLog:
        """The record. Needs `Access.auditor`, or a sidecar of the runtime's own."""
        return self._open().record()

    @property
    def executor(self) -> BaseExecutor | None:
        """What runs the actions."""
        return self._executor

    @property
    def endpoint(self) -> str:
        """Where the daemon is."""
        return self._open().settings.address.url

    # --- Its life ---

    async def close(self) -> None:
        """Tears the executor down, stops a sidecar of the runtime's own. Closing twice is fine."""
        setup, self._setup = self._setup, None
        try:
            if setup is not None:
                await setup.undo()
        finally:
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        with self._lock:
            opened, self._opened = self._opened, None
            self._closed = True
        if opened is not None:
            opened.close()

    async def __aenter__(self: R) -> R:
        await self._open_async()
        self._setup = Setup(self._executor)
        self._setup.users = 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[None]:
        """The executor is set up once: for the whole of an `async with`, else for one run."""
        setup = self._setup
        if setup is None:
            self._setup = setup = Setup(self._executor)
        setup.users += 1
        try:
            yield
        finally:
            setup.users -= 1
            if setup.users == 0 and self._setup is setup:
                self._setup = None
                await setup.undo()

    async def _open_async(self) -> Opened:
        opened = self._opened
        return opened if opened is not None else await asyncio.to_thread(self._open)

    def _open(self) -> Opened:
        with self._lock:
            if self._closed:
                raise AegisError("this runtime is closed: make another one")
            opened = self._opened
            if opened is None:
                self._opened = opened = self._connector.connect()
            return opened

    def _work(self) -> Work:
        executor, setup, retries = self._executor, self._setup, self._options.retries
        if executor is None or setup is None:
            raise AegisError("this runtime has no executor: pass `executor=`, or use `call`")
        return Work(
            executor.execute,
            executor.verify,
            retries.max_retries,
            retries.backoff,
            retries.undoing(),
            setup.do,
            executor.describe if type(executor).describe is not BaseExecutor.describe else None,
        )


def _confirming(terms: Terms, confirm: Confirm | None) -> Terms:
    return terms if confirm is None else replace(terms, confirm=confirm)


def _dry(evaluation: types.Evaluation) -> Result:
    if evaluation.action is None:
        raise AssertionError("an evaluation has its action")
    if evaluation.outcome == "DENY":
        why = f"Blocked by policy rule {evaluation.matched_rule}: {evaluation.reason}"
        return Result(evaluation.action, ResultStatus.BLOCKED, error=why)
    word = "would_execute" if evaluation.outcome == "ALLOW" else "approval_required"
    return Result(evaluation.action, ResultStatus.SUCCESS, data={"dry_run": True, word: True})
