"""`aegis.server.create_app`: the REST API with one's own executor. Without a network but for one test with uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from aegis import Action, AegisClient, AegisError, Policy, SidecarError
from aegis.adapters.base import BaseExecutor
from aegis.adapters.httpx_adapter import HttpxExecutor
from aegis.server import create_app
from aegis.server.durations import seconds

POLICY = """
rules:
  - {name: reads, match: {type: 'read*'}, risk_level: low, approval: auto}
  - {name: writes, match: {type: 'write*'}, risk_level: critical, approval: auto}
  - {name: mails, match: {type: 'mail*'}, approval: approve, timeout: 30s}
  - {name: confirms, match: {type: 'confirm*'}, approval: confirm}
  - {name: no_deletes, match: {type: 'delete*'}, risk_level: critical, approval: block}
"""
LOCAL = "http://localhost:8000"


class Recorder(BaseExecutor):
    def __init__(self) -> None:
        self.ran: list[Action] = []
        self.going = asyncio.Event()
        self.hold = False
        self.up = self.down = 0

    async def setup(self) -> None:
        self.up += 1

    async def teardown(self) -> None:
        self.down += 1

    async def execute(self, action: Action) -> Any:
        self.ran.append(action)
        if self.hold:
            await self.going.wait()
        if action.params.get("fail"):
            raise RuntimeError("the crm is down")
        if action.params.get("exit"):
            raise SystemExit(1)
        return {"did": action.type, "count": 5}


@pytest.fixture
def place() -> Iterator[Path]:
    # Short: a socket's path has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="aegis-") as directory:
        path = Path(directory)
        (path / "policy.yaml").write_text(POLICY)
        yield path


@contextlib.asynccontextmanager
async def serving(app: Any) -> AsyncIterator[Any]:
    async with app.router.lifespan_context(app):
        yield app


def asking(app: Any, base: str = LOCAL, token: str = "", peer: str = "127.0.0.1") -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    transport = httpx.ASGITransport(app, client=(peer, 4000), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=base, headers=headers, timeout=60)


def operator(place: Path) -> AegisClient:
    return AegisClient(f"unix:{place}/data/aegis.sock", "")


def made(place: Path, **options: Any) -> Any:
    return create_app(policy_path=place / "policy.yaml", data_dir=place / "data", **options)


def code(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


# --- Seed 003 ---


async def test_every_line_of_the_guide_works_with_dev_and_ones_own_executor(place: Path) -> None:
    executor = Recorder()
    async with serving(made(place, executor=executor, dev=True)) as app, asking(app) as api:
        health = await api.get("/health")
        assert (health.status_code, health.json()["status"]) == (200, "ok")
        delete = {"action_type": "delete", "target": "db"}
        blocked = {
            "action_type": "delete",
            "target": "db",
            "risk_level": "CRITICAL",
            "approval": "block",
            "is_allowed": False,
            "matched_rule": "no_deletes",
        }
        assert (await api.post("/api/v1/evaluate", json=delete)).json() == blocked
        batch = await api.post("/api/v1/evaluate", json={"actions": [{"action_type": "read", "target": "crm"}, delete]})
        assert [item["is_allowed"] for item in batch.json()] == [True, False]
        read = await api.post("/api/v1/execute", json={"action_type": "read", "target": "crm", "params": {"n": 1}})
        assert read.json() == {
            "action_type": "read",
            "target": "crm",
            "status": "success",
            "data": {"did": "read", "count": 5},
            "error": None,
        }
        assert read.headers["aegis-decision-id"].startswith("dec_")
        # As curl sends it where the line gives no type.
        form = {"content-type": "application/x-www-form-urlencoded"}
        no = await api.post("/api/v1/execute", content=json.dumps(delete), headers=form)
        assert (no.status_code, no.json()["status"], no.json()["data"]) == (200, "blocked", None)
        assert "no_deletes" in no.json()["error"]
        assert [(action.type, action.target, action.params) for action in executor.ran] == [("read", "crm", {"n": 1})]

        async def audit(query: str) -> list[str]:
            rows = (await api.get("/api/v1/audit" + query)).json()
            return [f"{row['action_type']} {row['result_status']}" for row in rows]

        assert await audit("") == ["read success", "delete blocked"]
        assert await audit("?action_type=delete") == ["delete blocked"]
        assert await audit("?risk_level=HIGH") == []
        assert await audit("?action_type=delete&risk_level=CRITICAL&limit=10") == ["delete blocked"]
        assert await audit("?result_status=success&session_id=") == ["read success"]

        policy = (await api.get("/api/v1/policy")).json()
        assert policy["rules"][0]["name"] == "reads"
        yaml = 'rules:\n  - name: block_all\n    match: {type: "*"}\n    approval: block'
        put = await api.put("/api/v1/policy", json={"yaml": yaml})
        assert (put.json()["status"], put.json()["rule_count"]) == ("updated", 1)
        assert (await api.post("/api/v1/evaluate", json=delete)).json()["matched_rule"] == "block_all"
        rules = {"rules": [{"name": "allow_reads", "match": {"type": "read*"}, "approval": "auto"}]}
        assert (await api.put("/api/v1/policy", json=rules)).status_code == 200
        assert "allow_reads" in (place / "policy.yaml").read_text()
    assert (executor.up, executor.down) == (1, 1)


async def test_without_an_executor_nothing_runs_and_the_guide_s_answer_is_given(place: Path) -> None:
    async with serving(made(place, dev=True)) as app, asking(app) as api:
        answer = await api.post("/api/v1/execute", json={"type": "read", "target": "crm"})
        assert answer.json() == {
            "action_type": "read",
            "target": "crm",
            "status": "success",
            "data": {"executed": True},
            "error": None,
        }


async def test_the_database_of_the_original_is_not_written_and_the_log_says_where_the_record_is(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="aegis.server"):
        app = made(place, audit_db_path=place / "audit.db", dev=True)
    assert "audit.db" in caplog.text
    assert str(place / "data") in caplog.text
    async with serving(app), asking(app) as api:
        await api.post("/api/v1/execute", json={"action_type": "read"})
    assert not (place / "audit.db").exists()
    assert (place / "data").is_dir()


async def test_the_app_starts_its_sidecar_when_it_is_first_asked(place: Path) -> None:
    # httpx, and an app that is mounted in another one, send no lifespan events.
    app = made(place, dev=True)
    async with asking(app) as api:
        assert (await api.get("/health")).json()["status"] == "ok"
    async with serving(app):
        pass


# --- Who may come in ---


async def test_nobody_is_answered_without_a_token(place: Path) -> None:
    executor = Recorder()
    async with serving(made(place, executor=executor)) as app, asking(app) as api:
        for method, path in [
            ("POST", "/api/v1/evaluate"),
            ("POST", "/api/v1/execute"),
            ("GET", "/api/v1/audit"),
            ("GET", "/api/v1/policy"),
            ("PUT", "/api/v1/policy"),
            ("GET", "/api/v1/approvals"),
            ("POST", "/api/v1/governance/propose"),
            ("GET", "/nothing"),
            ("POST", "/health"),
        ]:
            answer = await api.request(method, path, json={"action_type": "read"})
            assert code(answer) == (401, "CREDENTIAL_REQUIRED"), path
            assert answer.headers["www-authenticate"] == "Bearer"
        for path in ["/health", "/openapi.json", "/docs"]:
            assert (await api.get(path)).status_code == 200, path
        for value in ["wrong", "Bearer", "Basic YTpi", "Bearer a b", "Bearer wrong"]:
            answer = await api.get("/api/v1/policy", headers={"authorization": value})
            assert code(answer) == (401, "CREDENTIAL_INVALID"), value
        twice = [("authorization", "Bearer a"), ("authorization", "Bearer b")]
        assert code(await api.get("/api/v1/policy", headers=twice)) == (401, "CREDENTIAL_INVALID")
    assert executor.ran == []


async def test_the_caller_s_token_is_used_and_nothing_else(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(made(place)) as app:
        people = operator(place)
        agent = people.create_token("bot", ["agent"])
        auditor = people.create_token("ann", ["auditor"])
        # Neither the environment's token nor the owner's socket is of any use to the app.
        monkeypatch.setenv("AEGIS_TOKEN", people.create_token("root", ["admin", "agent", "auditor"]))
        (place / "data" / "aegis.sock").rename(place / "data" / "hidden.sock")
        async with asking(app, token=agent) as api:
            done = await api.post("/api/v1/execute", json={"action_type": "read", "actor": {"id": "a-1"}})
            assert done.json()["status"] == "success"
            for path in ["/api/v1/audit", "/api/v1/policy"]:
                assert code(await api.get(path)) == (403, "ROLE_REQUIRED"), path
            assert code(await api.put("/api/v1/policy", json={"rules": []})) == (403, "ROLE_REQUIRED")
        async with asking(app, token=auditor) as api:
            rows = (await api.get("/api/v1/audit")).json()
            assert [(row["identity"], row["actor_id"]) for row in rows] == [("token:bot", "a-1")]
            assert code(await api.post("/api/v1/execute", json={"action_type": "read"})) == (403, "ROLE_REQUIRED")


async def test_dev_is_for_loopback_and_through_no_proxy(place: Path) -> None:
    action = {"action_type": "read"}
    async with serving(made(place, dev=True, allowed_hosts=["app.example"])) as app:
        async with asking(app, peer="192.0.2.7") as api:
            assert code(await api.post("/api/v1/execute", json=action)) == (401, "CREDENTIAL_REQUIRED")
            assert code(await api.get("/api/v1/audit")) == (401, "CREDENTIAL_REQUIRED")
        async with asking(app, "http://192.0.2.1:8000") as api:
            assert code(await api.post("/api/v1/execute", json=action)) == (401, "CREDENTIAL_REQUIRED")
        async with asking(app) as api:
            for header in ["x-forwarded-for", "forwarded", "via", "x-real-ip"]:
                answer = await api.post("/api/v1/execute", json=action, headers={header: "127.0.0.1"})
                assert code(answer) == (401, "CREDENTIAL_REQUIRED"), header
            assert (await api.post("/api/v1/execute", json=action)).status_code == 200
        token = operator(place).create_token("far", ["agent"])
        async with asking(app, token=token, peer="192.0.2.7") as api:
            assert (await api.post("/api/v1/execute", json=action)).status_code == 200


async def test_pages_of_other_sites_and_other_hosts_are_refused(place: Path) -> None:
    executor = Recorder()
    async with serving(made(place, executor=executor, dev=True, allowed_hosts=["App.example"])) as app:
        for host, good in [
            ("localhost:8000", True),
            ("LOCALHOST", True),
            ("127.0.0.1:8000", True),
            ("[::1]:8000", True),
            ("app.example", True),
            ("evil.example", False),
            ("localhost.evil.example", False),
            ("127.0.0.1.evil.example", False),
            ("192.0.2.8", False),
            ("a b", False),
            ("user@localhost", False),
            ("", False),
        ]:
            async with asking(app) as api:
                answer = await api.get("/health", headers={"host": host})
                assert (answer.status_code == 200) is good, host
                assert good or code(answer) == (403, "CROSS_ORIGIN")
        # The address that the connection came to.
        async with asking(app, "http://192.0.2.1:8000", peer="192.0.2.7") as api:
            assert (await api.get("/health")).status_code == 200
        async with asking(app) as api:
            for name, value, good in [
                ("origin", "http://localhost:8000", True),
                ("sec-fetch-site", "same-origin", True),
                ("sec-fetch-site", "none", True),
                ("origin", "http://localhost:8001", False),
                ("origin", "https://evil.example", False),
                ("origin", "null", False),
                ("origin", "", False),
                ("sec-fetch-site", "cross-site", False),
                ("sec-fetch-site", "same-site", False),
            ]:
                answer = await api.post("/api/v1/execute", json={"action_type": "read"}, headers={name: value})
                assert (answer.status_code == 200) is good, (name, value)
                assert good or code(answer) == (403, "CROSS_ORIGIN")
            assert "access-control-allow-origin" not in answer.headers
    assert len(executor.ran) == 3


async def test_bodies_are_bounded_and_read_strictly(place: Path) -> None:
    executor = Recorder()
    async with serving(made(place, executor=executor, dev=True)) as app, asking(app) as api:
        large = b'{"action_type": "read", "description": "' + b"x" * (5 << 20) + b'"}'
        for path in ["/api/v1/execute", "/api/v1/evaluate"]:
            assert code(await api.post(path, content=large)) == (413, "MESSAGE_TOO_LARGE")
        for body in [b"{", b"\xff", b'{"action_type": "read", "action_type": "x"}', b"[" * 100_000, b"5", b"[NaN]"]:
            assert code(await api.post("/api/v1/execute", content=body)) == (400, "INVALID_REQUEST"), body[:20]
        wrong = {"action_type": 5, "target": None, "parms": {}, "actor": {"name": "x"}, "wait": "soon"}
        answer = await api.post("/api/v1/execute", json=wrong)
        assert code(answer) == (400, "INVALID_REQUEST")
        fields = {violation["field"] for violation in answer.json()["violations"]}
        assert fields == {"action_type", "target", "parms", "actor.name", "wait"}
        for body, field in [
            ({}, "action_type"),
            ({"action_type": "read", "params": {"n": 2**60}}, "params.n"),
            ({"action_type": "re\u202ead"}, "action_type"),
            ({"actions": []}, "actions"),
            ({"actions": [{"action_type": "read"}, {"action_type": "read", "target": "\u0007"}]}, "actions[1].target"),
            ([{"action_type": "read"}, {"action_type": ""}], "[1].action_type"),
            ({"action_type": "read", "wait": "2h"}, "wait"),
            ({"action_type": "read", "session_id": "x" * 300}, "session_id"),
        ]:
            answer = await api.post("/api/v1/execute", json=body)
            assert code(answer) == (400, "INVALID_REQUEST"), body
            assert [violation["field"] for violation in answer.json()["violations"]] == [field], body
    assert executor.ran == [], "no action of a request that is wrong in part"


async def test_guesses_do_not_lock_out_who_has_a_token(place: Path) -> None:
    async with serving(made(place)) as app:
        token = operator(place).create_token("bot", ["agent"])
        action = {"action_type": "read"}
        async with asking(app, token=token) as honest, asking(app, peer="192.0.2.9") as guesser:
            assert (await honest.post("/api/v1/execute", json=action)).status_code == 200
            answers = []
            for index in range(40):
                headers = {"authorization": f"Bearer guess-{index}"}
                answers.append(code(await guesser.post("/api/v1/evaluate", json=action, headers=headers)))
            assert answers[0] == (401, "CREDENTIAL_INVALID")
            assert answers[-1] == (429, "TOO_MANY_FAILURES")
            at_once = [guesser.get("/api/v1/policy", headers={"authorization": f"Bearer x{n}"}) for n in range(40)]
            assert {answer.status_code for answer in await asyncio.gather(*at_once)} <= {401, 429}
            assert (await honest.post("/api/v1/execute", json=action)).status_code == 200
            assert (await honest.post("/api/v1/evaluate", json=action)).status_code == 200


# --- People ---


async def test_execute_waits_for_a_reviewer_and_then_runs_once(place: Path) -> None:
    executor = Recorder()
    async with serving(made(place, executor=executor)) as app:
        people = operator(place)
        agent, reviewer = people.create_token("bot", ["agent"]), people.create_token("rae", ["reviewer"])
        async with asking(app, token=agent) as api, asking(app, token=reviewer) as review:
            asked = asyncio.create_task(api.post("/api/v1/execute", json={"action_type": "mail", "target": "all"}))
            pending: list[Any] = []
            while not pending:
                pending = (await review.get("/api/v1/approvals")).json()["approvals"]
            assert not asked.done()
            place_of = f"/api/v1/approvals/{pending[0]['approval_id']}/approve"
            vote = {"expected_action_digest": pending[0]["action_digest"], "reason": "fine"}
            assert (await review.post(place_of, json=vote)).status_code == 200
            answer = await asked
            assert (answer.status_code, answer.json()["status"]) == (200, "success")

            # After `wait` 202, and the action goes on without the caller.
            later = await api.post("/api/v1/execute", json={"action_type": "mail", "target": "some", "wait": "0s"})
            assert (later.status_code, later.json()["status"]) == (202, "pending")
            assert later.json()["decision"]["outcome"] == "ESCALATE"
            where = later.headers["location"]
            result = await api.post(where + "/result", json={"status": "success"})
            assert code(result) == (409, "NOT_REPORTABLE")
            approval = people.get_approval(later.json()["decision"]["approval_id"])
            waiting = asyncio.create_task(api.get(where + "?wait=30s"))
            await asyncio.to_thread(people.approve, approval)
            decision = (await waiting).json()
            assert (decision["outcome"], decision["result"]["status"]) == ("DENY", "success")
            # It is the proposer's alone.
            other = people.create_token("other", ["agent"])
            async with asking(app, token=other) as nosy:
                assert code(await nosy.get(where + "?wait=30s")) == (404, "NO_SUCH_DECISION")

            denied = await api.post("/api/v1/execute", json={"action_type": "mail", "target": "x", "wait": "0s"})
            approval = people.get_approval(denied.json()["decision"]["approval_id"])
            people.deny(approval, reason="no")
            decision = (await api.get(denied.headers["location"] + "?wait=30s")).json()
            assert decision["outcome"] == "DENY"
    assert [action.target for action in executor.ran] == ["all", "some"]


async def test_the_agent_s_own_user_confirms_with_a_second_request(place: Path) -> None:
    executor = Recorder()
    async with serving(made(place, executor=executor, dev=True)) as app, asking(app) as api:
        asked = await api.post("/api/v1/execute", json={"action_type": "confirm", "target": "x"})
        assert (asked.status_code, executor.ran) == (202, [])
        token = asked.json()["decision"]["confirmation_token"]
        body = {"action_type": "confirm", "target": "x", "confirmation_token": token}
        assert (await api.post("/api/v1/execute", json=body)).json()["status"] == "success"
        again = await api.post("/api/v1/execute", json=body)
        assert code(again) == (409, "CONFIRMATION_INVALID")
    assert len(executor.ran) == 1


async def test_requests_with_one_key_are_one_action(place: Path) -> None:
    executor = Recorder()
    executor.hold = True
    body = {"action_type": "write", "target": "crm", "session_id": "s", "idempotency_key": "order-7-is-one-action"}
    async with serving(made(place, executor=executor)) as app:
        token = operator(place).create_token("bot", ["agent"])
        async with asking(app, token=token) as api:
            asked = [asyncio.create_task(api.post("/api/v1/execute", json=body)) for _ in range(5)]
            while not executor.ran:
                await asyncio.sleep(0.01)
            early = await api.post("/api/v1/execute", json={**body, "wait": "10ms"})
            assert (early.status_code, early.json()["status"]) == (202, "pending")
            executor.going.set()
            answers = [await answer for answer in asked]
            assert [answer.json()["data"] for answer in answers] == [{"did": "write", "count": 5}] * 5
            later = await api.post("/api/v1/execute", json=body)
            assert (later.json()["status"], later.json()["data"]) == ("success", {"did": "write", "count": 5})
            reused = await api.post("/api/v1/execute", json={**body, "target": "other"})
            assert code(reused) == (400, "IDEMPOTENCY_KEY_REUSED")
    assert len(executor.ran) == 1


async def test_an_action_of_an_app_that_was_killed_is_not_run_again(place: Path) -> None:
    body = {"action_type": "write", "session_id": "s", "idempotency_key": "one-run-whatever-happens"}
    first, second = Recorder(), Recorder()
    first.hold = True
    async with serving(made(place)):
        # Two apps of one daemon, as two processes are: the first is killed while its action runs.
        token = operator(place).create_token("bot", ["agent"])
        endpoint = f"unix:{place}/data/agent.sock"
        lost, alive = create_app(endpoint=endpoint, executor=first), create_app(endpoint=endpoint, executor=second)
        async with asking(lost, token=token) as api:
            pending = await api.post("/api/v1/execute", json={**body, "wait": "50ms"})
            assert pending.status_code == 202
        async with asking(alive, token=token) as api:
            answer = await api.post("/api/v1/execute", json=body)
            assert (answer.status_code, answer.json()["status"]) == (200, "unknown")
            assert "not run again" in answer.json()["error"]
        first.going.set()
        async with asking(alive, token=token) as api:
            answer = {}
            while answer.get("status") != "success":
                answer = (await api.post("/api/v1/execute", json=body)).json()
    assert (len(first.ran), len(second.ran)) == (1, 0)


async def test_an_app_that_ends_withdraws_what_waits_and_lets_what_runs_end(place: Path) -> None:
    executor = Recorder()
    executor.hold = True
    outer = made(place, dev=True)
    async with serving(outer):
        inner = create_app(endpoint=f"unix:{place}/data/agent.sock", executor=executor, dev=True)
        async with serving(inner), asking(inner) as api:
            waiting = await api.post("/api/v1/execute", json={"action_type": "mail", "wait": "0s"})
            running = await api.post("/api/v1/execute", json={"action_type": "write", "wait": "50ms"})
            assert (waiting.status_code, running.status_code) == (202, 202)
            while not executor.ran:
                await asyncio.sleep(0.01)
            asyncio.get_running_loop().call_later(0.2, executor.going.set)
        rows = [(row.action.type, row.result_status) for row in operator(place).stream_audit()]
        assert rows == [("mail", "skipped"), ("write", "success")]
    assert executor.down == 1


async def test_a_failure_of_the_executor_is_a_result(place: Path) -> None:
    async with serving(made(place, executor=Recorder(), dev=True)) as app, asking(app) as api:
        actions = [
            {"action_type": "write", "params": {"fail": True}},
            {"action_type": "delete"},
            {"action_type": "read"},
        ]
        answer = await api.post("/api/v1/execute", json={"actions": actions})
        assert [item["status"] for item in answer.json()] == ["failed", "blocked", "success"]
        assert answer.json()[0]["error"] == "the crm is down"
        ends = await api.post("/api/v1/execute", json={"action_type": "write", "params": {"exit": True}})
        assert (ends.status_code, ends.json()["status"]) == (200, "failed")
        assert len((await api.post("/api/v1/execute", json=actions[2:])).json()) == 1, "a list of one"


async def test_streams_pass_through_and_end_with_their_caller(place: Path) -> None:
    async with serving(made(place, dev=True)) as app:
        with served(app) as base:
            async with httpx.AsyncClient(base_url=base, timeout=20) as api:
                async with api.stream("GET", "/api/v1/approvals/stream") as stream:
                    assert stream.headers["content-type"] == "text/event-stream"
                    events = stream.aiter_lines()
                    async for line in events:
                        if line == "event: snapshot_complete":
                            break
                    await api.post("/api/v1/execute", json={"action_type": "mail", "wait": "0s"})
                    async for line in events:
                        if line == "event: pending":
                            break
                records = await api.get("/api/v1/audit/records")
                assert all(json.loads(line)["sequence"] for line in records.text.splitlines())


async def test_nothing_runs_while_the_sidecar_is_gone_and_one_s_own_comes_back(place: Path) -> None:
    executor = Recorder()
    async with serving(made(place, executor=executor, dev=True)) as app, asking(app) as api:
        body = {"action_type": "read"}
        assert (await api.post("/api/v1/execute", json=body)).status_code == 200
        backend = app.state.aegis_backend
        await asyncio.to_thread(backend._daemon.kill)
        assert (await api.post("/api/v1/evaluate", json=body)).status_code == 200
        await asyncio.to_thread(backend._daemon.kill)
        assert (await api.post("/api/v1/execute", json=body)).json()["status"] == "success"
    gone = create_app(endpoint="http://127.0.0.1:1", executor=executor)
    async with asking(gone, token="aegis_x") as api:
        assert code(await api.get("/api/v1/policy")) == (503, "NOT_SERVING")
    assert len(executor.ran) == 2


async def test_what_an_action_leads_to_is_proposed_by_its_own_caller(place: Path) -> None:
    """Two callers at once, whose requests are redirected: no hop is proposed with the other's token."""
    both = asyncio.Barrier(2) if hasattr(asyncio, "Barrier") else None

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/from/"):
            if both is not None:
                await both.wait()
            return httpx.Response(302, headers={"location": request.url.path.replace("from", "to")})
        return httpx.Response(200, json={"path": request.url.path})

    (place / "policy.yaml").write_text("rules: [{match: {type: get}, approval: auto}]")
    executor = HttpxExecutor("https://api.example.com", transport=httpx.MockTransport(answer))
    async with serving(made(place, executor=executor)) as app:
        people = operator(place)

        async def fetch(name: str) -> Any:
            async with asking(app, token=people.create_token(name, ["agent"])) as api:
                order = {"action_type": "GET", "target": f"/from/{name}"}
                return (await api.post("/api/v1/execute", json=order)).json()

        results = await asyncio.gather(fetch("ann"), fetch("bob"))
        assert [result["data"]["body"]["path"] for result in results] == ["/to/ann", "/to/bob"]
        rows = [(row.identity.subject, row.action.type, row.action.target) for row in people.stream_audit()]
        assert sorted(rows) == [
            (f"token:{name}", "get", f"https://api.example.com/{step}/{name}")
            for name in ("ann", "bob")
            for step in ("from", "to")
        ]


