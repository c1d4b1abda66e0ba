"""The runtime: plans of actions over an executor, each governed by the sidecar."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sys
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeVar

from aegis import _operations, _sidecar, types
from aegis._client import AegisClient, AsyncAegisClient
from aegis._pipeline import Confirm, Hook, Hooks, Terms, Work, govern, skip
from aegis._settings import Settings
from aegis._sidecar import Daemon
from aegis._transport import Transport
from aegis.adapters.base import BaseExecutor
from aegis.core.action import Action, ActionLike
from aegis.core.policy import Policy
from aegis.core.result import Result, ResultStatus
from aegis.errors import AegisError, GovernanceError, ReportError, SidecarError
from aegis.runtime.approval import ApprovalHandler, CLIApprovalHandler
from aegis.runtime.audit import AuditLog
from aegis.runtime.plan import ExecutionPlan

__all__ = ["Runtime"]

R = TypeVar("R", bound="Runtime")
AnyClient = AegisClient | AsyncAegisClient
SKIPPED = "Skipped due to prior failure"
_LEAST_LAYERS = 4


class _Logger(Protocol):
    def log(self, result: Result) -> Any: ...


class Runtime:
    """Governs what an executor does: `propose -> (ask) -> run -> report`, one action at a time or a plan of them.

    Which daemon, and under which policy:

    - `client`: that daemon, under the policy that is in force there.
    - `policy`: a sidecar of the runtime's own, started with this policy at the first use and stopped by `close`. It keeps the
      record where `aegis serve` does, so that the command line finds it. Where a daemon holds that place already, it is used
      if it runs under this very policy, and refused otherwise.
    - Both: that daemon, and nothing runs unless it decides by exactly this policy.
    - Neither: the daemon that `AEGIS_ENDPOINT` and `AEGIS_TOKEN` name.

    Args:
        executor: Runs the actions. It may be left out where only `call` is used.
        client: The connection to the daemon. It stays open when the runtime is closed.
        policy: See above.
        approval_handler: Answers, in this process, what the policy asks reviewers. Needs `reviewer`, or a sidecar of the
            runtime's own. None: with such a sidecar and a terminal, the terminal is asked; else reviewers elsewhere are waited
            for (`aegis review`).
        audit_logger: Is told of every result (`LoggingAuditLogger`). The record is the daemon's, whatever this does.
        session_id: Under which the record finds what this runtime did. None: a random one.
        actor: Who proposes, as declared.
        metadata: Labels for the record.
        reviewer: A client with a reviewer's credential.
        auditor: A client with an auditor's credential, for `audit`.
        admin: A client with an admin's credential, for `update_policy`.
        data_dir: Where a sidecar of the runtime's own keeps its things. None: where `aegis serve` does.
        approval_timeout: Seconds to wait for a reviewer; then the proposal is withdrawn. None: until the question expires.
        confirm: Asks the agent's own user: `confirm(action, decision)`; only `True` is a yes. None: the answer is no.
        on_decision: Is told of each decision, a no as well: `(decision)` or `(action, decision)`. Sync or async, as all hooks.
            A hook cannot change an answer; what it raises ends the run, and what was allowed is reported as skipped.
        on_approval: Is told of each answer of a reviewer or user: `(decision)` or `(action, decision)`.
        on_execute: Is told of each result of what ran: `(result)` or `(action, result)`.
        max_retries: How many more times a failing action is tried, under its one decision.
        retry_backoff: Seconds before the first retry; each further one waits twice as long, at most 30 s.
        rollback: Undoes an action that failed for good: an action, or `rollback(action, result)`, which gives one or None. It
            is proposed and recorded as any.
        record_data: Whether what actions return goes to the record.
    """

    def __init__(
        self,
        *,
        executor: BaseExecutor | None = None,
        client: AnyClient | None = None,
        policy: Policy | None = None,
        approval_handler: ApprovalHandler | None = None,
        audit_logger: _Logger | None = None,
        session_id: str | None = None,
        actor: Mapping[str, Any] | types.Actor | str | None = None,
        metadata: Mapping[str, Any] | None = None,
        reviewer: AnyClient | None = None,
        auditor: AnyClient | None = None,
        admin: AnyClient | None = None,
        data_dir: str | Path | None = None,
        approval_timeout: float | None = None,
        confirm: Confirm | None = None,
        on_decision: Hook | None = None,
        on_approval: Hook | None = None,
        on_execute: Hook | None = None,
        max_retries: int = 0,
        retry_backoff: float = 1.0,
        rollback: ActionLike | Callable[..., Any] | None = None,
        record_data: bool = True,
    ) -> None:
        if data_dir is not None and (client is not None or policy is None):
            raise TypeError("`data_dir` is where a sidecar of the runtime's own keeps its things: it goes with `policy` alone")
        if max_retries < 0:
            raise ValueError(f"max_retries must be 0 or more, not {max_retries}")
        own_sidecar = client is None and policy is not None
        if approval_handler is not None and reviewer is None and not own_sidecar:
            raise AegisError(
                "an approval handler decides as a reviewer, and this process was given no reviewer's credential: pass "
                "`reviewer=AegisClient(endpoint, token)` (`aegis token create --role reviewer` makes one), or leave the handler "
                "out and let reviewers elsewhere decide (`aegis review`)"
            )
        self.session_id = session_id if session_id is not None else uuid.uuid4().hex[:12]
        self._executor = executor
        self._client, self._policy = client, policy
        self._handler = approval_handler
        self._logger = audit_logger
        self._actor, self._metadata = actor, metadata
        self._reviewer, self._auditor, self._admin = reviewer, auditor, admin
        self._data_dir = Path(data_dir) if data_dir is not None else None
        self._approval_timeout, self._confirm = approval_timeout, confirm
        self._hooks = Hooks(on_decision, on_approval, on_execute)
        self._max_retries, self._retry_backoff = max_retries, retry_backoff
        self._rollback = _rollback_of(rollback)
        self._record_data = record_data
        self._lock = threading.Lock()
        self._opened: _Opened | None = None
        self._closed = False
        self._setup: _Setup | None = None
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
            opened.transport.run(_operations.evaluate(opened.settings, self._prepared(actions), actor=self._actor)),
        )

    async def aplan(self, actions: Iterable[ActionLike]) -> ExecutionPlan:
        """`plan`, without keeping the event loop waiting."""
        opened = await self._open_async()
        return self._planned(
            opened,
            await opened.transport.run_async(_operations.evaluate(opened.settings, self._prepared(actions), actor=self._actor)),
        )

    def _prepared(self, actions: Iterable[ActionLike]) -> list[Action]:
        prepare = self._executor.prepare if self._executor is not None else lambda action: action
        return [prepare(Action.of(action)) for action in actions]

    def _planned(self, opened: _Opened, evaluations: list[types.Evaluation]) -> ExecutionPlan:
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
    ) -> list[Result]:
        """Governs the actions of a plan, in order; one result each.

        A blocked action does not end the plan. A failed or denied one does: what comes after is proposed and at once reported
        as skipped, so that the record has it.

        Args:
            plan: A plan, or actions.
            dry_run: Whether to ask the policy only: nothing is recorded, nobody is asked, nothing runs.
            parallelism: How many actions may be under way at once.

        Raises:
            AegisError: There is no answer. Its `results` are those until then. What came after was not tried.
        """
        if parallelism < 1:
            raise ValueError(f"parallelism must be 1 or more, not {parallelism}")
        actions = self._prepared(plan.actions if isinstance(plan, ExecutionPlan) else plan)
        if dry_run:
            return [_dry(evaluation) for evaluation in await self.aplan(actions)]
        async with self._session():
            return await _PlanRun(self, await self._open_async(), actions).run(parallelism)

    async def run_one(self, action: ActionLike, dry_run: bool = False) -> Result:
        """Governs one action."""
        return (await self.execute([action], dry_run=dry_run))[0]

    def run_one_sync(self, action: ActionLike, dry_run: bool = False) -> Result:
        """`run_one`, for code that is not async. In a thread that runs an event loop, another thread does the work meanwhile."""
        result: Result = run_sync(lambda: self.run_one(action, dry_run))
        return result

    async def call(self, action: ActionLike, function: Callable[[Action], Any], *, confirm: Confirm | None = None) -> Result:
        """Governs one call of a function, sync or async, instead of the executor; once, without retries and rollback.

        Args:
            action: The action.
            function: Is given what was proposed. It may return a `Result`, or any other value, which is the data of a success.
            confirm: Asks the agent's own user, instead of the runtime's.
        """
        opened = await self._open_async()
        terms = opened.terms if confirm is None else replace(opened.terms, confirm=confirm)
        return await opened.transport.run_async(govern(terms, action, Work(function)))

    def call_sync(self, action: ActionLike, function: Callable[[Action], Any], *, confirm: Confirm | None = None) -> Result:
        """`call`, for code that is not async. In a thread that runs an event loop, another thread does the work meanwhile."""
        result: Result = run_sync(lambda: self.call(action, function, confirm=confirm))
        return result

    # --- The policy and the record ---

    def update_policy(self, policy: Policy) -> str:
        """Puts another policy in force, and gives its revision.

        On a sidecar of the runtime's own; or, with `admin`, on the daemon of `client` (which takes one layer and writes it to
        its policy file). An agent has no right to it.
        """
        opened = self._open()
        if opened.daemon is not None:
            revision = opened.daemon.update_policy(policy.layers)
        elif self._admin is not None:
            if len(policy.layers) != 1:
                raise AegisError(
                    f"a daemon takes a policy of one layer over the network, and this has {len(policy.layers)}: change its files"
                )
            admin = self._admin._transport
            update = _operations.update_policy(admin.settings, policy.layers[0].yaml, None)
            info: types.PolicyInfo = admin.run(update)
            revision = info.revision
        else:
            raise AegisError(
                "only an admin changes the policy of a daemon, and this process was given no admin's credential: pass "
                "`admin=AegisClient(endpoint, token)`, or change the daemon's policy file"
            )
        self._policy = policy if self._policy is not None else None
        if opened.terms.pinned_revision is not None:
            opened.terms = replace(opened.terms, pinned_revision=revision)
        return revision

    @property
    def audit(self) -> AuditLog:
        """The record. Needs `auditor`, or a sidecar of the runtime's own."""
        opened = self._open()
        client = self._auditor if self._auditor is not None else opened.operator
        if client is None:
            raise AegisError(
                "the record is read by auditors, and this process was given no auditor's credential: pass "
                "`auditor=AegisClient(endpoint, token)` (`aegis token create --role auditor` makes one), or use `aegis audit`"
            )
        return AuditLog(AegisClient._over(client._transport))

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
        self._setup = _Setup(self._executor)
        self._setup.users = 1
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[None]:
        """The executor is set up once: for the whole of an `async with`, else for one run."""
        setup = self._setup
        if setup is None:
            self._setup = setup = _Setup(self._executor)
        setup.users += 1
        try:
            yield
        finally:
            setup.users -= 1
            if setup.users == 0 and self._setup is setup:
                self._setup = None
                await setup.undo()

    async def _open_async(self) -> _Opened:
        opened = self._opened
        return opened if opened is not None else await asyncio.to_thread(self._open)

    def _open(self) -> _Opened:
        with self._lock:
            if self._closed:
                raise AegisError("this runtime is closed: make another one")
            opened = self._opened
            if opened is None:
                self._opened = opened = self._connect()
            return opened

    def _connect(self) -> _Opened:
        daemon: Daemon | None = None
        operator: AegisClient | None = None
        pinned: str | None = None
        own = True
        if self._client is not None:
            transport, own = self._client._transport, False
            pinned = self._policy.revision if self._policy is not None else None
        elif self._policy is None:
            transport = AegisClient()._transport
        else:
            daemon, agent, operator = _local(self._policy, self._data_dir)
            transport = agent._transport
        opened = _Opened(transport, own, daemon, operator, Terms(transport.settings))
        reviewer = self._reviewer if self._reviewer is not None else operator
        handler = self._handler
        if handler is None and operator is not None and sys.stdin is not None and sys.stdin.isatty():
            handler = CLIApprovalHandler()
        if handler is not None and reviewer is not None:
            try:
                handler.attached(reviewer._settings)
            except BaseException:
                opened.close()
                raise
        opened.terms = Terms(
            transport.settings,
            self._actor,
            {"session_id": self.session_id, "metadata": self._metadata or {}},
            self._approval_timeout,
            self._confirm,
            self._hooks,
            pinned,
            _asking(opened, handler, reviewer, self._approval_timeout),
            None if self._logger is None else self._logger.log,
            self._record_data,
        )
        return opened

    def _work(self) -> Work:
        executor, setup = self._executor, self._setup
        if executor is None or setup is None:
            raise AegisError("this runtime has no executor: pass `executor=`, or use `call`")
        return Work(
            executor.execute,
            executor.verify,
            self._max_retries,
            self._retry_backoff,
            self._rollback,
            setup.do,
        )


