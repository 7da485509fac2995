"""prefect.yaml as it is: both flows on a process work pool, run by a worker."""

import sys
import time
from typing import Any

import httpx
import pytest
from prefect.client.schemas.objects import State
from prefect.deployments import run_deployment
from prefect.variables import Variable

from flows import deploy_to_k8s, update_flowise_deployment
from flows.setup.command import set_up
from tasks.core.settings import load
from tests.flows.conftest import PROJECT, Installation
from tests.sandbox.repositories import git, head, log, show


def start(name: str, parameters: dict[str, Any]) -> State:
    """Create a run of a deployment, as the Run button does, and wait for its end."""
    run = run_deployment(f"{name}/{name}", parameters=parameters, timeout=120, poll_interval=0.2, as_subflow=False)
    assert run.state.is_final(), run.state
    return run.state


def test_both_deployments_run_on_a_process_pool(served: Installation) -> None:
    before = head(served.gitops)
    assert start("deploy-to-k8s", {"environment": "staging"}).is_completed()
    middle = head(served.gitops)
    # "" is what an emptied field of the form sends.
    assert start("update-flowise-deployment", {"environment": "dev", "tag": "v1.0.0", "sha": ""}).is_completed()
    assert len({before, middle, head(served.gitops)}) == 3

    failed = start("deploy-to-k8s", {"ref": "nowhere"})
    assert failed.is_failed()
    assert "'nowhere' is not a branch, tag or commit" in failed.message


def test_the_event_starts_the_second_flow_with_its_parameters(
    served: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCH_WAIT", "120")
    result = deploy_to_k8s(environment="staging", ref="main", dispatch_via="prefect-event")
    assert result.update is None
    assert result.update_run.state == "Completed"
    (run,) = served.ask("flow_runs/filter", {"flow_runs": {"id": {"any_": [result.update_run.id]}}})
    assert run["state"]["type"] == "COMPLETED", run["state"]
    assert run["name"] == f"staging {result.tag}"
    newest = log(served.gitops)[0]
    assert newest["subject"] == f"chore(staging): update flowise images to {result.tag}"
    assert f"Source SHA: {result.sha}" in newest["body"].splitlines()
    overlay = show(served.gitops, "main", "argocd/apps/flowise/overlays/staging/kustomization.yaml")
    assert result.server.digest in overlay
    assert result.ui.digest in overlay


def test_by_default_a_delivery_is_a_run_in_each_pool(served: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first flow's run has neither token nor approval to do with; ``force`` reaches the second one."""
    monkeypatch.delenv("DISPATCH_VIA")
    Variable.unset("flowise_dispatch_via")
    list(set_up(load()))
    assert Variable.get("flowise_dispatch_via") == "prefect-event"
    newer, older = (git(served.source, "rev-parse", ref).decode().strip() for ref in ("main", "v1.0.0^{commit}"))
    assert update_flowise_deployment("staging", "v2", sha=newer).changed
    assert start("deploy-to-k8s", {"environment": "staging", "ref": older, "force": True}).is_completed()
    run = None
    for _ in range(300):
        runs = served.ask("flow_runs/filter", {"flow_runs": {"name": {"any_": [f"staging {older[:7]}"]}}})
        run = next((each for each in runs if each["work_pool_name"]), None)
        if run and run["state"]["type"] in ("COMPLETED", "FAILED", "CRASHED"):
            break
        time.sleep(0.1)
    assert run
    assert (run["work_pool_name"], run["state"]["name"]) == ("flowise-gitops", "Completed")
    assert run["parameters"]["force"] is True
    assert f"Source SHA: {older}" in log(served.gitops)[0]["body"].splitlines()


def test_every_run_is_one_process_of_its_own_pool(served: Installation) -> None:
    """Of the two that Prefect takes without a command, the first costs two seconds and only prepares the other."""
    deployed = served.ask("deployments/filter", {})
    assert {(each["name"], each["work_pool_name"]) for each in deployed} == {
        ("deploy-to-k8s", "flowise-build"),
        ("watch-source", "flowise-build"),
        ("update-flowise-deployment", "flowise-gitops"),
        ("promote", "flowise-gitops"),
        ("rollback", "flowise-gitops"),
        ("status", "flowise-gitops"),
        ("drift", "flowise-gitops"),
        ("recover", "flowise-gitops"),
    }
    assert not any(each["job_variables"] for each in deployed)
    for pool in served.ask("work_pools/filter", {}):
        job = pool["base_job_template"]["job_configuration"]
        assert job["command"] == f"{sys.executable} -m prefect.engine", "whatever the worker's PATH is"
        assert job["working_dir"] == str(PROJECT)


def test_the_form_knows_its_values(served: Installation) -> None:
    name = "deployments/name/deploy-to-k8s/deploy-to-k8s"
    schema = httpx.get(f"{served.server.api_url}/{name}", trust_env=False).json()["parameter_openapi_schema"]
    fields = schema["properties"]
    assert fields["environment"]["enum"] == ["dev", "staging", "production"]
    assert all(field.get("description") for field in fields.values())


def test_the_api_takes_null_for_text_that_may_be_empty(served: Installation) -> None:
    api = served.server.api_url
    found = httpx.get(f"{api}/deployments/name/deploy-to-k8s/deploy-to-k8s", trust_env=False).json()
    later = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2100-01-01T00:00:00Z"}}
    body = {"parameters": {"tag_version": None, "dispatch_via": None, "actor": None}, "state": later}
    made = httpx.post(f"{api}/deployments/{found['id']}/create_flow_run", json=body, trust_env=False)
    assert made.status_code == 201, made.text
    httpx.delete(f"{api}/flow_runs/{made.json()['id']}", trust_env=False).raise_for_status()
