"""prefect.yaml as it is: both flows on a process work pool, run by a worker."""

import sys
from typing import Any

import httpx
import pytest
from prefect.client.schemas.objects import State
from prefect.deployments import run_deployment

from flows import deploy_to_k8s
from tests.flows.conftest import PROJECT, Installation
from tests.sandbox.repositories import head, log, show


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


def test_every_run_is_one_process(served: Installation) -> None:
    """Of the two that Prefect takes without a command, the first costs two seconds and only prepares the other."""
    deployed = served.ask("deployments/filter", {"work_pools": {"name": {"any_": ["flowise"]}}})
    assert len(deployed) == 6
    assert not any(each["job_variables"] for each in deployed)
    (pool,) = served.ask("work_pools/filter", {"work_pools": {"name": {"any_": ["flowise"]}}})
    job = pool["base_job_template"]["job_configuration"]
    assert job["command"] == f"{sys.executable} -m prefect.engine", "whatever the worker's PATH is"
    assert job["working_dir"] == str(PROJECT)


def test_the_form_knows_its_values(served: Installation) -> None:
    name = "deployments/name/deploy-to-k8s/deploy-to-k8s"
    schema = httpx.get(f"{served.server.api_url}/{name}", trust_env=False).json()["parameter_openapi_schema"]
    fields = schema["properties"]
    assert fields["environment"]["enum"] == ["dev", "staging", "production"]
    assert all(field.get("description") for field in fields.values())
    assert PROJECT.joinpath("prefect.yaml").exists()
