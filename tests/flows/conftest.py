"""Flows run in this process, against a real Prefect server that lives as long as the test session."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Response

from flows import deploy_to_k8s, update_flowise_deployment
from flows.setup.command import set_up
from tasks.build_image import build_server, build_ui
from tasks.core.models import ENVIRONMENTS
from tasks.core.settings import load
from tasks.dispatch import dispatch
from tasks.find_deployment import find_earlier, find_running
from tasks.get_digest import get_digest
from tasks.pull_request import close_pull_request, open_pull_request
from tasks.read_status import read_status
from tasks.rollout import check_running, rollout
from tasks.set_env import set_env
from tasks.update_kustomization import update_kustomization
from tests.sandbox import in_process
from tests.sandbox.argocd import ArgoCD, argocd
from tests.sandbox.argocd_controller import follow
from tests.sandbox.ecr import Ecr
from tests.sandbox.github import GitHub
from tests.sandbox.optional import optional
from tests.sandbox.postgres import postgres
from tests.sandbox.prefect_server import PrefectServer, prefect_server, used
from tests.sandbox.registry import Registry
from tests.sandbox.services import is_served, starts
from tests.sandbox.worker import workers

PROJECT = Path(__file__).parents[2]
WORKERS = pytest.StashKey[ExitStack]()
TASKS = (
    set_env,
    build_server,
    build_ui,
    get_digest,
    dispatch,
    update_kustomization,
    rollout,
    check_running,
    find_earlier,
    find_running,
    open_pull_request,
    close_pull_request,
    read_status,
)


@pytest.fixture(scope="session")
@starts("prefect")
def server(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[PrefectServer]:
    """A Prefect server on PostgreSQL with a home of its own; this process's flows use it."""
    with (
        optional(postgres()) as database,
        prefect_server(
            tmp_path_factory.mktemp("prefect"), settings={"PREFECT_SERVER_DATABASE_CONNECTION_URL": database}
        ) as running,
        used(running),
    ):
        yield running
        end_workers(request.config)


@pytest.fixture(autouse=True)
def _no_waiting_between_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    for task in TASKS:
        assert task.retries == len(task.retry_delay_seconds), f"{task.name} backs off before every retry"
        monkeypatch.setattr(task, "retry_delay_seconds", [0.01] * task.retries)


@pytest.fixture
def checked_digests() -> None:
    """Asked for by tests of the check that an image is in its registry; others deploy digests that are made up."""


@pytest.fixture(autouse=True)
def _made_up_digests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "checked_digests" not in request.fixturenames:
        monkeypatch.setattr("tasks.update_kustomization._check_there", lambda *_: None)


