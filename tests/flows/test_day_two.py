"""After the first deployment: back, onward, as a pull request, and what there is to read of it."""

import json
import socket
import time
from threading import Thread
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from flows import promote, rollback, status, update_flowise_deployment
from tasks.core.errors import (
    Inconclusive,
    InvalidInput,
    NotFound,
    NotProven,
    NotSynced,
    Rejected,
    RolledBack,
    RolloutFailed,
    Unavailable,
)
from tests.flows.conftest import Installation
from tests.sandbox.argocd import UNAVAILABLE, ArgoCD, error
from tests.sandbox.argocd_controller import DEGRADED, HEALTHY
from tests.sandbox.github import GitHub
from tests.sandbox.in_process import served
from tests.sandbox.repositories import commit, git, head, log, show

OVERLAY = "argocd/apps/flowise/overlays/{}/kustomization.yaml"
GOOD, BAD, BETTER = ("sha256:" + character * 64 for character in "abc")


def deploy(tag: str, digest: str, environment: str = "dev", **options: Any) -> Any:
    return update_flowise_deployment(environment, tag, server_digest=digest, ui_digest=digest, **options)


def overlay(installation: Installation, environment: str = "dev") -> str:
    return show(installation.gitops, "main", OVERLAY.format(environment))


@pytest.fixture
def breaking(argo: ArgoCD, monkeypatch: pytest.MonkeyPatch) -> ArgoCD:
    """What is BAD does not start in dev, where a failed rollout is taken back."""
    monkeypatch.setenv("AUTO_ROLLBACK", "dev")
    argo.applications["flowise-dev"].breaks = lambda images: any(image.endswith(BAD) for image in images)
    return argo


def test_back_to_the_one_before(installation: Installation) -> None:
    deploy("v1", GOOD)
    before, first = overlay(installation), head(installation.gitops)
    deploy("v2", BAD)
    planned = rollback("dev", dry_run=True)
    assert (planned.changed, GOOD in planned.diff, head(installation.gitops) == planned.commit) == (False, True, True)

    table = installation.ask("artifacts/latest/filter", {"artifacts": {"key": {"any_": ["rollback-dev"]}}})[0]["data"]
    assert [(each["steps"], each["to"], each["version"]) for each in json.loads(table)] == [("1", first[:7], "v1")]

    result = rollback("dev", reason="it is slow", actor="Nguyễn Văn A")
    assert overlay(installation) == before
    assert (result.tag, result.origin.restores) == ("v1", first)
    lines = log(installation.gitops)[0]["body"].splitlines()
    assert {"Triggered by: Nguyễn Văn A", f"Restores: {first}", "Reason: it is slow"} <= set(lines)
    page = installation.ask("artifacts/latest/filter", {"artifacts": {"key": {"any_": ["update-dev"]}}})[0]["data"]
    assert f"restores `{first[:7]}`: it is slow" in page


def test_a_failed_rollout_is_taken_back_once(breaking: ArgoCD, installation: Installation) -> None:
    deploy("v1", GOOD)
    good, first, count = overlay(installation), head(installation.gitops), len(log(installation.gitops))
    with pytest.raises(RolledBack, match=r"is Degraded at .* dev is back at v1, by commit") as caught:
        deploy("v2", BAD)
    assert overlay(installation) == good
    newest, failed, *_ = log(installation.gitops)
    assert newest["sha"][:7] in caught.value.message
    lines = newest["body"].splitlines()
    assert {f"Restores: {first}", f"Rolls-Back: {failed['sha']}", "Triggered by: automatic rollback"} <= set(lines)
    assert any(line.startswith("Reason: flowise-dev is Degraded") for line in lines)
    assert len(log(installation.gitops)) == count + 2


