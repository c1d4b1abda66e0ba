"""Runs where CrewAI is installed: in an environment of its own (requirements/crewai.txt)."""

from __future__ import annotations

from datetime import date
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("crewai", reason="has an environment of its own")

from crewai import Agent, Crew, Task
from crewai.llms.base_llm import BaseLLM
from pydantic import BaseModel, Field, field_validator

from aegis import Action, InvalidActionError
from aegis.adapters.crewai import AegisCrewAITool, recorded_refusals
from aegis.testing import Sidecar

from .conftest import record, status

SEED = Path(__file__).parents[1] / "seeds" / "crewai.py.txt"


class FakeLLM(BaseLLM):
    """Uses one tool, then gives the tool's answer as the final one."""

    def __init__(self, tool: str, arguments: str) -> None:
        super().__init__(model="fake")
        self._use = f"Thought: I use it.\nAction: {tool}\nAction Input: {arguments}\n"
        self._used = False

    def call(self, messages: Any, *args: Any, **kwargs: Any) -> str:
        if not self._used:
            self._used = True
            return self._use
        observed = str(messages[-1]["content"]) if isinstance(messages, list) else str(messages)
        if "Observation:" not in observed:
            observed = "\n".join(str(message["content"]) for message in messages[1:])
        return f"Thought: I know.\nFinal Answer: {observed.rpartition('Observation:')[2].strip()}"

    def supports_function_calling(self) -> bool:
        return False

    def supports_stop_words(self) -> bool:
        return False

    def get_context_window_size(self) -> int:
        return 8192


def crew(tool: AegisCrewAITool, arguments: str) -> str:
    agent = Agent(role="r", goal="g", backstory="b", tools=[tool], llm=FakeLLM(tool.name, arguments), max_iter=3)
    task = Task(description="d", expected_output="e", agent=agent)
    return str(Crew(agents=[agent], tasks=[task], verbose=False).kickoff())


def test_a_crew_uses_governed_tools(sidecar: Sidecar, runtime: Any) -> None:
    ran: list[Any] = []

    def search(query: str, limit: int = 3) -> str:
        ran.append((query, limit))
        return f"found {query}"

    allowed = AegisCrewAITool(
        runtime=runtime, name="governed_search", description="Searches", action_type="allowed_search",
        action_target="web", fn=search,
    )  # fmt: skip
    blocked = AegisCrewAITool(
        runtime=runtime, name="wipe", description="Wipes", action_type="wipe", action_target="web", fn=search
    )
    assert "found bees" in crew(allowed, '{"query": "bees", "limit": 5}')
    assert "[AEGIS BLOCKED]" in crew(blocked, '{"query": "all", "limit": 5}')
    assert ran == [("bees", 5)]
    rows = record(sidecar)
    assert rows[0] == ("allowed_search", "web", "success")
    assert rows[1] == ("wipe", "web", "blocked")
    assert sidecar.audit.get_log()[0].action.params == {"query": "bees", "limit": 5}


async def test_within_a_running_loop(sidecar: Sidecar, runtime: Any) -> None:
    async def search(query: str) -> str:
        return f"found {query}"

    tool = AegisCrewAITool(
        runtime=runtime, name="s", description="d", action_type="allowed_s", fn=search, action_target="web"
    )
    assert tool.run(query="bees") == "found bees"


def test_the_seeds_snippet(sidecar: Sidecar) -> None:
    runtime = sidecar.runtime()
    names: dict[str, Any] = {"runtime": runtime, "do_search": lambda query: f"found {query}"}
    exec(SEED.read_text(), names)
    # `search` is none of the policy's rules.
    assert names["tool"].run(query="bees").startswith("[AEGIS BLOCKED]")
    assert record(sidecar) == [("search", "web", "blocked")]


class Colour(Enum):
    RED = "red"


class Contact(BaseModel):
    name: str
    born: date


def test_arguments_have_the_types_that_the_function_declares(sidecar: Sidecar, runtime: Any) -> None:
    seen: list[Any] = []

    def write(contacts: list[Contact], day: date, colour: Colour = Colour.RED) -> str:
        seen.append((contacts, day, colour))
        return "written"

    tool = AegisCrewAITool(runtime=runtime, name="w", description="d", action_type="allowed_w", fn=write)
    given = {"contacts": [{"name": "Ada", "born": "1815-12-10"}], "day": "2026-01-31"}
    assert tool.run(**given) == "written"
    assert seen == [([Contact(name="Ada", born=date(1815, 12, 10))], date(2026, 1, 31), Colour.RED)]
    (row,) = sidecar.audit.rows()
    assert row.action.params == given | {"colour": "red"}