@dataclass(frozen=True)
class Installation:
    """A pipeline on this machine, as its users have it."""

    source: Path
    gitops: Path
    images: Registry
    server: PrefectServer

    def environment(self) -> dict[str, str]:
        """The environment of another process of this installation."""
        return {**os.environ, **self.server.environment()}

    def run(self, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Another process in the project's folder, with this Python's programs."""
        return subprocess.run(
            [sys.executable, *command],
            cwd=PROJECT,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **options,
        )

    def task_runs(self, flow_run_id: str | None = None) -> list[dict[str, Any]]:
        """Task runs as the Prefect API tells them, newest first."""
        query: dict[str, Any] = {"sort": "EXPECTED_START_TIME_DESC"}
        if flow_run_id:
            query["task_runs"] = {"flow_run_id": {"any_": [flow_run_id]}}
        before, found = None, self.ask("task_runs/filter", query)
        while (states := [(run["id"], run["state_name"]) for run in found]) != before:
            time.sleep(0.5)  # they arrive as events, some time after the flow has ended
            before, found = states, self.ask("task_runs/filter", query)
        return found

    def ask(self, path: str, query: dict[str, Any]) -> Any:
        """A question to the Prefect API."""
        answer = httpx.post(f"{self.server.api_url}/{path}", json=query, trust_env=False)
        return answer.raise_for_status().json()


@pytest.fixture
def installation(
    source: Path,
    gitops: Path,
    images: Registry,
    server: PrefectServer,
    docker_host: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Installation:
    """Both repositories new, the registry, the engine and the server shared; the settings are in the environment."""
    monkeypatch.setenv("SOURCE_REPO", str(source))
    monkeypatch.setenv("GITOPS_REPO", str(gitops))
    monkeypatch.setenv("ECR_REGISTRY", images.host)
    return Installation(source, gitops, images, server)


@pytest.fixture
def on_github(hub: GitHub, installation: Installation, monkeypatch: pytest.MonkeyPatch) -> GitHub:
    """The installation's repositories, reached over HTTP with a token."""
    settings = {"GITHUB_API_URL": hub.url, "SOURCE_REPO": "acme/flowise", "GITOPS_REPO": "acme/devops"}
    for name, value in {**settings, "GITOPS_TOKEN": hub.token}.items():
        monkeypatch.setenv(name, value)
    return hub


@pytest.fixture
def on_amazon(amazon: Ecr, ecr_engine: str, installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Ecr:
    """The installation's images go to an ECR of this machine."""
    settings = {**amazon.environment(), "DOCKER_HOST": ecr_engine, "ECR_REGISTRY": amazon.registry}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return amazon


@pytest.fixture
def worker(
    server: PrefectServer,
    shared_engine: str,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> None:
    """The deployments of prefect.yaml, and workers that a group of files shares: see ``served``.

    Not for the whole session: other files make runs that nobody is to pick up.
    """
    if WORKERS in request.config.stash:
        return
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SOURCE_REPO", "GITOPS_REPO", "ECR_REGISTRY"):
            patch.setenv(name, "one for each test")
        list(set_up(load()))
    prefect = [sys.executable, "-m", "prefect", "--no-prompt"]
    env = {**os.environ, **server.environment(), "DOCKER_HOST": shared_engine}
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    # Side by side: both take most of their time to load Prefect.
    with (
        subprocess.Popen([*prefect, "deploy", "--all"], cwd=PROJECT, env=env, **options) as deploying,
        ExitStack() as parts,
    ):
        parts.enter_context(workers(env, tmp_path_factory.mktemp("workers")))
        said, _ = deploying.communicate(timeout=120)
        assert deploying.returncode == 0, said
        request.config.stash[WORKERS] = parts.pop_all()


@pytest.fixture(autouse=True)
def _nobody_picks_up(request: pytest.FixtureRequest) -> None:
    if not is_served(request.node):
        end_workers(request.config)


def end_workers(config: pytest.Config) -> None:
    """End the workers, if there are any."""
    if WORKERS in config.stash:
        config.stash[WORKERS].close()
        del config.stash[WORKERS]


@pytest.fixture
def served(installation: Installation, worker: None, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """An installation as ``flowise-setup`` leaves it: the workers look the settings up whenever a run starts.

    A delivery is one run here, not two as by default.
    """
    monkeypatch.setenv("DISPATCH_VIA", "inline")
    list(set_up(load()))
    return installation


@pytest.fixture
def argo(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[ArgoCD]:
    """An Argo CD with the three environments, which every update waits for."""
    with argocd(*(follow(installation.gitops, environment) for environment in ENVIRONMENTS)) as running:
        monkeypatch.setenv("ARGOCD_SERVER", running.url)
        monkeypatch.setenv("ARGOCD_AUTH_TOKEN", running.token)
        monkeypatch.setenv("ROLLOUT_POLL_SECONDS", "0.02")
        monkeypatch.setenv("ROLLOUT_TIMEOUT", "30")
        monkeypatch.setenv("DEGRADED_SECONDS", "0.1")
        yield running


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """What the environment's endpoint answers, one after the other; the last one stays."""
    answers, api = [200], FastAPI()

    @api.get("/api/v1/ping")
    def ping() -> Response:
        return Response("pong", answers.pop(0) if len(answers) > 1 else answers[0])

    with in_process.served(api) as url:
        monkeypatch.setenv("DEV_ENDPOINT", url)
        monkeypatch.setenv("HEALTH_SECONDS", "0.01")
        monkeypatch.setenv("HEALTH_TRIES", "3")
        yield answers


@pytest.fixture
def deploy() -> Any:
    """The first flow."""
    return deploy_to_k8s


@pytest.fixture
def update() -> Any:
    """The second flow."""
    return update_flowise_deployment