async def test_it_works_below_a_path_of_another_app(place: Path) -> None:
    app = made(place, dev=True)
    outer = Starlette(routes=[Mount("/aegis", app)])
    async with asking(outer) as api:
        assert (await api.get("/aegis/health")).json()["status"] == "ok"
        pending = await api.post("/aegis/api/v1/execute", json={"action_type": "mail", "wait": "0s"})
        assert pending.headers["location"].startswith("/aegis/api/v1/governance/decisions/dec_")
        assert (await api.get(pending.headers["location"])).json()["outcome"] == "ESCALATE"
        token = operator(place).create_token("bot", ["agent"])
        wrong = await api.get("/aegis/api/v1/policy", headers={"authorization": f"Bearer {token}"})
        assert code(wrong) == (403, "ROLE_REQUIRED")
    async with serving(app):
        pass


@pytest.mark.parametrize(
    ("text", "read"),
    [("0s", 0.0), ("500ms", 0.5), ("90s", 90.0), ("1h", 3600.0), ("1m30s", 90.0)]
    + [
        (text, None)
        for text in ["", "5", "s", "1h1s", "30m1h", "-1s", "1.5s", " 1s", "1s ", "1S", "٣s", "2h", "9" * 70 + "s"]
    ],
)
def test_a_wait_is_written_as_the_daemon_reads_it(text: str, read: float | None) -> None:
    if read is None:
        with pytest.raises(ValueError, match=r"duration|one hour"):
            seconds(text)
    else:
        assert seconds(text) == read


