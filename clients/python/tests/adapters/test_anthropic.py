from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx
import pytest
from anthropic.types import ToolUseBlock

from aegis import Action
from aegis.adapters.anthropic import govern_tool_call, govern_tool_use, tool_results_to_api_format
from aegis.adapters.base import BaseExecutor
from aegis.testing import Sidecar

from .conftest import record


class Tools(BaseExecutor):
    async def execute(self, action: Action) -> Any:
        if "fails" in action.type:
            raise LookupError("no such page")
        return {"rows": [dict(action.params)]}


async def test_a_conversation_with_tools(sidecar: Sidecar) -> None:
    """The real client against a server of the test's own: what it is sent is what the API takes."""
    sent: list[Any] = []
    calls = [
        {"type": "tool_use", "id": "toolu_1", "name": "allowed_read", "input": {"page": 1}},
        {"type": "tool_use", "id": "toolu_2", "name": "wipe", "input": {}},
        {"type": "tool_use", "id": "toolu_3", "name": "allowed_fails", "input": {}},
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        content = calls if len(sent) == 1 else [{"type": "text", "text": "done"}]
        return httpx.Response(
            200,
            json={
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "fake",
                "stop_reason": "tool_use",
                "stop_sequence": None,
                "usage": {"input_tokens": 1, "output_tokens": 1},
                "content": content,
            },
        )

    client = anthropic.AsyncAnthropic(
        api_key="none", base_url="http://model", http_client=mock_client(answer), max_retries=0
    )
    messages: list[Any] = [{"role": "user", "content": "go"}]
    async with sidecar.runtime(Tools()) as runtime:
        response = await client.messages.create(model="fake", max_tokens=10, messages=messages)
        results = [
            await govern_tool_use(block, runtime=runtime, target="my_system")
            for block in response.content
            if isinstance(block, ToolUseBlock)
        ]
    messages += [
        {"role": "assistant", "content": response.content},
        {"role": "user", "content": tool_results_to_api_format(results)},
    ]
    await client.messages.create(model="fake", max_tokens=10, messages=messages)
    first, second, third = sent[1]["messages"][-1]["content"]
    assert first == {"type": "tool_result", "tool_use_id": "toolu_1", "content": '{"rows": [{"page": 1}]}'}
    assert second["tool_use_id"] == "toolu_2"
    assert second["is_error"]
    assert second["content"].startswith("[AEGIS BLOCKED]")
    assert (third["is_error"], third["content"]) == (True, "[AEGIS FAILED] no such page")
    assert record(sidecar) == [
        ("allowed_read", "my_system", "success"),
        ("wipe", "my_system", "blocked"),
        ("allowed_fails", "my_system", "failed"),
    ]


def mock_client(answer: Any) -> Any:
    """An HTTP client of the kind that this release of the package uses."""
    base = anthropic.DefaultAsyncHttpxClient.__mro__[1]
    module = __import__(base.__module__.partition(".")[0])

    def convert(request: Any) -> Any:
        response = answer(httpx.Request(request.method, str(request.url), content=request.content))
        return module.Response(response.status_code, content=response.content, headers=dict(response.headers))

    return anthropic.DefaultAsyncHttpxClient(transport=module.MockTransport(convert))


async def test_a_result_that_answers_no_call_is_refused(sidecar: Sidecar) -> None:
    runtime = sidecar.runtime(Tools())
    result = await govern_tool_call(runtime=runtime, tool_name="allowed_read", tool_input={})
    with pytest.raises(ValueError, match=r"tool_use_id=block\.id"):
        tool_results_to_api_format([result])
    assert tool_results_to_api_format([("toolu_9", result)])[0]["tool_use_id"] == "toolu_9"
