from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from datetime import date
from enum import Enum
from typing import Any

from agents import Agent, Model, ModelResponse, RunConfig, RunContextWrapper, Runner, Usage
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText
from pydantic import BaseModel

from aegis import Action
from aegis.adapters.openai_agents import governed_tool
from aegis.testing import Sidecar

from .conftest import record


class FakeModel(Model):
    """Calls one tool, then says what the tool said."""

    def __init__(self, name: str, arguments: dict[str, Any]) -> None:
        self.call = ResponseFunctionToolCall(
            type="function_call", call_id="call_1", name=name, arguments=json.dumps(arguments)
        )

    async def get_response(self, system_instructions: Any, input: Any, *args: Any, **kwargs: Any) -> ModelResponse:  # noqa: A002
        outputs = [
            item["output"] for item in input if isinstance(item, dict) and item.get("type") == "function_call_output"
        ]
        if not outputs:
            return ModelResponse(output=[self.call], usage=Usage(), response_id=None)
        text = ResponseOutputText(type="output_text", text=str(outputs[-1]), annotations=[])
        message = ResponseOutputMessage(id="m", type="message", role="assistant", status="completed", content=[text])
        return ModelResponse(output=[message], usage=Usage(), response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        raise NotImplementedError


QUIET = RunConfig(tracing_disabled=True)


async def test_allowed_blocked_and_failing_calls(sidecar: Sidecar, runtime: Any) -> None:
    ran: list[Any] = []

    @governed_tool(runtime=runtime, action_type="allowed_update", action_target="crm")
    async def update_contact(context: RunContextWrapper[str], name: str, tags: list[str]) -> str:
        """Updates a contact.

        Args:
            name: Whose.
            tags: Which tags.
        """
        ran.append((context.context, name, tags))
        return f"updated {name}"

    @governed_tool(runtime=runtime, action_type="wipe", action_target="crm")
    def wipe(table: str) -> str:
        """Wipes a table."""
        raise AssertionError("it must not run")

    schema = update_contact.params_json_schema
    assert set(schema["properties"]) == {"name", "tags"}
    assert schema["properties"]["name"]["description"] == "Whose."
    agent = Agent(name="a", model=FakeModel("update_contact", {"name": "Ada", "tags": ["x"]}), tools=[update_contact])
    assert (await Runner.run(agent, "go", context="who", run_config=QUIET)).final_output == "updated Ada"
    assert ran == [("who", "Ada", ["x"])]
    agent = Agent(name="a", model=FakeModel("wipe", {"table": "users"}), tools=[wipe])
    assert (await Runner.run(agent, "go", run_config=QUIET)).final_output.startswith("[AEGIS BLOCKED]")
    assert record(sidecar) == [("allowed_update", "crm", "success"), ("wipe", "crm", "blocked")]
    assert sidecar.audit.get_log()[0].action.params == {"name": "Ada", "tags": ["x"]}


async def test_the_agents_user_confirms_with_the_sdks_own_approval(sidecar: Sidecar, runtime: Any) -> None:
    sent: list[str] = []

    @governed_tool(runtime=runtime, action_type="confirmed_send", action_target="mail")
    async def send(to: str) -> str:
        """Sends a mail."""
        sent.append(to)
        return "sent"

    agent = Agent(name="a", model=FakeModel("send", {"to": "ada"}), tools=[send])
    stopped = await Runner.run(agent, "go", run_config=QUIET)
    assert [item.name for item in stopped.interruptions] == ["send"]
    assert sent == []
    # Looking at the policy leaves no record: nothing was proposed yet.
    assert record(sidecar) == []

    state = stopped.to_state()
    state.reject(stopped.interruptions[0])
    assert "sent" not in (await Runner.run(agent, state, run_config=QUIET)).final_output
    assert sent == []

    stopped = await Runner.run(agent, "go", run_config=QUIET)
    state = stopped.to_state()
    state.approve(stopped.interruptions[0])
    assert (await Runner.run(agent, state, run_config=QUIET)).final_output == "sent"
    assert sent == ["ada"]
    # The question, and the proposal that answers it.
    rows = sidecar.audit.get_log()
    assert [row.outcome for row in rows] == ["REQUIRE_CONFIRMATION", "ALLOW"]
    assert record(sidecar)[-1] == ("confirmed_send", "mail", "success")


async def test_without_the_users_word_a_confirmation_is_a_no(sidecar: Sidecar, runtime: Any) -> None:
    @governed_tool(runtime=runtime, action_type="confirmed_send", needs_approval=False)
    def send(to: str) -> str:
        """Sends a mail."""
        raise AssertionError("it must not run")

    agent = Agent(name="a", model=FakeModel("send", {"to": "ada"}), tools=[send])
    assert (await Runner.run(agent, "go", run_config=QUIET)).final_output.startswith("[AEGIS DENIED]")
    assert record(sidecar) == [("confirmed_send", "default", "skipped")]


async def test_a_reviewer_is_waited_for(sidecar: Sidecar, approving: Any) -> None:
    @governed_tool(runtime=approving, action_type="asked_update")
    def update(name: str) -> str:
        """Updates."""
        return f"updated {name}"

    agent = Agent(name="a", model=FakeModel("update", {"name": "Ada"}), tools=[update])
    assert (await Runner.run(agent, "go", run_config=QUIET)).final_output == "updated Ada"
    assert record(sidecar) == [("asked_update", "default", "success")]


class Colour(str, Enum):
    RED = "red"


class Contact(BaseModel):
    name: str
    born: date | None = None


async def test_an_auto_tool_never_interrupts(sidecar: Sidecar, runtime: Any) -> None:
    """Whatever validation makes of the arguments: the SDK itself would ask."""
    seen: list[Any] = []

    def a(amount: float) -> str:
        seen.append(amount)
        return "ran"

    def b(when: date) -> str:
        seen.append(when)
        return "ran"

    def c(contacts: list[Contact] | None = None) -> str:
        seen.append(contacts)
        return "ran"

    def d(colour: Colour) -> str:
        seen.append(colour)
        return "ran"

    def e(limits: dict[str, int], word: str = "x") -> str:
        seen.append((limits, word))
        return "ran"

    given: list[Any] = [
        (a, {"amount": 5}, 5.0),
        (b, {"when": "2026-01-31"}, date(2026, 1, 31)),
        (c, {"contacts": [{"name": "Ada", "born": "1815-12-10"}]}, [Contact(name="Ada", born=date(1815, 12, 10))]),
        (d, {"colour": "red"}, Colour.RED),
        (e, {"limits": {"a": 1}}, ({"a": 1}, "x")),
    ]
    for function, arguments, expected in given:
        options = {"strict_mode": False} if function is e else {}
        made = governed_tool(runtime=runtime, action_type="allowed_x", **options)(function)
        agent = Agent(name="a", model=FakeModel(function.__name__, arguments), tools=[made])
        run = await Runner.run(agent, "go", run_config=QUIET)
        assert run.interruptions == []
        assert run.final_output == "ran"
        assert seen[-1] == expected
    params = [row.action.params for row in sidecar.audit.rows()]
    assert params[2] == {"contacts": [{"name": "Ada", "born": "1815-12-10"}]}
    assert params[3] == {"colour": "red"}


async def test_a_number_that_cannot_be_proposed_ends_no_run(sidecar: Sidecar, runtime: Any) -> None:
    @governed_tool(runtime=runtime, action_type="allowed_x")
    def find(number: int) -> str:
        """Finds."""
        raise AssertionError("it must not run")

    agent = Agent(name="a", model=FakeModel("find", {"number": 2**60}), tools=[find])
    run = await Runner.run(agent, "go", run_config=QUIET)
    assert run.interruptions == []
    assert run.final_output.startswith("[AEGIS INVALID] params.number")
    assert record(sidecar) == []


async def test_functions_that_are_not_async_do_not_keep_the_loop_waiting(runtime: Any) -> None:
    inside, go_on = threading.Event(), threading.Event()

    @governed_tool(runtime=runtime, action_type="allowed_x")
    def slow(number: int) -> str:
        """Is slow."""
        inside.set()
        return "done" if go_on.wait(30) else "late"

    agent = Agent(name="a", model=FakeModel("slow", {"number": 1}), tools=[slow])
    run = asyncio.ensure_future(Runner.run(agent, "go", run_config=QUIET))
    while not inside.is_set():
        await asyncio.sleep(0.01)
    # The loop runs while the function does: else nobody could let it go on.
    go_on.set()
    assert (await run).final_output == "done"
    called = asyncio.ensure_future(runtime.call(Action("allowed_x"), lambda _: inside.wait(30)))
    inside.clear()
    await asyncio.sleep(0.05)
    inside.set()
    assert (await called).data is True