@pytest.mark.parametrize("way", ["run", "structured", "refused"])
def test_arguments_are_validated_once(sidecar: Sidecar, runtime: Any, way: str) -> None:
    class Payment(BaseModel):
        cents: int = Field(alias="euros")

        @field_validator("cents")
        @classmethod
        def in_cents(cls, euros: int) -> int:
            return euros * 100

    class Arguments(BaseModel):
        day: date
        payments: list[Payment]

        @field_validator("day", mode="before")
        @classmethod
        def of_german(cls, text: str) -> date:
            return date(*map(int, reversed(text.split("."))))

    paid: list[Any] = []
    tool = AegisCrewAITool(
        runtime=runtime, name="p", description="d", action_type="allowed_p", args_schema=Arguments,
        fn=lambda day, payments: paid.append((day, [payment.cents for payment in payments])),
    )  # fmt: skip
    given = {"day": "31.01.2026", "payments": [{"euros": 5}]}
    if way == "run":
        tool.run(**given)
    elif way == "structured":
        tool.to_structured_tool().invoke(given)
    else:
        recorded_refusals(lambda context: False)(SimpleNamespace(tool=tool, tool_input=given))
    assert paid == ([] if way == "refused" else [(date(2026, 1, 31), [500])])
    (row,) = sidecar.audit.rows()
    assert row.action.params["day"] == "2026-01-31"
    assert row.action.params["payments"] == [{"cents": 500}]
    assert tool.args_schema.model_json_schema() == Arguments.model_json_schema()


def test_more_keywords_are_proposed_by_their_names(sidecar: Sidecar, runtime: Any) -> None:
    class Arguments(BaseModel):
        query: str
        limit: int = 3

    tool = AegisCrewAITool(
        runtime=runtime, name="s", description="d", action_type="allowed_s", args_schema=Arguments,
        fn=lambda query, **rest: (query, rest),
    )  # fmt: skip
    assert tool.run(query="bees") == ("bees", {"limit": 3})
    assert sidecar.audit.get_log()[0].action.params == {"query": "bees", "limit": 3}


async def test_the_async_side_is_governed(sidecar: Sidecar, runtime: Any) -> None:
    async def search(query: str) -> str:
        return f"found {query}"

    tool = AegisCrewAITool(runtime=runtime, name="s", description="d", action_type="allowed_s", fn=search)
    if not hasattr(tool, "arun"):
        pytest.skip("this release of CrewAI has no async side")
    assert await tool.arun(query="bees") == "found bees"
    wiped = AegisCrewAITool(runtime=runtime, name="w", description="d", action_type="wipe", fn=search)
    assert (await wiped.arun(query="bees")).startswith("[AEGIS BLOCKED]")


def test_a_number_that_cannot_be_proposed_is_told(sidecar: Sidecar, runtime: Any) -> None:
    tool = AegisCrewAITool(
        runtime=runtime, name="s", description="d", action_type="allowed_s", fn=lambda number: "found"
    )
    assert tool.run(number=2**60).startswith("[AEGIS INVALID] params.number")
    assert record(sidecar) == []


def test_scalars_of_numpy_are_numbers(sidecar: Sidecar, runtime: Any) -> None:
    numpy = pytest.importorskip("numpy")
    result = runtime.call_sync(
        Action("allowed_x", params={"f": numpy.float32(1.5), "i": numpy.int64(7), "b": numpy.bool_(True)}), lambda _: 1
    )
    assert result.ok
    assert sidecar.audit.get_log()[0].action.params == {"f": 1.5, "i": 7, "b": True}
    with pytest.raises(InvalidActionError, match=r"params\.a: a ndarray cannot be sent: send its tolist\(\)"):
        runtime.call_sync(Action("allowed_x", params={"a": numpy.array([1])}), lambda _: 1)


def test_what_a_hook_of_crewai_refuses_is_on_the_record(sidecar: Sidecar, runtime: Any) -> None:
    hooks = pytest.importorskip("crewai.hooks", reason="this release has no hooks")

    def send(to: str) -> str:
        raise AssertionError("it must not run")

    tool = AegisCrewAITool(
        runtime=runtime, name="send", description="Sends", action_type="allowed_send", action_target="mail", fn=send
    )

    def ask_the_user(context: Any) -> bool | None:
        return False if context.tool_input["to"] == "all" else None

    hook = recorded_refusals(ask_the_user)
    hooks.register_before_tool_call_hook(hook)
    try:
        assert "blocked by hook" in crew(tool, '{"to": "all"}')
    finally:
        hooks.unregister_before_tool_call_hook(hook)
    (row,) = sidecar.audit.rows()
    assert (row.action.type, row.action.target, row.action.params) == ("allowed_send", "mail", {"to": "all"})
    assert (status(row), row.result_error) == ("skipped", "the hook ask_the_user refused it")