class _Opened:
    """A runtime's connection, and what belongs to it."""

    def __init__(
        self,
        transport: Transport,
        own: bool,
        daemon: Daemon | None,
        operator: AegisClient | None,
        terms: Terms,
    ) -> None:
        self.transport = transport
        self.daemon, self.operator = daemon, operator
        self.terms = terms
        self._own = own

    @property
    def settings(self) -> Settings:
        return self.transport.settings

    def close(self) -> None:
        if self._own:
            self.transport.close()
        if self.operator is not None:
            self.operator.close()
        if self.daemon is not None:
            self.daemon.close()


_isolated: Callable[[Sequence[types.PolicyLayer]], Daemon] | None = None
"""How sidecars are started inside `aegis.testing.isolated`."""


def _local(policy: Policy, data_dir: Path | None) -> tuple[Daemon | None, AegisClient, AegisClient]:
    """A sidecar for a policy: a daemon of our own, or the one that holds the data directory, under this very policy."""
    if _isolated is not None:
        daemon = _isolated(policy.layers)
        daemon.start()
        return daemon, daemon.agent(), daemon.operator()
    where = (data_dir if data_dir is not None else _sidecar.default_data_dir()).absolute()
    endpoint = _sidecar.running_daemon(where)
    if endpoint is None:
        daemon = Daemon(policy.layers, data_dir=where, least_layers=_LEAST_LAYERS)
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
            f"a daemon with another policy holds {where} (revision {there[:12]}, not {wanted[:12]}): stop it, put this policy in "
            "force there, run under its policy with `Runtime(client=AegisClient())`, or keep this runtime's record elsewhere "
            "with `data_dir=`",
            reason="POLICY_MISMATCH",
        )
    return None, AegisClient(endpoint, ""), operator


