"""The main job: from a ref to images, digests and the GitOps commit, on real parts."""

import json
import subprocess
from pathlib import Path

import pytest

from flows import deploy_to_k8s, update_flowise_deployment
from tasks.core.manifests.render import kustomize
from tests.flows.conftest import Installation
from tests.sandbox.processes import free_port
from tests.sandbox.repositories import commit, git, head, log, show
from tests.sandbox.until import until

DEV = "argocd/apps/flowise/overlays/dev/kustomization.yaml"
ONE_LINE = "from flows import deploy_to_k8s as d; print(d(environment='{}', ref='main').model_dump_json())"


def unique(source: Path) -> str:
    """A commit whose images no other test has built: the registry and Prefect's results are shared."""
    return commit(source, "main", {"packages/components/src/id.ts": f"// {source}\n"}, "feat: something else")


def test_a_commit_becomes_two_images_and_one_gitops_commit(installation: Installation) -> None:
    sha, before = unique(installation.source), head(installation.gitops)

    result = deploy_to_k8s(environment="dev", ref="main")

    assert (result.environment, result.sha, result.tag) == ("dev", sha, sha[:7])
    for image, name in ((result.server, "flowise-server"), (result.ui, "flowise-ui")):
        assert image.repository == name
        assert image.uri == f"{installation.images.host}/{name}:{sha[:7]}"
        assert image.built
        assert set(image.tags) == {sha[:7], "latest", sha}
        assert {installation.images.digest(name, tag) for tag in image.tags} == {image.digest}
    assert result.server.digest != result.ui.digest

    newest, *older = log(installation.gitops)
    assert newest["sha"] == result.update.commit
    assert older[0]["sha"] == before
    assert newest["author"] == "github-actions[bot] <github-actions[bot]@users.noreply.github.com>"
    assert newest["subject"] == f"chore(dev): update flowise images to {sha[:7]}"
    assert f"Source SHA: {sha}" in newest["body"].splitlines()
    assert f"Tag: {sha[:7]}" in newest["body"].splitlines()
    assert any(line.startswith("Triggered by: ") for line in newest["body"].splitlines())
    changed = git(installation.gitops, "diff", "--name-only", before, newest["sha"]).decode().split()
    assert changed == [DEV]


