"""The Prefect event between the two flows where things go wrong: nothing is lost, and nothing passes in silence."""

import os
import subprocess
import sys
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect import flow

from flows.deploy_to_k8s import event_run
from flows.setup.command import set_up
from tasks import dispatch as dispatching
from tasks import follow as following
from tasks.core.errors import UpdateFailed
from tasks.core.models import ImageUpdate, UpdateRun
from tasks.core.settings import load
from tests.flows.conftest import PROJECT
from tests.sandbox.prefect_server import PrefectServer

NAME = "update-flowise-deployment"


@pytest.fixture
def undeployed(server: PrefectServer) -> None:
    """No deployment of the second flow, and with it no trigger."""
    found = httpx.get(f"{server.api_url}/deployments/name/{NAME}/{NAME}", trust_env=False)
    if found.is_success:
        httpx.delete(f"{server.api_url}/deployments/{found.json()['id']}", trust_env=False).raise_for_status()


@pytest.fixture
def deployed(server: PrefectServer) -> PrefectServer:
    """The second flow's deployment with its trigger; nobody runs it."""
    list(set_up(load()))
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--name", NAME]
    subprocess.run(command, cwd=PROJECT, env={**os.environ, **server.environment()}, check=True)
    return server


@flow
def sends(update: ImageUpdate, awaited: bool) -> UpdateRun | None:
    """What the first flow does at its end."""
    dispatching.dispatch(update, "prefect-event")
    return event_run(update, awaited)


def update() -> ImageUpdate:
    return ImageUpdate.parse(environment="dev", tag="v1", workflow_run_id=str(uuid4()))


@pytest.mark.usefixtures("undeployed")
def test_without_a_trigger_it_is_said_and_a_run_that_is_waited_for_is_missed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(following, "LOOK_FOR", 0.1)
    assert sends(update(), awaited=False) is None
    assert "No run of update-flowise-deployment has come of the event." in caplog.text
    with pytest.raises(UpdateFailed, match="No run of update-flowise-deployment"):
        sends(update(), awaited=True)


def test_an_event_that_a_server_lost_is_sent_again(deployed: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect answers 204 before it has written an event down: stopped right then, it has never heard of it."""
    wanted, emit, sent = update(), dispatching.emit, []

    def lose_the_first(event: ImageUpdate, force: bool = False) -> None:
        if sent:
            emit(event, force)
        sent.append(event)

    monkeypatch.setattr(dispatching, "emit", lose_the_first)
    monkeypatch.setattr(following, "LOOK_FOR", 3.0)
    found = sends(wanted, awaited=False)
    assert sent == [wanted, wanted]
    assert found
    assert [run["id"] for run in runs_of(deployed, wanted)] == [found.id]

    dispatching.emit(wanted)
    assert sends(wanted, awaited=False) == found
    assert len(runs_of(deployed, wanted)) == 1, "the same event is the same run"


def runs_of(server: PrefectServer, wanted: ImageUpdate) -> list[dict[str, Any]]:
    found = httpx.post(f"{server.api_url}/flow_runs/filter", json={}, trust_env=False).raise_for_status().json()
    return [run for run in found if run["parameters"].get("workflow_run_id") == wanted.workflow_run_id]
