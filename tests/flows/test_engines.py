"""The whole job on an engine with the containerd image store, the default of new installations since Engine 29."""

from pathlib import Path

import pytest

from flows import deploy_to_k8s
from tests.flows.conftest import Installation
from tests.sandbox.engine import KINDS, engine
from tests.sandbox.optional import optional
from tests.sandbox.repositories import commit, log


def test_a_delivery_with_the_containerd_image_store(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with optional(engine(tmp_path / "engine", kind=KINDS["sid-containerd"])) as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        for number in (1, 2):
            files = {"packages/components/src/id.ts": f"// {tmp_path} {number}\n"}
            sha = commit(installation.source, "main", files, "feat: something else")
            result = deploy_to_k8s(environment="dev", ref="main")
            for image in (result.server, result.ui):
                assert image.built
                tags = {installation.images.digest(image.repository, tag) for tag in (sha[:7], sha, "latest")}
                assert tags == {image.digest}
            assert log(installation.gitops)[0]["sha"] == result.update.commit
