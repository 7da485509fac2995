"""Every run ends with its result, in its state and in its log."""

import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows import drift, rollback, update_flowise_deployment
from tasks.core.errors import NotFound
from tests.sandbox.prefect_server import PrefectServer
from tests.sandbox.repositories import commit, show

DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def api(server: PrefectServer, source: Path, gitops: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Ask the Prefect API; both repositories are new."""
    monkeypatch.setenv("SOURCE_REPO", str(source))
    monkeypatch.setenv("GITOPS_REPO", str(gitops))
    monkeypatch.setenv("ECR_REGISTRY", "registry.example")

    def ask(path: str, query: dict[str, Any]) -> Any:
        return httpx.post(f"{server.api_url}/{path}", json=query, trust_env=False).raise_for_status().json()

    return ask


def update(**options: Any) -> Any:
    return update_flowise_deployment("dev", "v1", server_digest=DIGEST, ui_digest=DIGEST, return_state=True, **options)


def test_a_run_that_deployed_nothing_does_not_look_like_one_that_did(api: Any) -> None:
    planned, first, second = update(dry_run=True), update(), update()
    assert [each.name for each in (planned, first, second)] == ["DryRun", "Completed", "Unchanged"]
    assert first.message == f"dev: latest -> v1, commit {first.result().commit[:7]}, rollout not checked"
    assert second.message == "dev: nothing to commit, v1 is in place, rollout not checked"


def test_a_failure_is_told_in_a_sentence_and_a_summary_without_a_traceback(
    api: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    state = rollback("dev", to="v0", return_state=True)
    assert state.message.startswith("dev has no deployment as v0")
    with pytest.raises(NotFound):
        state.result()
    said = capfd.readouterr()
    assert "Traceback" not in said.err + said.out
    page = api("artifacts/latest/filter", {"artifacts": {"key": {"any_": ["update-dev"]}}})[0]["data"]
    assert page.startswith("# dev: v0: failed in `find-earlier`")


def test_drift_is_found_and_told_once(api: Any, gitops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(sys.modules["flows.drift"], "notify", lambda _, environment, *rest: told.append(environment))
    update()
    assert drift(return_state=True).message == "No drift."
    path = "argocd/apps/flowise/overlays/dev/kustomization.yaml"
    text = show(gitops, "main", path).replace(f"digest: {DIGEST}", "newTag: by-hand")
    commit(gitops, "main", {path: text}, "fix: quickly")
    for _ in range(2):
        state = drift(return_state=True)
        assert (state.name, state.type.value) == ("Drifted", "COMPLETED")
        assert state.message.startswith("dev: the overlay was changed by hand since commit")
    assert told == ["dev"]
