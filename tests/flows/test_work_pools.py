"""The worker image, and a run of a deployment in it: a real Docker work pool on a real engine."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.deployments import run_deployment

from flows.setup.command import set_up
from tasks.core.settings import load
from tests.conftest import TOKEN
from tests.flows.conftest import PROJECT
from tests.sandbox.github import GitHub
from tests.sandbox.optional import optional
from tests.sandbox.prefect_server import PrefectServer, prefect_server, used
from tests.sandbox.registry import Registry
from tests.sandbox.repositories import log
from tests.sandbox.services import starts
from tests.sandbox.worker import worker
from tests.sandbox.worker_image import WorkerImage, worker_image


@pytest.fixture(scope="module")
@starts("engine")
def image() -> Iterator[WorkerImage]:
    with optional(worker_image()) as built:
        yield built


@pytest.fixture(scope="module")
@starts("prefect")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A server whose pools have another type than those of ``served``."""
    with prefect_server(tmp_path_factory.mktemp("prefect")) as running, used(running):
        yield running


def test_the_image_has_the_tools_and_neither_root_nor_secrets(image: WorkerImage) -> None:
    tools = "git --version; docker buildx version; kubectl version --client; flowise-setup --help"
    said = image.run(f"id -u; {tools}; (touch x || python -m pip) 2>&1 || ls -A").splitlines()
    assert said[0] == "10001"
    for tool in ("git version 2", "github.com/docker/buildx", "Kustomize Version: v5", "usage: flowise-setup"):
        assert any(line.startswith(tool) for line in said), said
    assert "Permission denied" in said[-7]
    assert "No module named pip" in said[-6]
    assert said[-5:] == [".venv", "flows", "prefect.yaml", "pyproject.toml", "tasks"]


def test_a_run_in_a_container_writes_the_commit(
    image: WorkerImage,
    fresh: PrefectServer,
    hub: GitHub,
    images: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {
        "WORK_POOL_TYPE": "docker",
        "WORKER_IMAGE": image.name,
        "WORK_POOL_OPTIONS": '{"image_pull_policy": "Never", "network_mode": "host"}',
        "GITHUB_API_URL": hub.url,
        "SOURCE_REPO": "acme/flowise",
        "GITOPS_REPO": "acme/devops",
        "GITOPS_TOKEN": TOKEN,
        "ECR_REGISTRY": images.host,
        "RENDER": "require",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    made = {row.name: row.outcome for row in set_up(load())}
    assert made["flowise-build"] == made["flowise-gitops"] == "created"
    for name in settings:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DOCKER_HOST", image.engine)
    environment = {**fresh.environment(), "PATH": "/usr/bin:/bin", "DOCKER_HOST": image.engine}
    deploy = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--name", "update-flowise-deployment"]
    subprocess.run(deploy, cwd=PROJECT, env=environment, check=True, capture_output=True, timeout=120)
    with worker(environment, tmp_path / "worker.log", "flowise-gitops"):
        run = run_deployment(
            "update-flowise-deployment/update-flowise-deployment",
            parameters={"environment": "dev", "tag": "v9.0.0"},
            job_variables={"image": "attacker/image", "command": "true", "env": {"GITOPS_REPO": "attacker/devops"}},
            timeout=120,
            poll_interval=0.2,
            as_subflow=False,
        )
    assert run.state
    assert run.state.is_completed(), run.state.message + (tmp_path / "worker.log").read_text()
    assert log(hub.repositories["acme/devops"])[0]["subject"] == "chore(dev): update flowise images to v9.0.0"
    assert "container" in (tmp_path / "worker.log").read_text()
