"""Fixtures of builds: what publishes to a registry with an engine."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tasks.core import git
from tasks.core.build.context import checkout
from tasks.core.build.publish import Options, build_and_push
from tasks.core.build.tags import point_tags
from tasks.core.images import ImageSpec
from tasks.core.models import Target
from tasks.core.registry.oci import MOVING, Registry
from tests.sandbox import repositories

APP = ImageSpec(name="app", dockerfile="Dockerfile")
SHELL = 'FROM scratch AS base\nCOPY tools/busybox /bin/busybox\nSHELL ["/bin/busybox", "sh", "-c"]\n'


@pytest.fixture
def deliver(source: Path, tmp_path: Path) -> Callable[..., str]:
    """Commits a Dockerfile, and publishes what it builds as ``app`` to a registry; answers the digest."""

    def run(
        dockerfile: str,
        registry: Registry | str,
        log: Callable[[str], None] = lambda _: None,
        image: ImageSpec = APP,
        timeout: int = 60,
        **options,
    ) -> str:
        repositories.commit(source, "main", {"Dockerfile": dockerfile, "note": dockerfile}, "feat: an image")
        sha = repositories.head(source)
        target = Target(environment="dev", sha=sha, tag=sha[:7], node_version="20")
        asked = Registry(registry, timeout=10) if isinstance(registry, str) else registry
        with closing(asked), checkout(git.Remote(str(source)), sha, tmp_path) as commit:
            digest = build_and_push(image, target, commit, asked, Options(timeout, **options), log)
            point_tags(asked, APP.name, digest, (MOVING,), log)  # as the task tag-latest does
            return digest

    return run
