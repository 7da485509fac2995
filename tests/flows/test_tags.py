"""What the registry's tags mean, also with a project in the registry: no two builds compete for one."""

import json

import pytest

from flows import deploy_to_k8s
from tasks.core.errors import BuildFailed, InvalidInput
from tests.flows.conftest import Installation
from tests.sandbox.repositories import commit, show
from tests.sandbox.until import until

DEV = "argocd/apps/flowise/overlays/dev/kustomization.yaml"
SERVER, UI = "tagged/flowise-server", "tagged/flowise-ui"
SMALL = {
    "packages/server/Dockerfile": "FROM scratch\nARG NODE_VERSION\nLABEL node=$NODE_VERSION\nCOPY README.md /\n",
    "packages/ui/Dockerfile": "FROM scratch\nCOPY package.json README.md /\n",
}


@pytest.fixture
def project(installation: Installation, docker_host: str, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """An installation whose repositories are in a project of the registry."""
    monkeypatch.setenv("ECR_REGISTRY", f"{installation.images.host}/tagged")
    commit(installation.source, "main", {**SMALL, "README.md": str(installation.source)}, "feat: small images")
    return installation


def test_who_gets_latest(project: Installation) -> None:
    def latest() -> list[str | None]:
        return [project.images.digest(name, "latest") for name in (SERVER, UI)]

    first = deploy_to_k8s(environment="dev", ref="main")
    assert first.server.tags == (first.sha[:7], "latest", first.sha)
    said = f"Tagged {project.images.host}/{UI}:latest"
    until(lambda: said in [line["message"] for line in project.ask("logs/filter", {"sort": "TIMESTAMP_DESC"})])
    assert latest() == [first.server.digest, first.ui.digest]
    assert (first.server.repository, first.server.uri) == (SERVER, f"{project.images.host}/{SERVER}:{first.tag}")
    assert f"name: flowise-server\n  newName: {project.images.host}/{SERVER}\n" in show(project.gitops, "main", DEV)

    other = deploy_to_k8s(environment="dev", ref="main", node_version="22")
    assert other.server.tags == (f"{first.sha[:7]}-node22", f"{first.sha}-node22")
    assert other.server.digest != first.server.digest == project.images.digest(SERVER, first.sha)
    assert latest() == [first.server.digest, first.ui.digest], "of the usual Node.js version alone"

    commit(project.source, "topic", {**SMALL, "README.md": "topic", "package.json": "{}"}, "feat: a branch")
    branch = deploy_to_k8s(environment="dev", ref="topic", force=True)
    assert branch.ui.tags == (branch.sha[:7], branch.sha)
    assert latest() == [first.server.digest, first.ui.digest], "of the default branch alone"

    broken = {"README.md": "broken", "packages/ui/Dockerfile": "FROM scratch\nCOPY nothing /\n"}
    sha = commit(project.source, "main", broken, "feat: half of it")
    with pytest.raises(BuildFailed):
        deploy_to_k8s(environment="dev", ref="main")
    assert project.images.digest(SERVER, sha), "one image is there"
    assert latest() == [first.server.digest, first.ui.digest], "both or none"


def test_the_name_in_the_manifests(project: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECR_REGISTRY", project.images.host)
    monkeypatch.setenv("IMAGES", json.dumps({"server": {"name": "team/server", "manifest_name": "flowise-server"}}))
    result = deploy_to_k8s(environment="dev", ref="main")
    wanted = f"name: flowise-server\n  newName: {project.images.host}/team/server\n  digest: {result.server.digest}  #"
    assert wanted in show(project.gitops, "main", DEV)
    monkeypatch.setenv("ECR_REGISTRY", f"{project.images.host}/Team!")
    with pytest.raises(InvalidInput, match="has no project behind its host"):
        deploy_to_k8s(environment="dev", ref="main")
