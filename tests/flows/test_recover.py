"""The flow that starts a dead worker's runs again: which runs, how often, and that it leaves live ones alone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.states import (
    Completed,
    Crashed,
    InfrastructurePending,
    Pending,
    Running,
    State,
    Submitting,
    Suspended,
)
from prefect.utilities.schema_tools.hydration import HydrationContext, HydrationError, hydrate

from flows.recover import RECOVERING, recover
from flows.setup.command import set_up
from tasks.core.settings import load
from tests.flows.conftest import PROJECT
from tests.sandbox.prefect_server import PrefectServer
from tests.sandbox.until import until
from tests.sandbox.watched import passes


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.recover.LISTEN", 0.2)
    monkeypatch.setattr("flows.recover.PAUSE", 0.1)


@pytest.fixture(scope="module")
def deployment(server: PrefectServer) -> UUID:
    """A deployment that no worker looks after."""
    found: Any = passes.from_source(source=str(PROJECT), entrypoint="tests/sandbox/watched.py:passes")
    return found.to_deployment(name="for recover", tags=["flowise"]).apply()


def made(state: State[Any], deployment: UUID | None = None) -> UUID:
    """A run in a state."""
    with get_client(sync_client=True) as client:
        if deployment:
            run = client.create_flow_run_from_deployment(deployment, parameters={"where": "vain"})
        else:
            run = client.create_flow_run(passes, parameters={"where": "vain"})
        client.set_flow_run_state(run.id, state, force=True)
        return run.id


def state_of(run: UUID) -> State[Any]:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run).state


@pytest.mark.parametrize("state", [Running(), Pending(), Crashed()], ids=lambda state: state.name)
def test_a_lost_run_is_started_again_twice_and_then_ends(state: State[Any], deployment: UUID) -> None:
    run = made(state, deployment)
    for turn in (1, 2):
        recover(run)
        found = state_of(run)
        assert (found.type, found.name) == (StateType.SCHEDULED, RECOVERING)
        assert found.message == f"Recovery {turn} of 2: its worker or its process has died."
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run, state, force=True)
    recover(run)
    assert state_of(run).type == StateType.CRASHED


@pytest.mark.parametrize("state", [Suspended(timeout_seconds=86400), Completed()], ids=lambda state: state.name)
def test_a_run_that_waits_or_has_ended_is_left_alone(state: State[Any], deployment: UUID) -> None:
    run = made(state, deployment)
    recover(run)
    assert state_of(run).name == state.name


def declared(trigger: str) -> dict[str, Any]:
    """A trigger of prefect.yaml."""
    deployments = yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"]
    (found,) = (each for one in deployments for each in one.get("triggers", []) if each["name"] == trigger)
    return found


def test_a_run_that_dies_before_its_first_heartbeat_is_silent_too() -> None:
    assert set(declared("Flowise recovery: silent")["after"]) == {
        "prefect.flow-run.Running",
        "prefect.flow-run.heartbeat",
    }


def test_every_state_between_a_worker_and_a_process_is_watched() -> None:
    states = (Submitting(), InfrastructurePending(), Pending())
    assert {state.type for state in states} == {StateType.PENDING}
    assert set(declared("Flowise recovery: pending")["after"]) == {f"prefect.flow-run.{each.name}" for each in states}


@pytest.mark.parametrize(
    ("trigger", "taken"),
    [
        ("Flowise recovery: silent", {"RUNNING"}),
        ("Flowise recovery: pending", {"PENDING"}),
        ("Flowise recovery: crashed", {"RUNNING", "PENDING", "PAUSED", "COMPLETED", "CRASHED"}),
    ],
)
def test_a_trigger_names_the_run_if_it_is_still_in_that_state(trigger: str, taken: set[str]) -> None:
    """A heartbeat that comes late makes a run that was suspended, or has ended, look silent."""
    found, run = declared(trigger), uuid4()
    for state in StateType:
        known = {"flow_run": {"id": run, "state": {"type": state}}, "flow": {"name": "deploy-to-k8s"}}
        context = HydrationContext(raise_on_error=True, render_jinja=True, jinja_context=known)
        if state.value in taken:
            assert hydrate(found["parameters"], context) == {"lost": str(run)}
        elif trigger != "Flowise recovery: crashed":
            with pytest.raises(HydrationError):
                hydrate(found["parameters"], context)


KEPT = ("name", "description", "enabled", "trigger", "actions", "actions_on_trigger", "actions_on_resolve")
"""What an automation is replaced by; the rest is the server's."""


