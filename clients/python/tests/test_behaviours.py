"""Runs tests/sdk/behaviours.yaml, all of it, with the sync and with the async client."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from aegis import (
    Action,
    ActionDenied,
    AegisClient,
    AegisError,
    AlreadyClaimed,
    AsyncAegisClient,
    GovernanceError,
    InvalidActionError,
    Result,
    ResultStatus,
    Retries,
    Runtime,
    governed,
)
from aegis.adapters.base import BaseExecutor
from aegis.testing import Sidecar

from .conftest import REPOSITORY
from .proxy import LosingProxy, Stub

TABLES = [yaml.safe_load((REPOSITORY / "tests/sdk" / name).read_text()) for name in ("behaviours.yaml", "once.yaml")]
DEADLINE = 60.0


class HookError(Exception):
    pass


class ExecutorError(Exception):
    pass


def cases() -> list[Any]:
    for table in TABLES:
        assert set(table) == {"version", "policy", "behaviours"}
        assert table["version"] == 1
    return [
        pytest.param(
            {"policy": table["policy"]} | behaviour, transport, flavour, id=f"{behaviour['name']}-{transport}-{flavour}"
        )
        for table in TABLES
        for behaviour in table["behaviours"]
        for transport in behaviour.get("transports", ["tcp"])
        for flavour in ("sync", "async")
    ]


@pytest.mark.parametrize(("behaviour", "transport", "flavour"), cases())
async def test_behaviour(behaviour: dict[str, Any], transport: str, flavour: str, tmp_path: Path) -> None:
    await asyncio.wait_for(Runner(behaviour, transport, flavour, tmp_path).run(), DEADLINE)


VARIABLES = ("AEGIS_ENDPOINT", "AEGIS_DATA_DIR", "AEGIS_TOKEN", "AEGIS_API_KEY", "XDG_STATE_HOME", "HOME")


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


def take(source: dict[str, Any], *known: str) -> dict[str, Any]:
    """The map, where it has no other keys than these."""
    unknown = set(source) - set(known)
    assert not unknown, f"the runner does not know {sorted(unknown)}"
    return source


def seconds(duration: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(ms|s|m)", duration).groups()  # type: ignore[union-attr]
    return float(number) * {"ms": 0.001, "s": 1, "m": 60}[unit]


def unsafe(value: Any) -> Any:
    """The value, with what YAML cannot say put in."""
    if isinstance(value, dict):
        if set(value) == {"$unsafe"}:
            what = value["$unsafe"]
            if isinstance(what, int):
                return what
            if what == "cycle":
                loop: dict[str, Any] = {}
                loop["itself"] = loop
                return loop
            return {"nan": float("nan"), "infinity": float("inf"), "function": lambda: None}[what]
        return {key: unsafe(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unsafe(item) for item in value]
    return value


def action_of(given: dict[str, Any]) -> Action:
    take(given, "type", "target", "params", "description")
    return Action(given["type"], given.get("target", ""), unsafe(given.get("params", {})), given.get("description", ""))


class Executor(BaseExecutor):
    def __init__(self, by_type: dict[str, dict[str, Any]]) -> None:
        self.by_type = by_type
        self.ran: list[str] = []

    async def execute(self, action: Action) -> Any:
        self.ran.append(action.type)
        does = take(self.by_type.get(action.type, {}), "returns", "raises", "verifies")
        if "raises" in does:
            raise ExecutorError(does["raises"])
        return does.get("returns")

    async def verify(self, action: Action, result: Result) -> bool:
        return self.by_type.get(action.type, {}).get("verifies", True)


class Runner:
    def __init__(self, behaviour: dict[str, Any], transport: str, flavour: str, directory: Path) -> None:
        take(
            behaviour, "name", "policy", "transports", "token", "stub", "steps", "record", "record_count", "environment"
        )
        self.behaviour, self.flavour = behaviour, flavour
        self.transport = transport
        self.socket = directory / "agent.sock"
        self.named: dict[str, Any] = {}
        self.background: dict[str, asyncio.Task[Any]] = {}
        self.proxy: LosingProxy | None = None

    async def run(self) -> None:
        stub = self.behaviour.get("stub")
        if stub is not None:
            server = Stub(take(take(stub, "propose")["propose"], "outcome")["outcome"])
            try:
                await self._steps(server.endpoint)
                assert not server.reports
                assert "record" not in self.behaviour
            finally:
                server.close()
            return
        arguments = ["--uds", str(self.socket)] if self.transport == "unix" else []
        # Below a short path: that of a socket has a limit.
        self.home = Path(tempfile.mkdtemp(prefix="home-"))
        data_dir = self.home / ".local/state/aegis" if "environment" in self.behaviour else None
        starting = Sidecar(self.behaviour["policy"], arguments=arguments, data_dir=data_dir)
        self.sidecar = sidecar = await asyncio.to_thread(starting.__enter__)
        try:
            endpoint = {"tcp": sidecar.endpoint, "unix": f"unix:{self.socket}"}[self.transport]
            if any("lose_answer" in step for step in self.behaviour["steps"]):
                self.proxy = LosingProxy(endpoint.removeprefix("http://"))
                endpoint = self.proxy.endpoint
            await self._steps(endpoint)
            await self._check_record()
        finally:
            for task in self.background.values():
                task.cancel()
            if self.proxy is not None:
                self.proxy.close()
            await asyncio.to_thread(sidecar.close)
            shutil.rmtree(self.home)

    # --- Clients of either flavour ---

    async def _steps(self, endpoint: str) -> None:
        token = self.behaviour.get("token", "")
        kind = {"sync": AegisClient, "async": AsyncAegisClient}[self.flavour]
        # Where the daemon comes back, an answer may still be on its way when it is killed: then enough patience for its
        # start.
        retries = 9 if any(step.get("daemon") == "start" for step in self.behaviour["steps"]) else 3
        given = self.behaviour.get("environment")
        if given is None:
            self.client = kind(endpoint, token, retries=retries, retry_delay=0.05)
        else:
            with self._environment(given):
                self.client = kind(retries=retries, retry_delay=0.05)
        try:
            for step in self.behaviour["steps"]:
                await self._step(dict(step))
            assert not self.background, "a step that runs in the background was not joined"
        finally:
            self.client._transport.close()

    @contextlib.contextmanager
    def _environment(self, given: dict[str, str]) -> Iterator[None]:
        """Variables as the behaviour names them."""
        empty = self.home / "empty"
        empty.mkdir()
        known = {
            "$home": self.home,
            "$state_home": self.home / ".local/state",
            "$data_dir": self.home / ".local/state/aegis",
            "$endpoint": self.sidecar.endpoint,
            "$empty": empty,
            "$nobody": f"http://127.0.0.1:{closed_port()}",
        }
        with pytest.MonkeyPatch.context() as patch:
            for name in VARIABLES:
                patch.delenv(name, raising=False)
            for name, value in given.items():
                assert name in VARIABLES, name
                patch.setenv(name, str(known[value]) if value.startswith("$") else value)
            yield

    async def do(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return await self.on(self.client, method, *args, **kwargs)

    async def on(self, client: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        if isinstance(client, AegisClient):
            return await asyncio.to_thread(getattr(client, method), *args, **kwargs)
        return await getattr(client, method)(*args, **kwargs)

    async def until(self, kind: str) -> Any:
        """The pending approval of this type, seen on the reviewer's stream of this flavour."""
        if self.flavour == "async":
            stream = self.sidecar.async_operator(retry_delay=0.05).stream_approvals()
            try:
                async for event in stream:
                    if event.kind == "pending" and event.approval.action.type == kind:
                        return event.approval
            finally:
                await stream.aclose()

        def look() -> Any:
            stream = self.sidecar.operator(retry_delay=0.05).stream_approvals()
            try:
                return next(e.approval for e in stream if e.kind == "pending" and e.approval.action.type == kind)
            finally:
                stream.close()

        return await asyncio.to_thread(look)

    # --- Steps ---

    async def _step(self, step: dict[str, Any]) -> None:
        verbs = [key for key in step if hasattr(self, f"verb_{key}")]
        assert len(verbs) == 1, f"one verb in {step}"
        verb = verbs[0]
        argument = step.pop(verb)
        expect, expect_error = step.pop("expect", None), step.pop("expect_error", None)
        background = step.pop("in_background", None)
        run: Callable[..., Any] = getattr(self, f"verb_{verb}")
        if verb == "join":
            take(step)
            answer, error = await self.background.pop(argument)
            return check(answer, error, expect, expect_error, self.named)
        task = asyncio.ensure_future(self._attempt(run(argument, step)))
        if background is not None:
            assert expect is None
            assert expect_error is None
            self.background[background] = task
            # It begins at once: give it the loop.
            await asyncio.sleep(0)
            return None
        answer, error = await task
        assert not step, f"the runner does not know {sorted(step)}"
        return check(answer, error, expect, expect_error, self.named)

    async def _attempt(self, work: Any) -> tuple[Any, BaseException | None]:
        try:
            return await work, None
        except (AegisError, HookError) as error:
            return getattr(error, "partial", None), error

    def verb_join(self) -> None:
        raise AssertionError("handled above")

    async def verb_governed(self, given: dict[str, Any], step: dict[str, Any]) -> Any:
        action = action_of(given)
        executor = Executor({action.type: step.pop("executor", {})})
        options: dict[str, Any] = {}
        if "deadline" in step:
            options["approval_timeout"] = seconds(step.pop("deadline"))
        if "hook" in step:
            hook = step.pop("hook")
            take(hook, "on_decision")
            options["on_decision"] = {"tries_to_allow": tries_to_allow, "raises": raises}[hook["on_decision"]]
        if "idempotency_key" in step:
            options["idempotency_key"] = step.pop("idempotency_key")
        options |= {"client": self.client, "description": action.description, "raise_on_deny": False}
        wrap = governed(action.type, action.target, **options)

        async def function(**params: Any) -> Any:
            assert params == action.params
            return await executor.execute(action)

        def plain(**params: Any) -> Any:
            return asyncio.run(function(**params))

        returned: Any = None
        try:
            if self.flavour == "sync":
                returned = await asyncio.to_thread(wrap(plain), **action.params)
            else:
                returned = await wrap(function)(**action.params)
        except ExecutorError as raised:
            answer = {"status": "failed", "error": str(raised)}
        except (AegisError, HookError) as raised:
            raised.partial = {"ran": bool(executor.ran)}  # type: ignore[union-attr]
            raise
        else:
            if isinstance(returned, Result):
                answer = {"status": returned.status.value, "error": returned.error, "reason": returned.reason}
                answer["data"] = returned.data
            else:
                answer = {"status": "success", "data": returned}
        return answer | {"ran": bool(executor.ran)}

    async def verb_plan(self, given: list[dict[str, Any]], step: dict[str, Any]) -> Any:
        actions = [action_of(take(entry, "action", "executor")["action"]) for entry in given]
        executor = Executor({entry["action"]["type"]: entry.get("executor", {}) for entry in given})
        rollback = action_of(step.pop("rollback")) if "rollback" in step else None
        runtime = Runtime(
            executor=executor,
            client=self.client,
            session_id=step.pop("session", None),
            retries=Retries(step.pop("max_retries", 0), backoff=0.01, rollback=rollback),
        )
        dry_run, key = step.pop("dry_run", False), step.pop("idempotency_key", None)
        async with runtime:
            plan = await runtime.aplan(actions) if self.flavour == "async" else runtime.plan(actions)
            results = await runtime.execute(plan, dry_run=dry_run, idempotency_key=key)
        return {"statuses": [result.status.value for result in results], "ran": executor.ran}

    async def verb_propose(self, given: dict[str, Any], step: dict[str, Any]) -> Any:
        options: dict[str, Any] = {"action": action_of(given)}
        if "confirms" in step:
            options["confirmation_token"] = self.named[step.pop("confirms")].confirmation_token
        if "idempotency_key" in step:
            options["idempotency_key"] = step.pop("idempotency_key")
        times = step.pop("times", None)
        name = step.pop("as", None)
        if times is not None:
            return list(await asyncio.gather(*(self.do("propose", **options) for _ in range(times))))
        decision = await self.do("propose", **options)
        if name is not None:
            self.named[name] = decision
        return decision

    async def verb_wait(self, name: str, step: dict[str, Any]) -> Any:
        timeout = seconds(step.pop("deadline")) if "deadline" in step else None
        return await self.do("wait", self.named[name], timeout)

    async def verb_cancel(self, name: str, step: dict[str, Any]) -> Any:
        return await self.do("cancel", self.named[name], step.pop("reason", ""))

    async def verb_evaluate(self, given: list[dict[str, Any]], step: dict[str, Any]) -> Any:
        actions = list(map(action_of, given))
        if len(actions) == 1:
            return [await self.do("evaluate", actions[0])]
        return await self.do("evaluate_many", actions)

    async def verb_list_pending(self, given: dict[str, Any], step: dict[str, Any]) -> Any:
        take(given)
        return await self.do("list_approvals")

    async def verb_approve(self, given: dict[str, Any], step: dict[str, Any]) -> Any:
        return await self._review("approve", given, step)

    async def verb_deny(self, given: dict[str, Any], step: dict[str, Any]) -> Any:
        return await self._review("deny", given, step)

    async def _review(self, verb: str, given: dict[str, Any], step: dict[str, Any]) -> Any:
        approval = await self.until(take(given, "type")["type"])
        reviewer = self.sidecar.operator() if self.flavour == "sync" else self.sidecar.async_operator()
        return await self.on(reviewer, verb, approval, reason=step.pop("reason", ""))

    async def verb_await_pending(self, given: dict[str, Any], step: dict[str, Any]) -> Any:
        return await self.until(take(given, "type")["type"])

    async def verb_daemon(self, what: str, step: dict[str, Any]) -> None:
        await asyncio.to_thread({"kill": self.sidecar.kill, "start": self.sidecar.start}[what])

    async def verb_policy(self, text: str, step: dict[str, Any]) -> None:
        await asyncio.to_thread(self.sidecar.set_policy, text)

    async def verb_lose_answer(self, method: str, step: dict[str, Any]) -> None:
        assert self.proxy is not None
        self.proxy.lose(method)

    # --- The record ---

    async def _check_record(self) -> None:
        wanted, count = self.behaviour.get("record"), self.behaviour.get("record_count")
        if wanted is None and count is None:
            return
        rows = await asyncio.to_thread(self.sidecar.audit.get_log)
        if count is not None:
            assert len(rows) == count
            return
        found = [row.to_dict() for row in rows]
        shown = [
            {
                "type": row["action_type"],
                "target": row["action_target"],
                "params": row["action_params"],
                "risk_level": row["risk_level"].lower(),
                "approval": row["approval"],
                "matched_rule": row["matched_rule"],
                "outcome": row["outcome"],
                "ending": row["human_decision"],
                "result_status": row["result_status"],
                "result_data": row["result_data"],
                "result_error": row["result_error"],
            }
            for row in found
        ]
        assert len(shown) == len(wanted), shown
        for row, expected in zip(shown, wanted, strict=True):
            take(expected, *row)
            assert {key: row[key] for key in expected} == expected


