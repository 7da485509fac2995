"""The whole job on an engine with the containerd image store, the default of new installations since Engine 29."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.blocks.system import Secret

from flows import deploy_to_k8s
from tests.flows.conftest import Installation
from tests.sandbox.engine import KINDS, engine
from tests.sandbox.optional import optional
from tests.sandbox.repositories import commit, log, show
from tests.sandbox.services import starts

OVERLAY = "argocd/apps/flowise/overlays/dev/kustomization.yaml"
SECRET = "hunter2-of-the-block"
SERVER = """\
FROM scratch
COPY tools/busybox /bin/busybox
SHELL ["/bin/busybox", "sh", "-c"]
RUN --mount=type=secret,id=token echo it is $(/bin/busybox cat /run/secrets/token); test -s /run/secrets/token
"""
UI = "FROM scratch\nCOPY packages/ui/public /www\n"


@pytest.fixture(scope="module")
@starts("engine")
def containerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with optional(engine(tmp_path_factory.mktemp("engine"), kind=KINDS["sid-containerd"])) as url:
        yield url


@pytest.fixture(autouse=True)
def _used(containerd: str, installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", containerd)


def test_a_delivery_with_the_containerd_image_store(installation: Installation, tmp_path: Path) -> None:
    for number in (1, 2):
        files = {"packages/components/src/id.ts": f"// {tmp_path} {number}\n"}
        sha = commit(installation.source, "main", files, "feat: something else")
        result = deploy_to_k8s(environment="dev", ref="main")
        for image in (result.server, result.ui):
            assert image.built
            tags = {installation.images.digest(image.repository, tag) for tag in (sha[:7], sha, "latest")}
            assert tags == {image.digest}
        assert log(installation.gitops)[0]["sha"] == result.update.commit


@pytest.mark.usefixtures("docker_command")
def test_a_delivery_by_buildx(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A secret from a block, an index of two platforms, and the same inputs whatever the secret's value is."""
    monkeypatch.setenv("BUILDER", "buildx")
    monkeypatch.setenv("BUILD_SECRETS", "token=build-token")
    monkeypatch.setenv("IMAGES", json.dumps({"ui": {"platform": "linux/amd64,linux/arm64"}}))
    Secret(value=SECRET).save("build-token")
    commit(installation.source, "main", {"packages/server/Dockerfile": SERVER, "packages/ui/Dockerfile": UI}, "feat")
    first = deploy_to_k8s(environment="dev", ref="main")
    index = installation.images.manifest("flowise-ui", first.ui.digest)
    assert [each["platform"]["architecture"] for each in index["manifests"]] == ["amd64", "arm64"]
    overlay = show(installation.gitops, "main", OVERLAY)
    assert first.ui.digest in overlay
    assert first.server.digest in overlay
    assert "it is ********" in caplog.text
    assert SECRET not in caplog.text

    Secret(value="another value").save("build-token", overwrite=True)
    commit(installation.source, "main", {"docs/guide.md": "# In no image\n"}, "docs: guide")
    again = deploy_to_k8s(environment="dev", ref="main")
    assert (again.server.digest, again.ui.digest) == (first.server.digest, first.ui.digest)
    assert not again.server.built
