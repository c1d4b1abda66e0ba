"""What a framework's own user refuses is on the record as what it is: skipped, with who and why. It never runs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from agents import (
    Agent,
    RunConfig,
    Runner,
    ToolGuardrailFunctionOutput,
    ToolInputGuardrail,
)
from anthropic.types import ToolUseBlock

from aegis import Action
from aegis.adapters.anthropic import refuse_tool_use, tool_results_to_api_format
from aegis.adapters.openai_agents import governed_tool, reject_tool_call
from aegis.testing import Sidecar

from .conftest import recorded
from .test_openai_agents import FakeModel

QUIET = RunConfig(tracing_disabled=True)


@pytest.mark.parametrize("kind", ["allowed", "asked", "confirmed"])
async def test_a_skipped_action_is_on_the_record_with_its_reason(sidecar: Sidecar, runtime: Any, kind: str) -> None:
    result = await runtime.skip(Action(kind, "crm", {"id": 1}), "the agent's user said no")
    assert (result.status.value, result.error) == ("skipped", "the agent's user said no")
    assert recorded(sidecar) == [(kind, "crm", {"id": 1}, "skipped", "the agent's user said no")]
    assert sidecar.operator().list_approvals() == []


def test_a_skipped_action_that_the_policy_blocks_is_on_the_record_as_blocked(sidecar: Sidecar, runtime: Any) -> None:
    result = runtime.skip_sync(Action("wipe"), "the agent's user said no")
    assert result.status.value == "skipped"
    assert [row[3] for row in recorded(sidecar)] == ["blocked"]


async def test_openai_agents_a_rejected_call(sidecar: Sidecar, runtime: Any) -> None:
    @governed_tool(runtime=runtime, action_type="confirmed_send", action_target="mail")
    async def send(to: str, copies: int = 1) -> str:
        """Sends a mail."""
        raise AssertionError("it must not run")

    agent = Agent(name="a", model=FakeModel("send", {"to": "ada", "copies": 1}), tools=[send])
    stopped = await Runner.run(agent, "go", run_config=QUIET)
    state = stopped.to_state()
    await reject_tool_call(state, stopped.interruptions[0], reason="wrong person")
    answer = (await Runner.run(agent, state, run_config=QUIET)).final_output
    # The oldest releases tell the model no reason.
    assert "wrong person" in answer or "not approved" in answer
    said = "the agent's user refused it: wrong person"
    assert recorded(sidecar) == [("confirmed_send", "mail", {"to": "ada", "copies": 1}, "skipped", said)]


async def test_openai_agents_a_call_that_a_guardrail_refuses(sidecar: Sidecar, runtime: Any) -> None:
    def no_secrets(data: Any) -> ToolGuardrailFunctionOutput:
        if "secret" in json.loads(data.context.tool_arguments)["text"]:
            return ToolGuardrailFunctionOutput.reject_content("no secrets")
        return ToolGuardrailFunctionOutput.allow()

    ran: list[str] = []

    @governed_tool(runtime=runtime, action_type="allowed_post", tool_input_guardrails=[ToolInputGuardrail(no_secrets)])
    async def post(text: str) -> str:
        """Posts a text."""
        ran.append(text)
        return "posted"

    for text, said in (("a secret", "no secrets"), ("hello", "posted")):
        agent = Agent(name="a", model=FakeModel("post", {"text": text}), tools=[post])
        assert (await Runner.run(agent, "go", run_config=QUIET)).final_output == said
    assert ran == ["hello"]
    assert [row[2:] for row in recorded(sidecar)] == [
        ({"text": "a secret"}, "skipped", "the guardrail no_secrets refused it"),
        ({"text": "hello"}, "success", ""),
    ]


async def test_anthropic_a_refused_block(sidecar: Sidecar, runtime: Any) -> None:
    block = ToolUseBlock(type="tool_use", id="toolu_1", name="allowed_update", input={"id": 7})
    result = await refuse_tool_use(block, runtime=runtime, reason="not today", target="crm")
    (answer,) = tool_results_to_api_format([result])
    assert answer["tool_use_id"] == "toolu_1"
    assert answer["content"] == "[AEGIS SKIPPED] the agent's user refused it: not today"
    assert recorded(sidecar) == [
        ("allowed_update", "crm", {"id": 7}, "skipped", "the agent's user refused it: not today")
    ]
