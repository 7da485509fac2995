"""prefect.yaml as it is: both flows on a process work pool, run by a worker."""

import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.flows.conftest import PROJECT, Installation
from tests.sandbox.processes import running
from tests.sandbox.repositories import head


@pytest.fixture
def served(installation: Installation) -> Iterator[Installation]:
    """Both deployments of prefect.yaml, and a worker for their pool."""
    pool = installation.run("-m", "prefect", "work-pool", "create", "flowise", "--type", "process", "--overwrite")
    assert pool.returncode == 0, pool.stderr
    deployed = installation.run("-m", "prefect", "--no-prompt", "deploy", "--all")
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    worker = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "flowise"]
    env = {**installation.environment(), "PREFECT_WORKER_QUERY_SECONDS": "1"}
    log = installation.server.home / "worker.log"
    with running(worker, log=log, ready=lambda: "started!" in log.read_text(), env=env):
        yield installation


def start(served: Installation, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Create a run of a deployment, as the Run button does, and wait for its end."""
    api = served.server.api_url
    deployment = httpx.get(f"{api}/deployments/name/{name}/{name}", trust_env=False).raise_for_status().json()
    body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
    created = httpx.post(f"{api}/deployments/{deployment['id']}/create_flow_run", json=body, trust_env=False)
    run = created.raise_for_status().json()
    for _ in range(600):
        run = httpx.get(f"{api}/flow_runs/{run['id']}", trust_env=False).json()
        if run["state"]["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
            return run
        time.sleep(0.1)
    raise AssertionError(f"still {run['state']}")


def test_both_deployments_run_on_a_process_pool(served: Installation) -> None:
    before = head(served.gitops)
    deployed = start(served, "deploy-to-k8s", {"environment": "staging"})
    assert deployed["state"]["type"] == "COMPLETED", deployed["state"]
    middle = head(served.gitops)
    updated = start(served, "update-flowise-deployment", {"environment": "dev", "tag": "v1.0.0"})
    assert updated["state"]["type"] == "COMPLETED", updated["state"]
    assert len({before, middle, head(served.gitops)}) == 3

    failed = start(served, "update-flowise-deployment", {"environment": "dev", "tag": "v1", "sha": ""} | {"tag": "v2"})
    assert failed["state"]["type"] == "COMPLETED", "an emptied field of the form counts as not given"

    failed = start(served, "deploy-to-k8s", {"ref": "nowhere"})
    assert failed["state"]["type"] == "FAILED"
    assert "'nowhere' is not a branch, tag or commit" in failed["state"]["message"]


def test_the_form_knows_its_values(served: Installation) -> None:
    name = "deployments/name/deploy-to-k8s/deploy-to-k8s"
    schema = httpx.get(f"{served.server.api_url}/{name}", trust_env=False).json()["parameter_openapi_schema"]
    fields = schema["properties"]
    assert fields["environment"]["enum"] == ["dev", "staging", "production"]
    assert all(field.get("description") for field in fields.values())
    assert PROJECT.joinpath("prefect.yaml").exists()