@pytest.fixture
def soon(server: PrefectServer) -> Iterator[None]:
    """The triggers as ``prefect deploy`` makes them, with 10 s, the least that Prefect allows, instead of minutes."""
    list(set_up(load()))
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--name", "recover"]
    subprocess.run(command, cwd=PROJECT, env={**os.environ, **server.environment()}, check=True)
    with httpx.Client(base_url=server.api_url, trust_env=False) as api:
        ours = [each for each in api.post("/automations/filter").json() if each["name"].startswith("Flowise recovery")]
        assert {each["trigger"]["within"] for each in ours} == {0, 90, 300}
        for each in ours:
            within = {"within": min(each["trigger"]["within"], 10)}
            changed = {name: each[name] for name in KEPT} | {"trigger": each["trigger"] | within}
            api.put(f"/automations/{each['id']}", json=changed).raise_for_status()
        yield
        for each in ours:
            api.delete(f"/automations/{each['id']}").raise_for_status()


@pytest.mark.usefixtures("soon")
def test_each_trigger_finds_its_lost_run_and_no_other(server: PrefectServer, deployment: UUID) -> None:
    """No process is behind these runs: nothing follows the state, not even a first heartbeat."""
    lost = {"silent": Running(), "pending": Submitting(), "crashed": Crashed()}
    found = {(f"Flowise recovery: {trigger}", str(made(state, deployment))) for trigger, state in lost.items()}
    others = {str(made(state, deployment)) for state in (Suspended(timeout_seconds=86400), Completed())}
    ours = others | {run for _, run in found}

    def started() -> set[tuple[str, str]]:
        """What the triggers started for these runs; other tests' lost runs, on the same server, are found as well."""
        query = {"flows": {"name": {"any_": [recover.name]}}, "sort": "START_TIME_DESC"}
        runs = httpx.post(f"{server.api_url}/flow_runs/filter", json=query, trust_env=False).json()
        pairs = {((run["created_by"] or {}).get("display_value"), run["parameters"]["lost"]) for run in runs}
        return {(by, lost) for by, lost in pairs if lost in ours and by}

    until(lambda: started() == found)


def test_a_recovery_that_crashes_starts_no_other_one() -> None:
    known = {"flow_run": {"id": uuid4()}, "flow": {"name": recover.name}}
    context = HydrationContext(raise_on_error=True, render_jinja=True, jinja_context=known)
    with pytest.raises(HydrationError):
        hydrate(declared("Flowise recovery: crashed")["parameters"], context)


def test_the_run_of_a_subflow_is_its_parent_s_to_start(server: PrefectServer) -> None:
    run = made(Running())
    recover(run)
    assert state_of(run).message == "Its worker or its process has died; its parent run starts it again."


def test_a_run_that_gives_signs_of_life_is_left_alone(
    server: PrefectServer, deployment: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.recover.LISTEN", 30)
    run = made(Running(), deployment)

    def beat(_: float) -> None:
        event = {
            "id": str(uuid4()),
            "occurred": datetime.now(UTC).isoformat(),
            "event": "prefect.flow-run.heartbeat",
            "resource": {"prefect.resource.id": f"prefect.flow-run.{run}"},
        }
        httpx.post(f"{server.api_url}/events", json=[event], trust_env=False).raise_for_status()

    monkeypatch.setattr("flows.recover.time.sleep", beat)
    recover(run)
    assert state_of(run).name == "Running"