# --- How it is made ---


def test_what_does_not_go_together_is_refused(place: Path) -> None:
    policy = Policy.from_text(POLICY)
    for options in [
        {"policy": policy, "policy_path": place / "policy.yaml"},
        {"policy": policy, "endpoint": "http://127.0.0.1:1"},
        {"data_dir": place},
        {"executor": object()},
    ]:
        with pytest.raises(TypeError):
            create_app(**options)
    with pytest.raises(FileNotFoundError):
        create_app(policy_path=place / "missing.yaml")
    with pytest.raises(AegisError, match="tokens of callers"):
        create_app(endpoint="http://192.0.2.1:8000")


async def test_a_policy_that_is_wrong_and_a_record_that_another_daemon_has_end_the_start(place: Path) -> None:
    bad = create_app(policy=Policy.from_text("rules: 5"), data_dir=place / "other")
    with pytest.raises(SidecarError, match="policy"):
        async with serving(bad):
            pass
    async with serving(made(place)):
        with pytest.raises(SidecarError, match="endpoint="):
            async with serving(made(place)):
                pass


@contextlib.contextmanager
def served(app: Any, host: str = "127.0.0.1") -> Iterator[str]:
    """The app behind a real uvicorn."""
    listener = socket.create_server((host, 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


def test_uvicorn_serves_it_on_every_address(place: Path) -> None:
    executor = Recorder()
    app = made(place, executor=executor)
    with served(app, "0.0.0.0") as base:
        token = operator(place).create_token("bot", ["agent"])
        with httpx.Client(base_url=base, timeout=20) as api:
            assert api.get("/health").json()["status"] == "ok"
            body = {"action_type": "read", "target": "crm"}
            assert api.post("/api/v1/execute", json=body).status_code == 401
            headers = {"authorization": f"Bearer {token}"}
            assert api.post("/api/v1/execute", json=body, headers=headers).json()["status"] == "success"
            evil = {"host": "evil.example", **headers}
            assert api.post("/api/v1/execute", json=body, headers=evil).status_code == 403
    assert len(executor.ran) == 1
