"""The second flow waits until what it wrote runs, and fails when it doesn't."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Response

from flows import update_flowise_deployment
from tasks.core.errors import RolloutFailed
from tests.flows.conftest import Installation
from tests.sandbox.argocd import ArgoCD, argocd
from tests.sandbox.argocd_controller import DEGRADED, follow
from tests.sandbox.in_process import served
from tests.sandbox.repositories import head

SERVER, UI = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@pytest.fixture
def argo(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[ArgoCD]:
    with argocd(follow(installation.gitops, "dev")) as running:
        monkeypatch.setenv("ARGOCD_SERVER", running.url)
        monkeypatch.setenv("ARGOCD_AUTH_TOKEN", running.token)
        monkeypatch.setenv("ROLLOUT_POLL_SECONDS", "0.02")
        monkeypatch.setenv("ROLLOUT_TIMEOUT", "30")
        yield running


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """What the environment's endpoint answers, one after the other; the last one stays."""
    answers, api = [200], FastAPI()

    @api.get("/api/v1/ping")
    def ping() -> Response:
        return Response("pong", answers.pop(0) if len(answers) > 1 else answers[0])

    with served(api) as url:
        monkeypatch.setenv("DEV_ENDPOINT", url)
        monkeypatch.setenv("HEALTH_SECONDS", "0.01")
        monkeypatch.setenv("HEALTH_TRIES", "3")
        yield answers


def test_the_result_tells_that_the_commit_runs(argo: ArgoCD, endpoint: list[int], installation: Installation) -> None:
    endpoint[:] = [503, 502, 200]
    result = update_flowise_deployment("dev", "v1", server_digest=SERVER, ui_digest=UI)
    assert (result.rollout.status, result.rollout.application) == ("healthy", "flowise-dev")
    assert result.rollout.revision == result.commit == head(installation.gitops)
    assert {SERVER, UI} <= {image.partition("@")[2] for image in result.rollout.images}
    assert result.rollout.endpoint == "200 pong"


def test_what_does_not_become_healthy_fails_the_run(argo: ArgoCD, installation: Installation) -> None:
    argo.applications["flowise-dev"].after_sync = (DEGRADED,)
    with pytest.raises(RolloutFailed, match="Degraded"):
        update_flowise_deployment("dev", "v1", server_digest=SERVER, ui_digest=UI)
    assert head(installation.gitops)


def test_an_endpoint_that_does_not_answer_fails_the_run(
    argo: ArgoCD, endpoint: list[int], installation: Installation
) -> None:
    endpoint[:] = [503]
    with pytest.raises(RolloutFailed, match="503"):
        update_flowise_deployment("dev", "v1", server_digest=SERVER, ui_digest=UI)


def test_without_argo_cd_it_says_so(installation: Installation) -> None:
    result = update_flowise_deployment("dev", "v1")
    assert result.rollout.status == "skipped"
    assert "ARGOCD_SERVER" in result.rollout.message


def test_nothing_is_asked_in_a_dry_run(argo: ArgoCD, installation: Installation) -> None:
    assert update_flowise_deployment("dev", "v1", dry_run=True).rollout is None
    assert argo.calls == []
