"""An older source commit does not replace a newer one, and a dry run writes nothing."""

import shutil
import subprocess
import sys

import pytest
from prefect.concurrency.sync import concurrency

from flows import deploy_to_k8s, update_flowise_deployment
from tests.flows.conftest import PROJECT, Installation
from tests.sandbox.repositories import git, head, log, show

DEV = "argocd/apps/flowise/overlays/dev/kustomization.yaml"


def sha_of(installation: Installation, ref: str) -> str:
    return git(installation.source, "rev-parse", f"{ref}^{{commit}}").decode().strip()


def test_an_older_commit_is_skipped_and_says_so_unless_forced(installation: Installation) -> None:
    newer = deploy_to_k8s(environment="dev", ref="main")
    before = head(installation.gitops)

    older = deploy_to_k8s(environment="dev", ref="v1.0.0")
    assert not older.update.changed
    assert older.update.commit == before == head(installation.gitops)
    assert newer.sha[:7] in older.update.skipped
    assert "force" in older.update.skipped
    runs = installation.ask("flow_runs/filter", {"sort": "START_TIME_DESC", "limit": 2})
    states = {run["name"]: run["state"] for run in runs}
    assert states[f"dev {older.tag}"]["name"] == "Skipped"
    assert newer.sha[:7] in states[f"dev {older.tag}"]["message"]

    assert deploy_to_k8s(environment="staging", ref="v1.0.0").update.changed, "each environment has its own order"
    forced = deploy_to_k8s(environment="dev", ref="v1.0.0", force=True)
    assert forced.update.changed
    assert deploy_to_k8s(environment="dev", ref="main").update.changed, "and forward again"


def test_a_commit_on_another_branch_is_not_older(installation: Installation) -> None:
    deploy_to_k8s(environment="dev", ref="main")
    assert deploy_to_k8s(environment="dev", ref="feature/agents").update.changed


def test_without_the_source_repository_history_decides(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three = "1" * 40, "2" * 40, "3" * 40
    shutil.rmtree(installation.source)
    for number, sha in enumerate((one, two)):
        assert update_flowise_deployment("dev", f"v{number}", sha=sha).changed
    assert "newer" in update_flowise_deployment("dev", "v0", sha=one).skipped
    monkeypatch.delenv("SOURCE_REPO")
    assert "newer" in update_flowise_deployment("dev", "v0", sha=one[:7]).skipped
    assert update_flowise_deployment("dev", "v3", sha=three).changed
    assert update_flowise_deployment("dev", "v0", sha=one, force=True).changed


def test_an_update_without_a_sha_has_no_order(installation: Installation) -> None:
    assert update_flowise_deployment("dev", "v2", sha="2" * 40).changed
    assert update_flowise_deployment("dev", "v1").changed


def test_a_dry_run_shows_the_diff_and_writes_nothing(installation: Installation) -> None:
    before, text = log(installation.gitops), show(installation.gitops, "main", DEV)
    result = update_flowise_deployment("dev", "v7", dry_run=True)
    assert (result.changed, result.commit) == (False, before[0]["sha"])
    assert "+  newTag: v7" in result.diff
    assert [str(change.new).rpartition(":")[2] for change in result.changes] == ["v7", "v7"]
    assert log(installation.gitops) == before
    assert show(installation.gitops, "main", DEV) == text


def test_runs_of_one_environment_do_not_overlap_and_others_do_not_wait(installation: Installation) -> None:
    assert update_flowise_deployment("dev", "v1").changed  # makes the limit
    with concurrency("flowise-dev", occupy=1, strict=True):
        code = "from flows import update_flowise_deployment as u; u('{}', 'v2')"
        command = [sys.executable, "-c", code.format("dev")]
        waiting = subprocess.Popen(command, cwd=PROJECT, env=installation.environment(), stderr=subprocess.DEVNULL)
        assert installation.run("-c", code.format("staging")).returncode == 0
        assert waiting.poll() is None
        assert "v2" not in show(installation.gitops, "main", DEV)
    assert waiting.wait(60) == 0
    assert "newTag: v2" in show(installation.gitops, "main", DEV)