def _asking(
    opened: _Opened, handler: ApprovalHandler | None, reviewer: AnyClient | None, timeout: float | None
) -> Callable[[types.Decision], Awaitable[types.Decision]] | None:
    """Waits for a reviewer's answer while a handler, itself a reviewer, may give one."""
    if handler is None or reviewer is None:
        return None
    asked, client = handler, AsyncAegisClient._over(reviewer._transport)

    async def ask(decision: types.Decision) -> None:
        approval = await client.get_approval(decision.approval_id or "")
        if approval.ending is not None:
            return
        if approval.action_digest != decision.action_digest:
            raise GovernanceError(f"{approval.approval_id} is not about what was proposed", reason="DIGEST_MISMATCH")
        answer = await asked.request_approval(approval)
        try:
            if answer is True:
                await client.approve(approval)
            elif answer is not None:
                await client.deny(approval)
        except GovernanceError as error:
            if error.reason not in {"ALREADY_DECIDED", "EXPIRED"}:
                raise

    async def wait(decision: types.Decision) -> types.Decision:
        waiting = asyncio.ensure_future(opened.transport.run_async(_operations.wait(opened.settings, decision, timeout)))
        asking = asyncio.ensure_future(ask(decision))
        try:
            await asyncio.wait({waiting, asking}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                await asking
            return await waiting
        finally:
            for task in (waiting, asking):
                task.cancel()
            await asyncio.gather(waiting, asking, return_exceptions=True)

    return wait


class _PlanRun:
    """One execution of a plan."""

    def __init__(self, runtime: Runtime, opened: _Opened, actions: list[Action]) -> None:
        self._opened = opened
        self._work = runtime._work()
        self._actions = actions
        self._results: dict[int, Result] = {}
        self._turns = iter(range(len(actions)))
        self._stopped = False
        self._error: BaseException | None = None

    async def run(self, parallelism: int) -> list[Result]:
        workers = [asyncio.ensure_future(self._worker()) for _ in range(min(parallelism, len(self._actions)))]
        try:
            await asyncio.gather(*workers)
        except BaseException:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            raise
        results = [self._results[index] for index in sorted(self._results)]
        if self._error is not None:
            if isinstance(self._error, AegisError):
                self._error.results = results
            raise self._error
        return results

    async def _worker(self) -> None:
        for index in self._turns:
            action = self._actions[index]
            terms = self._opened.terms
            if self._stopped:
                await self._skip(terms, index, action)
                continue
            try:
                result = await self._opened.transport.run_async(govern(terms, action, self._work))
            except ReportError as error:
                self._results[index] = error.result
                self._stop(error)
            except Exception as error:
                self._stop(error)
            else:
                self._results[index] = result
                if result.status not in {ResultStatus.SUCCESS, ResultStatus.BLOCKED, ResultStatus.SKIPPED}:
                    self._stopped = True

    def _stop(self, error: Exception) -> None:
        self._stopped = True
        if self._error is None:
            self._error = error

    async def _skip(self, terms: Terms, index: int, action: Action) -> None:
        if isinstance(self._error, AegisError):
            # The daemon does not answer, or not so that it could be relied on.
            return
        try:
            self._results[index] = await self._opened.transport.run_async(skip(terms, action, SKIPPED))
        except AegisError as error:
            self._stop(error)


class _Setup:
    """Sets an executor up before the first action that is allowed, once."""

    def __init__(self, executor: BaseExecutor | None) -> None:
        self._executor = executor
        self._turn = asyncio.Lock()
        self._done = False
        self.users = 0

    async def do(self) -> None:
        async with self._turn:
            if not self._done and self._executor is not None:
                await _awaited(self._executor.setup())
                self._done = True

    async def undo(self) -> None:
        if self._done and self._executor is not None:
            self._done = False
            await _awaited(self._executor.teardown())


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def _rollback_of(given: ActionLike | Callable[..., Any] | None) -> Callable[[Action, Result], Any] | None:
    if given is None or (callable(given) and not isinstance(given, (Action, Mapping))):
        return given
    undoing: Any = given
    return lambda _action, _result: undoing


def _dry(evaluation: types.Evaluation) -> Result:
    if evaluation.action is None:
        raise AssertionError("an evaluation has its action")
    if evaluation.outcome == "DENY":
        why = f"Blocked by policy rule {evaluation.matched_rule}: {evaluation.reason}"
        return Result(evaluation.action, ResultStatus.BLOCKED, error=why)
    word = "would_execute" if evaluation.outcome == "ALLOW" else "approval_required"
    return Result(evaluation.action, ResultStatus.SUCCESS, data={"dry_run": True, word: True})


@dataclass
class _Outcome:
    value: Any = None
    error: BaseException | None = None


def run_sync(work: Callable[[], Awaitable[Any]]) -> Any:
    """Runs async work to its end, for code that is not async, whether or not this thread runs an event loop."""

    async def main() -> Any:
        return await work()

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(main())
    outcome = _Outcome()

    def run() -> None:
        try:
            outcome.value = asyncio.run(main())
        except BaseException as error:
            outcome.error = error

    thread = threading.Thread(target=run, name="aegis-call")
    thread.start()
    thread.join()
    if outcome.error is not None:
        raise outcome.error
    return outcome.value