def test_kustomize_renders_the_digests(installation: Installation, tmp_path: Path) -> None:
    result = deploy_to_k8s(environment="dev", ref="main")
    git(None, "clone", "-q", str(installation.gitops), str(tmp_path / "clone"))
    rendered = subprocess.run(
        [*kustomize(), str(tmp_path / "clone" / DEV.rpartition("/")[0])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert rendered.returncode == 0, rendered.stderr
    for image in (result.server, result.ui):
        assert f"image: {installation.images.host}/{image.repository}@{image.digest}" in rendered.stdout


def test_the_same_commit_again_builds_and_commits_nothing(installation: Installation) -> None:
    unique(installation.source)
    first = deploy_to_k8s(environment="dev", ref="main")
    second = deploy_to_k8s(environment="dev", ref="main")

    assert (first.server.built, first.ui.built, first.update.changed) == (True, True, True)
    assert (second.server.built, second.ui.built, second.update.changed) == (False, False, False)
    assert second.server.digest == first.server.digest
    assert second.update.commit == first.update.commit == head(installation.gitops)

    def states() -> list[str]:
        newest = {run["name"].split()[0]: run["state"]["name"] for run in reversed(installation.task_runs())}
        return [newest[name] for name in ("build-server", "build-ui")]

    assert until(lambda: states() == ["Cached", "Cached"])


def test_a_new_process_for_another_environment_builds_nothing(installation: Installation) -> None:
    unique(installation.source)
    first = deploy_to_k8s(environment="dev", ref="main")
    run = installation.run("-c", ONE_LINE.format("staging"))
    assert run.returncode == 0, run.stderr
    second = json.loads(run.stdout)

    assert (second["server"]["built"], second["ui"]["built"]) == (False, False)
    assert second["update"]["changed"]
    staging = show(installation.gitops, "main", DEV.replace("dev", "staging"))
    assert first.server.digest in staging
    assert first.ui.digest in staging


def test_a_digest_the_registry_has_lost_is_built_again(installation: Installation) -> None:
    unique(installation.source)
    first = deploy_to_k8s(environment="dev", ref="main")
    installation.images.delete("flowise-ui", first.ui.digest)
    second = deploy_to_k8s(environment="dev", ref="main")

    assert (second.server.built, second.ui.built) == (False, True)
    assert installation.images.digest("flowise-ui", second.tag) == second.ui.digest


def test_force_builds_again(installation: Installation) -> None:
    unique(installation.source)
    deploy_to_k8s(environment="dev", ref="main")
    again = deploy_to_k8s(environment="dev", ref="main", force=True)
    assert (again.server.built, again.ui.built) == (True, True)


def test_a_release_tags_what_is_already_there(installation: Installation) -> None:
    sha = unique(installation.source)
    first = deploy_to_k8s(environment="dev", ref="main")
    release = deploy_to_k8s(environment="staging", ref="main", tag_version="v1.2.0")

    assert release.tag == f"v1.2.0-{sha[:7]}"
    assert not release.server.built
    assert installation.images.digest("flowise-server", release.tag) == first.server.digest
    assert release.update.tag == release.tag


@pytest.mark.parametrize("ref", ["main", "feature/agents", "v1.0.0", "full", "short"])
def test_a_ref_is_a_branch_a_tag_or_a_commit(installation: Installation, ref: str) -> None:
    name = {"full": "feature/agents", "short": "feature/agents"}.get(ref, ref)
    sha = git(installation.source, "rev-parse", f"{name}^{{commit}}").decode().strip()
    ref = {"full": sha, "short": sha[:8]}.get(ref, ref)
    assert deploy_to_k8s(environment="dev", ref=ref).sha == sha


def test_the_node_version_reaches_the_dockerfile_and_has_images_of_its_own(installation: Installation) -> None:
    unique(installation.source)
    twenty = deploy_to_k8s(environment="dev", ref="main", node_version="20")
    other = deploy_to_k8s(environment="dev", ref="main", node_version="22")
    again = deploy_to_k8s(environment="dev", ref="main", node_version="20")

    assert other.server.built
    assert other.server.digest != twenty.server.digest
    assert not again.server.built
    assert installation.images.digest("flowise-server", again.tag) == again.server.digest == twenty.server.digest


def test_other_repositories_with_other_dockerfiles(installation: Installation) -> None:
    dockerfile = "FROM scratch\nARG NODE_VERSION\nLABEL node=$NODE_VERSION\nCOPY README.md /\n"
    commit(
        installation.source,
        "main",
        {"packages/server/Dockerfile": dockerfile, "packages/ui/Dockerfile": dockerfile, ".dockerignore": None},
        "build: nothing but a file",
    )
    result = deploy_to_k8s(environment="production", ref="main", node_version="18")
    config = installation.images.config("flowise-server", result.tag)
    assert config["config"]["Labels"] == {"node": "18"}
    assert (config["os"], config["architecture"]) == ("linux", "amd64")


def test_a_dry_run_says_what_would_be_built_and_does_nothing(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    unique(installation.source)
    first = deploy_to_k8s(environment="dev", ref="main")
    change = {"packages/ui/src/id.ts": f"// {installation.source}\n"}
    sha, before = commit(installation.source, "main", change, "feat(ui): something new"), head(installation.gitops)
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{free_port()}")
    monkeypatch.setenv("DISPATCH_VIA", "repository-dispatch")  # which would need GitHub
    tags = [installation.images.tags(name) for name in ("flowise-server", "flowise-ui")]

    plan = deploy_to_k8s(environment="dev", ref="main", dry_run=True)
    assert {each.why.partition("-")[0] for each in plan.images} == {"no image has the same inputs (inputs"}
    assert head(installation.gitops) == before
    assert [installation.images.tags(name) for name in ("flowise-server", "flowise-ui")] == tags
    (run,) = installation.ask("flow_runs/filter", {"flow_runs": {"name": {"any_": ["dry run: dev main"]}}})[:1]
    assert run["state"]["name"] == "DryRun"
    images = "flowise-server would be built, flowise-ui would be built"
    said = f"dev: {first.sha[:7]} -> {sha[:7]}, dry run: nothing was written. Images: {images}"
    assert run["state"]["message"] == said
    query = {"artifacts": {"key": {"any_": ["dry-run-deploy-dev"]}}}
    page = installation.ask("artifacts/latest/filter", query)[0]["data"].replace("\\", "")
    for words in ("flowise-ui` would be **built**", f"flowise-ui:{sha[:7]}", "feat(ui): something new"):
        assert words in page
    same = deploy_to_k8s(environment="staging", ref=first.sha, dry_run=True)
    assert [each.digest for each in same.images] == [first.server.digest, first.ui.digest]
    assert {each.why.partition("-")[0] for each in same.images} == {"same inputs as inputs"}
    forced = deploy_to_k8s(environment="dev", ref=first.sha, force=True, dry_run=True)
    assert {each.why for each in forced.images} == {"force builds it again"}
    older = deploy_to_k8s(environment="dev", ref="v1.0.0", dry_run=True)
    assert "would be a step back" in older.update.skipped


def test_the_second_flow_alone_falls_back_to_the_tag(installation: Installation) -> None:
    result = update_flowise_deployment("dev", "v9.9.9", actor="Nguyễn Văn A", server_digest="", workflow_run_id="42")

    assert result.changed
    assert result.overlay_path == "argocd/apps/flowise/overlays/dev"
    text = show(installation.gitops, "main", DEV)
    assert text.count("newTag: v9.9.9") == 2
    assert "digest:" not in text
    newest = log(installation.gitops)[0]
    assert newest["subject"] == "chore(dev): update flowise images to v9.9.9"
    assert newest["body"].strip() == "Triggered by: Nguyễn Văn A\nTag: v9.9.9\n\nRun: 42"
    assert str(result.images[0]) == f"{installation.images.host}/flowise-server:v9.9.9"


def test_a_run_says_what_it_does(installation: Installation) -> None:
    unique(installation.source)
    result = deploy_to_k8s(environment="dev", ref="main")
    run = installation.ask("flow_runs/filter", {"sort": "START_TIME_DESC", "limit": 2})
    assert {each["name"] for each in run} == {"dev main", f"dev {result.tag}"}
    names = {each["name"] for each in installation.task_runs(run[-1]["id"])}
    assert f"build-server {result.tag}" in names
    artifacts = installation.ask("artifacts/latest/filter", {"artifacts": {"key": {"any_": ["deploy-dev"]}}})
    assert result.server.digest in artifacts[0]["data"]
    assert result.update.commit in artifacts[0]["data"]


def test_build_output_reaches_the_task_s_log_in_the_ui(installation: Installation, docker_host: str) -> None:
    unique(installation.source)
    assert installation.run("-c", ONE_LINE.format("dev")).returncode == 0
    build = next(run for run in installation.task_runs() if run["name"].startswith("build-server"))
    query = {"logs": {"task_run_id": {"any_": [build["id"]]}}, "sort": "TIMESTAMP_ASC"}
    lines = [each["message"] for each in installation.ask("logs/filter", query)]
    assert any("COPY --from=build" in line for line in lines)
    assert "Finished in state Completed()" not in lines
