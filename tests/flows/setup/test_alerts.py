"""Alerts on a real server, from the event to the endpoint that a person reads."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import httpx
import pytest
from prefect import Flow, tags
from prefect.deployments import run_deployment

from flows.setup.command import set_up
from tasks.core.settings import load
from tasks.runtime.notify import Kind, notify
from tests.flows.conftest import PROJECT
from tests.sandbox.notifications import SERVICES, Notifications, Services, address, notifications, services
from tests.sandbox.prefect_server import PrefectServer, prefect_server, used
from tests.sandbox.services import starts
from tests.sandbox.until import until
from tests.sandbox.watched import fails, passes
from tests.sandbox.worker import worker as take_runs


@dataclass(frozen=True)
class Told:
    """A server with alerts, and what they said."""

    server: PrefectServer
    endpoint: Notifications
    services: Services

    def about(self, text: str) -> list[dict[str, Any]]:
        return self.endpoint.about(text)


QUICK = {
    "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "1",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "1",
    "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT1S",
}
ADDRESSES = {
    "ALERT_SLACK_URL": address("hooks.slack.com", "abcdefghijklmnopqrstuvwx"),
    "ALERT_TEAMS_URL": address("teams.example.com", "abcdefghijkl"),
    "ALERT_DISCORD_URL": address("discord.com", "abcdefghijkl"),
    "ALERT_EMAIL": "ops@example.com, lan@example.com",
    "ALERT_EMAIL_FROM": "delivery@example.com",
    "SENDGRID_API_KEY": "SG.abcdefghijkl.mnopqrstuvwx",
}
SHORT = {"alert_stuck_seconds": 10, "alert_late_seconds": 10}


@pytest.fixture(scope="module")
@starts("prefect")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """A server that was set up with alerts, with short times, and the endpoint they go to."""
    with ExitStack() as parts:
        others = parts.enter_context(services(tmp_path_factory.mktemp("services")))
        settings = QUICK | others.environment
        server = parts.enter_context(prefect_server(tmp_path_factory.mktemp("prefect"), settings=settings))
        endpoint = parts.enter_context(notifications("part-of-a-secret"))
        parts.enter_context(used(server))
        patch = parts.enter_context(pytest.MonkeyPatch.context())
        for name, value in {**ADDRESSES, "ALERT_WEBHOOK_URL": endpoint.url}.items():
            patch.setenv(name, value)
        assert list(set_up(load().model_copy(update=SHORT)))
        yield Told(server, endpoint, others)


@pytest.fixture(scope="module")
def worker(told: Told) -> Iterator[None]:
    """Deployments of the flows to watch, and a worker for them."""
    server = told.server
    for name in ("waits", "asks"):
        found = Flow.from_source(source=str(PROJECT), entrypoint=f"tests/sandbox/watched.py:{name}")
        found.deploy(
            name=name,
            work_pool_name="flowise-build",
            tags=["flowise"],
            build=False,
            push=False,
            print_next_steps=False,
        )
    env = {**os.environ, **server.environment(), "PYTHONPATH": str(PROJECT)}
    with take_runs(env, server.home / "worker.log", "flowise-build"):
        yield


def state_of(told: Told, name: str) -> str:
    query = {"flow_runs": {"name": {"any_": [name]}}}
    runs = httpx.post(f"{told.server.api_url}/flow_runs/filter", json=query, trust_env=False).json()
    return runs[0]["state"]["name"] if runs else ""


def begun(pid_file: Path) -> int:
    return int(until(lambda: pid_file.exists() and pid_file.read_text()))


def test_a_failed_run_is_told_in_words_with_a_link(told: Told) -> None:
    fails("another project", return_state=True)
    with tags("flowise"):
        run = fails("ours", return_state=True)
    (told_of,) = until(lambda: told.about("fails in ours"))
    assert told_of["subject"] == "[Flowise] Failed: fails in ours"
    link = f"{told.server.url}/v2/runs/flow-run/{run.state_details.flow_run_id}"
    for words in ("Flow: fails", "Run: fails in ours", "State: Failed", "nothing works in ours", link):
        assert words in told_of["body"]
    assert not told.about("another project")


@pytest.mark.parametrize("kind", get_args(Kind))
def test_each_event_is_one_message(told: Told, kind: Kind) -> None:
    subject = f"dev: v1 to v2, {kind}"
    notify(kind, "dev", subject, "By Lan.\nhttp://prefect.example/run")
    for host in SERVICES:
        until(lambda host=host: told.services.about(host, subject))
    until(lambda: told.about(subject))
    time.sleep(1)
    assert [each["subject"] for each in told.about(subject)] == [f"[Flowise] {subject}"]
    mails = [each["personalizations"][0]["to"] for each in told.services.about("api.sendgrid.com", subject)]
    assert sorted(to["email"] for (to,) in mails) == ["lan@example.com", "ops@example.com"]
    for host in SERVICES.keys() - {"api.sendgrid.com"}:
        assert len(told.services.about(host, subject)) == 1, f"{host} is told once"


def test_nothing_that_people_typed_has_a_meaning_in_a_chat_or_a_mail(told: Told) -> None:
    typed = "<!channel> !here> <@U0123> @U0123> @everyone <b>bold</b> \x1b[31m"
    notify("deployed", "dev", "dev: typed", f"By {typed}\nhttp://prefect.example/run")
    until(lambda: told.about("dev: typed") and all(told.services.about(host, "dev: typed") for host in SERVICES))
    (message,) = told.about("dev: typed")
    assert "By <! channel> ! here> <@ U0123> @ U0123> @ everyone" in message["body"]
    assert "\x1b" not in message["body"]
    for host in SERVICES:
        said = json.dumps(told.services.about(host, "dev: typed"))
        assert not [each for each in ("<!channel", "<!here", "<@U0", "@everyone") if each in said], host
    mail, *_ = told.services.about("api.sendgrid.com", "dev: typed")
    html = mail["content"][0]["value"]
    assert html.startswith("<pre>By &lt;! channel&gt;")
    assert "&lt;b&gt;bold" in html
    assert "\nhttp://prefect.example/run" in html


def test_an_event_that_starts_no_run_is_told(told: Told) -> None:
    server = told.server
    deployed = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--name", "update-flowise-deployment"],
        cwd=PROJECT,
        env={**os.environ, **server.environment()},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    event = {
        "id": str(uuid4()),
        "occurred": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "event": "flowise-image-updated",
        "resource": {"prefect.resource.id": "flowise.image.dev"},
        "payload": {},
    }
    httpx.post(f"{server.api_url}/events", json=[event], trust_env=False).raise_for_status()
    (told_of,) = until(lambda: told.about("Lost"))
    assert "flowise-image-updated" in told_of["subject"]
    assert "Unable to create flow run from deployment" in told_of["body"]
    assert "started no run" in told_of["body"]


def test_a_run_that_nobody_picks_up_is_told(told: Told) -> None:
    found = Flow.from_source(source=str(PROJECT), entrypoint="tests/sandbox/watched.py:passes")
    found.deploy(name="passes", work_pool_name="flowise-build", tags=["flowise"], build=False)
    run_deployment("passes/passes", parameters={"where": "vain"}, timeout=0, flow_run_name="passes in vain")
    (told_of,) = until(lambda: told.about("passes in vain"))
    assert told_of["subject"] == "[Flowise] Late: passes in vain"
    assert "prefect worker start --pool flowise-build\n" in told_of["body"]


def test_a_killed_process_is_told_by_its_worker(told: Told, worker: None, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    run_deployment("waits/waits", parameters={"where": "a worker", "pid_file": str(pid_file)}, timeout=0)
    os.kill(begun(pid_file), signal.SIGKILL)
    killed = time.monotonic()
    (told_of,) = until(lambda: told.about("waits in a worker"))
    print(f"kill to alert {time.monotonic() - killed:.1f} s")
    assert told_of["subject"] == "[Flowise] Crashed: waits in a worker"


def test_silence_is_told_and_neither_a_suspended_nor_an_ended_run(told: Told, worker: None, tmp_path: Path) -> None:
    run_deployment("asks/asks", parameters={"where": "a worker"}, timeout=0)
    with tags("flowise"):
        passes("no time")
    until(lambda: state_of(told, "asks in a worker") == "Suspended")
    pid_file = tmp_path / "pid"
    code = "import sys; from prefect import tags; from tests.sandbox.watched import waits\n"
    code += "with tags('flowise'): waits('the dark', sys.argv[1])"
    env = {**os.environ, **told.server.environment()}
    process = subprocess.Popen([sys.executable, "-c", code, str(pid_file)], cwd=PROJECT, env=env)
    begun(pid_file)
    heard = {"filter": {"event": {"name": ["prefect.flow-run.heartbeat"]}}}
    until(lambda: "waits in the dark" in httpx.post(f"{told.server.api_url}/events/filter", json=heard).text)
    process.kill()
    process.wait()
    killed = time.monotonic()
    (told_of,) = until(lambda: told.about("waits in the dark"))
    print(f"silence to alert {time.monotonic() - killed:.1f} s")
    assert told_of["subject"] == "[Flowise] Stuck? waits in the dark"
    assert "State: Running" in told_of["body"]
    assert not told.about("asks in a worker")
    assert not told.about("passes in no time")
    assert state_of(told, "asks in a worker") == "Suspended"
