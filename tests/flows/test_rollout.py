"""The second flow waits until what it wrote runs, and fails when it doesn't."""

import pytest

from flows import update_flowise_deployment
from tasks.core.errors import RolloutFailed
from tests.flows.conftest import Installation
from tests.sandbox.argocd import ArgoCD
from tests.sandbox.argocd_controller import DEGRADED
from tests.sandbox.repositories import head

SERVER, UI = "sha256:" + "a" * 64, "sha256:" + "b" * 64


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
    endpoint[:] = [200, 503]  # before the deployment, and after it
    with pytest.raises(RolloutFailed, match="503"):
        update_flowise_deployment("dev", "v1", server_digest=SERVER, ui_digest=UI)


def test_without_argo_cd_it_says_so(installation: Installation) -> None:
    result = update_flowise_deployment("dev", "v1")
    assert result.rollout.status == "skipped"
    assert "ARGOCD_SERVER" in result.rollout.message


def test_nothing_is_asked_in_a_dry_run(argo: ArgoCD, installation: Installation) -> None:
    assert update_flowise_deployment("dev", "v1", dry_run=True).rollout is None
    assert argo.calls == []
