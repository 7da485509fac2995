"""The receiver as it is served, in front of a real Prefect server: what a delivery makes, and what none does."""

import json
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from starlette.types import Receive, Scope, Send

from flows import deploy_to_k8s, update_flowise_deployment, webhook
from tests.flows.conftest import PROJECT
from tests.sandbox.github_events import commit, dispatched, headers, pushed
from tests.sandbox.in_process import served
from tests.sandbox.prefect_server import PrefectServer
from tests.sandbox.processes import free_port

SECRET, SOURCE, GITOPS = "hush", "acme/FlowiseAI", "acme/devops"
DIGESTS = {"server_digest": "sha256:" + "1" * 64, "ui_digest": "sha256:" + "2" * 64}
UPDATE = {"environment": "staging", "tag": "f3a21bc", "sha": "f3a21bc" + "0" * 33, "actor": "mona"}
UPDATE |= DIGESTS | {"workflow_run_id": "42"}


@dataclass(frozen=True)
class Receiver:
    """The receiver's address, and the Prefect server behind it."""

    url: str
    prefect: PrefectServer
    settings: dict[Any, str]

    def deliver(self, event: str, payload: object, *, secret: str = SECRET, **changes: str) -> httpx.Response:
        """What GitHub does for an event."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        sent = headers(event, body, secret, str(uuid.uuid4())) | {k.replace("_", "-"): v for k, v in changes.items()}
        return httpx.post(f"{self.url}/webhooks/github", content=body, headers=sent, trust_env=False)

    def runs(self) -> dict[str, dict[str, Any]]:
        """The parameters of the receiver's flow runs by their ids."""
        query = {"flow_runs": {"deployment_id": {"is_null_": False}}, "sort": "ID_DESC"}
        found = httpx.post(f"{self.prefect.api_url}/flow_runs/filter", json=query, trust_env=False).json()
        return {run["id"]: run["parameters"] for run in found}


@pytest.fixture
def deployments(server: PrefectServer) -> None:
    """Both deployments under the names of prefect.yaml, with nobody who would run them."""
    for each in (deploy_to_k8s, update_flowise_deployment):
        each.to_deployment(each.name).apply()