def tries_to_allow(action: Action, decision: Any) -> bool:
    object.__setattr__(decision, "outcome", "ALLOW")
    object.__setattr__(action, "type", "read_contacts")
    action.params["changed"] = True  # type: ignore[index]
    return True


def raises(action: Action, decision: Any) -> None:
    raise HookError("the hook raised")


def check(answer: Any, error: BaseException | None, expect: Any, expect_error: Any, named: dict[str, Any]) -> None:
    if expect_error is None:
        if error is not None:
            raise error
    else:
        assert error is not None, f"no error, but {answer}"
        check_error(error, dict(expect_error))
    if expect is None:
        return
    if isinstance(answer, list) and isinstance(expect, dict):
        expect = dict(expect)
        distinct = expect.pop("distinct_decisions", None)
        if distinct is not None:
            assert len({decision.decision_id for decision in answer}) == distinct
        for one in answer:
            check_one(one, expect, named)
    elif isinstance(expect, list):
        assert len(answer) == len(expect)
        for one, wanted in zip(answer, expect, strict=True):
            check_one(one, wanted, named)
    else:
        check_one(answer, expect, named)


def check_one(answer: Any, expect: dict[str, Any], named: dict[str, Any]) -> None:
    for key, wanted in expect.items():
        if key == "same_decision_as":
            assert answer.decision_id == named[wanted].decision_id
            continue
        if key in {"result_status", "result_data"}:
            found = getattr(answer.result, key.removeprefix("result_"))
        else:
            found = answer[key] if isinstance(answer, dict) else getattr(answer, key)
        if key == "risk_level":
            found = found.name.lower()
        if key in {"reason", "error"}:
            assert wanted in found
            continue
        assert found == wanted, f"{key} of {answer}"
        assert type(found) is type(wanted) or not isinstance(wanted, bool)


def check_error(error: BaseException, expect: dict[str, Any]) -> None:
    take(expect, "kind", "code", "reason", "path")
    kinds = {"transport": AegisError, "governance": GovernanceError, "invalid_action": InvalidActionError}
    kinds |= {"already_claimed": AlreadyClaimed, "hook": HookError}  # type: ignore[dict-item]
    assert type(error) is kinds[expect.pop("kind")], repr(error)
    for key, wanted in expect.items():
        assert getattr(error, key) == wanted, repr(error)


def test_the_runner_knows_every_status() -> None:
    assert {status.value for status in ResultStatus} >= {"success", "failed", "blocked", "denied", "skipped"}
    assert ActionDenied.__mro__[1] is GovernanceError