def test_a_rollback_is_not_rolled_back(breaking: ArgoCD, installation: Installation) -> None:
    deploy("v1", GOOD)
    breaking.applications["flowise-dev"].breaks = lambda _: True
    count = len(log(installation.gitops))
    with pytest.raises(RolloutFailed, match="And its rollback failed: flowise-dev is Degraded"):
        deploy("v2", BAD)
    assert len(log(installation.gitops)) == count + 2
    with pytest.raises(RolloutFailed, match="Degraded"):
        rollback("dev", to="v2")
    assert len(log(installation.gitops)) == count + 3


def test_a_failed_endpoint_is_taken_back(
    argo: ArgoCD, endpoint: list[int], installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTO_ROLLBACK", "dev,staging")
    deploy("v1", GOOD)
    good = overlay(installation)
    endpoint[:] = [200, 503, 503, 503, 200]
    with pytest.raises(RolledBack, match="503"):
        deploy("v2", BETTER)
    assert overlay(installation) == good


def test_an_endpoint_that_failed_before_is_no_evidence(
    argo: ArgoCD, endpoint: list[int], installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTO_ROLLBACK", "dev")
    deploy("v1", GOOD)
    endpoint[:] = [502, 503]
    with pytest.raises(Inconclusive, match=r"503 pong\. Before the deployment it answered 502 pong\."):
        deploy("v2", BETTER)
    assert BETTER in overlay(installation)


def test_where_nobody_asked_for_it_the_commit_stays(argo: ArgoCD, installation: Installation) -> None:
    deploy("v1", GOOD)
    argo.applications["flowise-dev"].after_sync = (DEGRADED,)
    with pytest.raises(RolloutFailed):
        deploy("v2", BAD)
    assert BAD in overlay(installation)


@pytest.mark.parametrize("why", ["Argo CD is away", "it waits for a person"])
def test_what_is_not_known_is_not_taken_back_and_may_be_requested_again(
    why: str, breaking: ArgoCD, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = git(installation.source, "rev-parse", "main").decode().strip()
    deploy("v1", GOOD, sha=source)
    application = breaking.applications["flowise-dev"]
    monkeypatch.setenv("ROLLOUT_TIMEOUT", "3")
    if why == "Argo CD is away":
        breaking.failures += [error(UNAVAILABLE, "upstream connect error")] * 1000
    else:
        application.after_sync = (("Suspended", "Deployment is paused"),)
    with pytest.raises(Inconclusive, match="it is not known whether flowise-dev runs") as caught:
        deploy("v2", BETTER, sha=source)
    assert "Nothing was undone" in caught.value.hint
    assert BETTER in overlay(installation)
    count = len(log(installation.gitops))
    with pytest.raises((NotProven, Unavailable)):
        promote("staging")

    breaking.failures.clear()
    application.after_sync, application.cluster = (HEALTHY,), HEALTHY
    monkeypatch.setenv("ROLLOUT_TIMEOUT", "30")
    again = deploy("v2", BETTER, sha=source)
    assert (again.rollout.status, again.changed, len(log(installation.gitops))) == ("healthy", False, count)


def test_a_paused_canary_is_neither_a_failure_nor_promoted(
    argo: ArgoCD, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROLLOUT_TIMEOUT", "3")
    application = argo.applications["flowise-dev"]
    application.after_sync, application.kind = (("Suspended", "CanaryPauseStep"),), "Rollout"
    state = deploy("v1", GOOD, return_state=True)
    assert (state.name, state.is_completed()) == ("Suspended", True)
    assert "CanaryPauseStep: it waits for a person" in state.message
    with pytest.raises(NotProven, match="its health is Suspended"):
        promote("staging")


def test_a_closed_sync_window_is_no_reason_to_go_back(
    breaking: ArgoCD, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy("v1", GOOD)
    application = breaking.applications["flowise-dev"]
    application.auto_sync, application.window_closed = False, True
    monkeypatch.setenv("ROLLOUT_TIMEOUT", "3")
    with pytest.raises(NotSynced, match="sync window"):
        deploy("v2", BETTER)
    assert BETTER in overlay(installation), "Argo CD takes it when the window opens"


def by_hand(installation: Installation, old: str, new: str) -> None:
    text = overlay(installation).replace(old, new)
    commit(installation.gitops, "main", {OVERLAY.format("dev"): text}, "chore(dev): update flowise images to v3")


def test_a_newer_deployment_in_between_wins(breaking: ArgoCD, installation: Installation) -> None:
    """What was overtaken on its way into the cluster can no longer arrive there, and nothing is taken back."""
    deploy("v1", GOOD)
    fails = breaking.applications["flowise-dev"].breaks

    def somebody_is_faster(images: Any) -> bool:
        if fails(images) and BETTER not in overlay(installation):
            by_hand(installation, BAD, BETTER)
        return fails(images)

    breaking.applications["flowise-dev"].breaks = somebody_is_faster
    state = deploy("v2", BAD, return_state=True)
    assert (state.name, state.is_completed()) == ("Superseded", True)
    result = state.result()
    assert (result.rollout.status, result.rollout.revision) == ("superseded", head(installation.gitops))
    assert f"commit {head(installation.gitops)[:7]} brings other images" in state.message
    assert BETTER in overlay(installation)
    page = installation.ask("artifacts/latest/filter", {"artifacts": {"key": {"any_": ["update-dev"]}}})[0]["data"]
    assert "Superseded on its way into the cluster" in page


def test_a_newer_deployment_before_the_rollback_wins(
    breaking: ArgoCD, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy("v1", GOOD)

    def somebody_is_faster(*_: Any) -> str:
        by_hand(installation, BETTER, BAD)
        raise RolloutFailed("The endpoint does not answer.")

    monkeypatch.setattr("flows.delivery.check_health", somebody_is_faster)
    with pytest.raises(RolloutFailed, match=r"does not answer.* dev got v3 by .* meanwhile") as caught:
        deploy("v2", BETTER)
    assert type(caught.value) is RolloutFailed
    assert BAD in overlay(installation)


def test_what_a_run_did_not_write_it_does_not_take_back(
    argo: ArgoCD, endpoint: list[int], installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repeated event on a bad day: the endpoint is away, and not because of a deployment."""
    monkeypatch.setenv("AUTO_ROLLBACK", "dev")
    deploy("v1", GOOD)
    deploy("v2", BETTER)
    count = len(log(installation.gitops))
    endpoint[:] = [200, 503]
    with pytest.raises(RolloutFailed, match="503") as caught:
        deploy("v2", BETTER)
    assert type(caught.value) is RolloutFailed
    assert len(log(installation.gitops)) == count


def test_it_goes_back_to_the_last_one_that_was_good(
    breaking: ArgoCD, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking.applications["flowise-dev"].breaks = lambda images: not any(image.endswith(GOOD) for image in images)
    deploy("v1", GOOD)
    good = overlay(installation)
    monkeypatch.setenv("AUTO_ROLLBACK", "")
    with pytest.raises(RolloutFailed):
        deploy("v2", BAD)  # and nobody takes it back
    monkeypatch.setenv("AUTO_ROLLBACK", "dev")
    with pytest.raises(RolledBack, match="dev is back at v1"):
        deploy("v3", BETTER)
    assert overlay(installation) == good


def test_whatever_a_rollback_fails_of_both_facts_are_told(
    breaking: ArgoCD, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy("v1", GOOD)

    def broken(_: str) -> None:
        raise RuntimeError("The Prefect server is away.")

    monkeypatch.setattr("flows.delivery.last_good", broken)
    with pytest.raises(RolloutFailed, match=r"Degraded.* And its rollback failed: The Prefect server is away\."):
        deploy("v2", BAD)


def test_the_first_deployment_has_nothing_to_go_back_to(breaking: ArgoCD, installation: Installation) -> None:
    with pytest.raises(RolloutFailed, match=r"Degraded.*And its rollback failed: dev has no deployment 1 back"):
        deploy("v1", BAD)
    assert BAD in overlay(installation)


def test_onward_by_digest(argo: ArgoCD, installation: Installation) -> None:
    source = git(installation.source, "rev-parse", "main").decode().strip()
    first = deploy("v1", GOOD, sha=source)
    result = promote("staging")
    assert (result.tag, result.rollout.status) == ("v1", "healthy")
    assert overlay(installation, "staging").count(GOOD) == 2
    assert f"Promoted-From: dev {first.commit}" in log(installation.gitops)[0]["body"].splitlines()
    assert promote("production").changed
    assert not promote("production").changed, "it is there"


def test_what_is_not_healthy_is_not_promoted(argo: ArgoCD, installation: Installation) -> None:
    argo.applications["flowise-dev"].after_sync = (DEGRADED,)
    with pytest.raises(RolloutFailed):
        deploy("v1", GOOD)
    count = len(log(installation.gitops))
    with pytest.raises(NotProven, match="its health is Degraded"):
        promote("staging")
    assert len(log(installation.gitops)) == count
    assert promote("staging", force=True).changed


def test_what_does_not_answer_is_not_promoted(argo: ArgoCD, endpoint: list[int], installation: Installation) -> None:
    deploy("v1", GOOD)
    endpoint[:] = [503]
    with pytest.raises(NotProven, match=r"not healthy after 1 try\. Its last answer: 503"):
        promote("staging")
    endpoint[:] = [200]
    assert promote("staging").changed


def test_what_is_too_new_is_not_promoted(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy("v1", GOOD)
    monkeypatch.setenv("SOAK_SECONDS", "3600")
    with pytest.raises(NotProven, match="SOAK_SECONDS asks for 3600"):
        promote("staging")
    with pytest.raises(InvalidInput, match="dev is promoted from nowhere"):
        promote("dev")


def test_a_pull_request_instead_of_a_push(
    on_github: GitHub, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (git(installation.source, "rev-parse", ref).decode().strip() for ref in ("v1.0.0^{commit}", "main"))
    deploy("v1", GOOD, "production", sha=one)
    monkeypatch.setenv("PULL_REQUESTS", "production")
    main = head(installation.gitops)
    result = deploy("v2", BETTER, "production", sha=two, actor="octocat")
    assert (result.changed, result.proposed, result.rollout) == (False, True, None)
    assert head(installation.gitops) == main
    assert result.commit == head(installation.gitops, "flowise/production")
    (pull,) = on_github.changes.pulls
    assert result.pull_request == pull["html_url"]
    assert pull["title"] == "chore(production): update flowise images to v2"
    assert f"+ {two[:7]} perf(server): answer pings without logging" in pull["body"]
    added = [line for line in pull["body"].splitlines() if line.startswith("+") and BETTER in line]
    assert len(added) == 2

    again = deploy("v2", BETTER, "production", sha=two)
    assert again.commit == result.commit, "it is proposed already"
    deploy("v3", BAD, "production", sha=two)
    assert len(on_github.changes.pulls) == 1
    assert pull["title"].endswith("to v3")
    assert deploy("v2", BETTER, "dev").changed, "elsewhere it is pushed"

    git(installation.gitops, "update-ref", "refs/heads/main", head(installation.gitops, "flowise/production"))
    assert BAD in overlay(installation, "production")
    assert not deploy("v3", BAD, "production", sha=two).proposed


def test_without_a_token_no_branch_is_pushed(
    on_github: GitHub, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITOPS_REPO", str(installation.gitops))
    monkeypatch.setenv("PULL_REQUESTS", "production")
    for name, value in (("GITOPS_TOKEN", ""), ("GITOPS_REPO", "acme/devops")):
        monkeypatch.setenv(name, value)
        with pytest.raises(InvalidInput, match=r"is not a repository on GitHub|needs a token"):
            deploy("v1", GOOD, "production")
    assert head(installation.gitops, "flowise/production") is None


def test_a_merged_or_closed_pull_request_is_followed_by_another(
    on_github: GitHub, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULL_REQUESTS", "production")
    before = overlay(installation, "production")
    first = deploy("v1", GOOD, "production")
    on_github.changes.pulls[0]["state"] = "closed"
    again = deploy("v1", GOOD, "production")
    assert (again.commit, len(on_github.changes.pulls)) == (first.commit, 2)
    git(installation.gitops, "update-ref", "refs/heads/main", first.commit)
    on_github.changes.pulls[1]["state"] = "closed"
    commit(installation.gitops, "main", {OVERLAY.format("production"): before}, "Revert by hand")
    anew = deploy("v1", GOOD, "production")
    assert anew.commit != first.commit, "that one is merged, and proposes nothing any more"
    assert len(on_github.changes.pulls) == 3


def test_a_proposal_that_is_not_wanted_any_more_is_closed(
    on_github: GitHub, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy("v1", GOOD, "production")
    monkeypatch.setenv("PULL_REQUESTS", "production")
    proposed = deploy("v2", BETTER, "production")
    again = deploy("v1", GOOD, "production")
    assert not (again.changed or again.proposed)
    (pull,) = on_github.changes.pulls
    assert (pull["html_url"], pull["state"]) == (proposed.pull_request, "closed")
    (comment,) = on_github.changes.comments
    assert "v1 is wanted in production" in comment["body"]


def test_after_the_merge_the_rollout_is_followed(
    on_github: GitHub, argo: ArgoCD, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULL_REQUESTS", "dev")
    monkeypatch.setenv("MERGE_WAIT", "120")
    monkeypatch.setattr("tasks.pull_request.POLL_SECONDS", 0.2)

    def merge() -> None:
        while not on_github.changes.pulls:
            time.sleep(0.1)
        proposed = head(installation.gitops, "flowise/dev")
        git(installation.gitops, "update-ref", "refs/heads/main", proposed)
        on_github.changes.pulls[0] |= {"state": "closed", "merged": True, "merge_commit_sha": proposed}

    people = Thread(target=merge)
    people.start()
    result = deploy("v1", GOOD)
    people.join()
    assert (result.changed, result.proposed, result.rollout.status) == (True, False, "healthy")
    assert result.commit == head(installation.gitops)


def test_a_pull_request_that_people_close_fails_the_run(
    on_github: GitHub, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULL_REQUESTS", "dev")
    monkeypatch.setenv("MERGE_WAIT", "120")
    monkeypatch.setattr("tasks.pull_request.POLL_SECONDS", 0.2)

    def refuse() -> None:
        while not on_github.changes.pulls:
            time.sleep(0.1)
        on_github.changes.pulls[0]["state"] = "closed"

    people = Thread(target=refuse)
    people.start()
    with pytest.raises(Rejected, match="closed without being merged"):
        deploy("v1", GOOD)
    people.join()


def test_github_shows_it(
    on_github: GitHub, argo: ArgoCD, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = git(installation.source, "rev-parse", "main").decode().strip()
    deploy("v1", GOOD, sha=sha)
    assert on_github.changes.statuses == [], "off by default"
    monkeypatch.setenv("GITHUB_STATUS", "true")
    deploy("v2", BETTER, sha=sha)
    argo.applications["flowise-dev"].after_sync = (DEGRADED,)
    with pytest.raises(RolloutFailed):
        deploy("v3", BAD, sha=sha)
    assert [each["state"] for each in on_github.changes.statuses] == ["pending", "success", "pending", "failure"]
    assert {each["context"] for each in on_github.changes.statuses} == {"flowise/dev"}
    states = [each["states"] for each in on_github.changes.deployments]
    assert states == [["in_progress", "success"], ["in_progress", "failure"]], "one for each delivery"
    assert "Degraded" in on_github.changes.statuses[-1]["description"]
    api, runs = installation.server.api_url, f"{installation.server.ui_url}/v2/runs/flow-run/"
    links = [each["target_url"] for each in on_github.changes.statuses]
    ids = [link.removeprefix(runs) for link in links]
    asked = [httpx.get(f"{api}/flow_runs/{each}", trust_env=False).json()["name"] for each in ids]
    assert asked == ["dev v2", "dev v2", "dev v3", "dev v3"], "each links to its run in the newer UI"


def test_a_github_that_is_away_fails_nothing(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STATUS", "true")
    assert deploy("v1", GOOD, sha="a" * 40).changed


@pytest.mark.parametrize("trouble", ["hangs", "talks nonsense", "raises"])
def test_no_trouble_of_github_fails_a_deployment(
    trouble: str, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STATUS", "true")
    monkeypatch.setenv("SOURCE_REPO", "acme/flowise")
    monkeypatch.setenv("GITOPS_TOKEN", "a-token")
    sha = git(installation.source, "rev-parse", "main").decode().strip()
    with socket.create_server(("127.0.0.1", 0)) as silent, served(nonsense()) as url:
        answers = {"hangs": f"http://127.0.0.1:{silent.getsockname()[1]}", "talks nonsense": url, "raises": "nowhere"}
        monkeypatch.setenv("GITHUB_API_URL", answers[trouble])
        begun = time.monotonic()
        assert deploy("v1", GOOD, sha=sha).changed
        assert time.monotonic() - begun < 20


def nonsense() -> FastAPI:
    api = FastAPI()
    api.add_api_route("/{path:path}", lambda path: [1], methods=["GET", "POST"])
    return api


def test_the_state_of_all_environments(installation: Installation) -> None:
    deploy("v1", GOOD, actor="octocat")
    deploy("v2", BAD)
    rollback("dev", reason="it is slow")
    told = status()
    dev = told.environments[0]
    assert [entry.fate.partition(" by ")[0] for entry in dev.history] == ["live", "rolled back", "superseded"]
    artifacts = installation.ask("artifacts/latest/filter", {"artifacts": {"key": {"any_": ["status", "ledger"]}}})
    by_key = {each["key"]: each["data"] for each in artifacts}
    assert "| **dev** | `v1` |" in by_key["status"]
    assert '"version": "v2"' in by_key["ledger"]
    assert "it is slow" in by_key["ledger"]


@pytest.mark.usefixtures("checked_digests")
def test_an_image_that_is_not_in_the_registry_is_not_deployed(installation: Installation) -> None:
    there = {name: installation.images.push(f"flowise-{name}", "v1", name) for name in ("server", "ui")}
    asked = {"server_digest": there["server"], "ui_digest": "sha256:" + "7" * 64}
    count = len(log(installation.gitops))
    with pytest.raises(NotFound, match="has no image flowise-ui@sha256:7777"):
        update_flowise_deployment("dev", "v1", **asked)
    assert len(log(installation.gitops)) == count
    assert update_flowise_deployment("dev", "v1", **asked | {"ui_digest": there["ui"]}).changed


@pytest.mark.usefixtures("checked_digests")
def test_a_registry_that_cannot_be_asked_stops_nothing(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ECR_REGISTRY", "registry.invalid:5000")
    assert update_flowise_deployment(
        "dev", "v1", server_digest="sha256:" + "7" * 64, ui_digest="sha256:" + "8" * 64
    ).changed
    assert "Not checked that registry.invalid:5000/flowise-server" in caplog.text


def test_a_run_without_an_id_of_its_own_is_recognised_by_its_flow_run(installation: Installation) -> None:
    result = update_flowise_deployment("dev", "v1")
    (trailer,) = [line for line in log(installation.gitops)[0]["body"].splitlines() if line.startswith("Run: ")]
    assert result.changed
    assert UUID(trailer.removeprefix("Run: "))