@pytest.fixture
def receiver(server: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("GITHUB_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("SOURCE_REPO", SOURCE)
    monkeypatch.setenv("GITOPS_REPO", GITOPS)
    prefect = {PREFECT_API_URL: server.api_url}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with temporary_settings(prefect):  # this thread's are not the server's
            await webhook.app(scope, receive, send)

    with served(app) as url:
        yield Receiver(url, server, prefect)


def push(sha: str = "c" * 40, **files: list[str]) -> dict[str, Any]:
    return pushed(SOURCE, [commit(sha, **(files or {"added": ["packages/ui/x.ts"]}))])


@pytest.mark.usefixtures("deployments")
def test_a_push_makes_one_run_however_often_it_is_delivered(receiver: Receiver) -> None:
    delivery, before = str(uuid.uuid4()), len(receiver.runs())
    first = receiver.deliver("push", push("d" * 40), x_github_delivery=delivery)
    assert first.status_code == 202, first.text
    assert first.elapsed.total_seconds() < 10, "GitHub's own limit"
    run = httpx.get(f"{receiver.prefect.api_url}/flow_runs/{first.json()['flow_run']}", trust_env=False).json()
    assert run["parameters"] == {"environment": "dev", "ref": "d" * 40, "actor": "mona"}
    assert run["state"]["type"] == "SCHEDULED"
    assert first.json()["link"] == f"{receiver.prefect.url}/v2/runs/flow-run/{run['id']}"
    again = receiver.deliver("push", push("d" * 40), x_github_delivery=delivery)
    assert (again.status_code, again.json()) == (202, first.json())
    assert len(receiver.runs()) == before + 1
    replayed = receiver.deliver("push", push("d" * 40))
    assert (replayed.status_code, replayed.json()["flow_run"]) == (200, run["id"]), "the id is not signed"
    assert "came before" in replayed.json()["ignored"]
    assert len(receiver.runs()) == before + 1


@pytest.mark.usefixtures("deployments")
def test_a_delivery_whose_run_failed_starts_another_when_it_is_sent_again(receiver: Receiver) -> None:
    delivery, body = str(uuid.uuid4()), push("e" * 40)
    runs = []
    for state in ("FAILED", "CRASHED", "CANCELLED", "COMPLETED"):
        sent = receiver.deliver("push", body, x_github_delivery=delivery)
        assert sent.status_code == 202, sent.text
        runs.append(sent.json()["flow_run"])
        forced = {"state": {"type": state}, "force": True}
        set_state = f"{receiver.prefect.api_url}/flow_runs/{runs[-1]}/set_state"
        httpx.post(set_state, json=forced, trust_env=False).raise_for_status()
        replayed = receiver.deliver("push", body)
        assert (replayed.status_code, replayed.json()["flow_run"]) == (200, runs[0]), "another id, no run"
    assert len(set(runs)) == 4
    last = receiver.deliver("push", body, x_github_delivery=delivery)
    assert last.json()["flow_run"] == runs[-1], "what went well is not done again"


@pytest.mark.usefixtures("deployments")
def test_a_dispatch_makes_a_run_of_the_second_flow(receiver: Receiver) -> None:
    answer = receiver.deliver("repository_dispatch", dispatched(GITOPS, "flowise-image-updated", UPDATE))
    assert answer.status_code == 202, answer.text
    assert receiver.runs()[answer.json()["flow_run"]] == UPDATE


@pytest.mark.usefixtures("deployments")
@pytest.mark.parametrize(
    ("status", "event", "payload", "changes"),
    [
        (200, "ping", {"zen": "Design for failure.", "hook_id": 1, "hook": {"events": ["push"]}}, {}),
        (400, "ping", {"zen": "Design for failure.", "hook_id": 1, "hook": {"events": ["issues"]}}, {}),
        (200, "issues", {"action": "opened"}, {}),
        (200, "push", push(modified=["docs/guide.md"]), {}),
        (200, "push", push() | {"ref": "refs/heads/other"}, {}),
        (200, "push", push() | {"ref": "refs/tags/v1"}, {}),
        (200, "push", push() | {"deleted": True, "after": "0" * 40}, {}),
        (200, "repository_dispatch", dispatched(GITOPS, "other", {}), {}),
        (401, "push", push(), {"secret": "wrong"}),
        (401, "push", push(), {"x_hub_signature_256": ""}),
        (400, "push", b"{", {}),
        (400, "push", push("main"), {}),
        (400, "push", push() | {"sender": {"login": "mona\n"}}, {}),
        (200, "push", push() | {"repository": {"full_name": "evil/FlowiseAI"}}, {}),
        (400, "push", push(), {"x_github_delivery": "1"}),
        (400, "repository_dispatch", dispatched(GITOPS, "flowise-image-updated", UPDATE | {"ui_digest": "1"}), {}),
    ],
)
def test_no_run(receiver: Receiver, status: int, event: str, payload: object, changes: dict[str, str]) -> None:
    before = receiver.runs()
    answer = receiver.deliver(event, payload, **changes)
    assert answer.status_code == status, answer.text
    assert answer.json()["ignored" if status == 200 else "error"]
    assert SECRET not in answer.text
    assert receiver.runs() == before


@pytest.mark.parametrize("length", ["Content-Length: 999999999999", "Transfer-Encoding: chunked"])
def test_a_body_that_is_too_large(receiver: Receiver, length: str) -> None:
    """Refused by its bytes, whatever the headers say, and at the first one too many."""
    address, before = httpx.URL(receiver.url), receiver.runs()
    with socket.create_connection((address.host, address.port)) as client:
        signature = "X-Hub-Signature-256: sha256=" + "0" * 64
        client.sendall(f"POST /webhooks/github HTTP/1.1\r\nHost: x\r\n{signature}\r\n{length}\r\n\r\n".encode())
        data = b"x" * (webhook.MAX_BODY + 1)
        client.sendall(data if "Content" in length else b"%x\r\n" % len(data) + data)
        assert client.recv(1000).startswith(b"HTTP/1.1 413 ")
    assert receiver.runs() == before


def test_only_so_many_bodies_are_held(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large ones that don't end keep another large one waiting, and neither a small one nor for long."""
    monkeypatch.setattr(webhook, "BODY_SECONDS", 2)
    monkeypatch.setattr(webhook, "REQUESTS_AT_ONCE", 3)
    address, signature = httpx.URL(receiver.url), "X-Hub-Signature-256: sha256=" + "0" * 64
    head = f"POST /webhooks/github HTTP/1.1\r\nHost: x\r\n{signature}\r\nContent-Length: 1000000\r\n\r\n"
    with ExitStack() as held:
        large = [held.enter_context(socket.create_connection((address.host, address.port))) for _ in range(2)]
        for client in large:
            client.sendall(head.encode() + b"x" * 500_000)
        time.sleep(0.5)
        started = time.monotonic()
        assert receiver.deliver("push", b"x" * 500_000, secret="wrong").status_code == 401
        assert time.monotonic() - started > 1, "there was no room before the time of the first two was up"
        assert [client.recv(1000).split()[1] for client in large] == [b"400", b"400"], "both are given up"
        for _ in range(3):
            client = held.enter_context(socket.create_connection((address.host, address.port)))
            client.sendall(head.encode() + b"x")
        time.sleep(0.2)
        assert receiver.deliver("push", push()).status_code == 503, "too many at once"
    assert receiver.deliver("push", b"x" * 500_000, secret="wrong").status_code == 401


def test_a_body_without_a_signature_is_not_waited_for(receiver: Receiver) -> None:
    address = httpx.URL(receiver.url)
    with socket.create_connection((address.host, address.port)) as client:
        client.sendall(b"POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 401 ")


def test_a_body_that_does_not_end(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "BODY_SECONDS", 0.05)
    address, sent = httpx.URL(receiver.url), f"X-Hub-Signature-256: sha256={'0' * 64}\r\nContent-Length: 9\r\n\r\nx"
    with socket.create_connection((address.host, address.port)) as client:
        client.sendall(f"POST /webhooks/github HTTP/1.1\r\nHost: x\r\n{sent}".encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_while_prefect_is_away_github_is_told_to_send_it_again(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "PREFECT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        for port in (free_port(), mute.getsockname()[1]):
            receiver.settings[PREFECT_API_URL] = f"http://127.0.0.1:{port}/api"
            answer = receiver.deliver("push", push())
            assert answer.status_code == 503
            assert "Prefect did not take the run" in answer.json()["error"]
            assert "Send the delivery again" in answer.json()["hint"]


def test_a_missing_deployment_is_named(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.core.triggers.webhook.DEPLOY", "deploy-to-k8s/not-there")
    answer = receiver.deliver("push", push())
    assert answer.status_code == 503
    assert "no deployment deploy-to-k8s/not-there" in answer.json()["error"]
    assert "prefect --no-prompt deploy --all" in answer.json()["hint"]


def test_it_says_that_it_is_there(receiver: Receiver) -> None:
    assert httpx.get(f"{receiver.url}/healthz", trust_env=False).json() == {"status": "ok"}


def test_without_a_secret_it_does_not_start(server: PrefectServer) -> None:
    command = [sys.executable, "-m", "uvicorn", "flows.webhook:app", "--port", str(free_port())]
    env = {"PATH": "/usr/bin:/bin", "SOURCE_REPO": SOURCE, **server.environment()}
    ended = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode != 0
    assert "GITHUB_WEBHOOK_SECRET is not set" in ended.stderr
