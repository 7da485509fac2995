"""Everything the pipeline needs on one machine: an engine, a registry, both repositories and a Prefect server."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.sandbox.engine import engine
from tests.sandbox.prefect_server import PrefectServer, prefect_server
from tests.sandbox.registry import Registry, registry
from tests.sandbox.repositories import gitops_repository, source_repository

Serve = Callable[[Path], AbstractContextManager[PrefectServer]]
"""Starts a Prefect server in a folder."""


@dataclass(frozen=True)
class Stage:
    """What is there, and how a process finds it."""

    docker_host: str
    registry: Registry
    source: Path
    gitops: Path
    server: PrefectServer

    def environment(self) -> dict[str, str]:
        """The environment of a process that runs the flows here."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
            **self.server.environment(),
            "DOCKER_HOST": self.docker_host,
            "BUILD_CACHE_GB": "0",  # an engine that was there keeps what it had
            "SOURCE_REPO": str(self.source),
            "GITOPS_REPO": str(self.gitops),
            "ECR_REGISTRY": self.registry.host,
        }


@contextmanager
def stage(folder: Path, say: Callable[[str], None], serve: Serve = prefect_server) -> Iterator[Stage]:
    """Set everything up in ``folder``; it is gone when the block ends.

    Args:
        folder: for the data of all parts.
        say: told what comes next.
        serve: starts the Prefect server, in a folder of its own.
    """
    with ExitStack() as parts:
        say("Docker Engine")
        docker_host = parts.enter_context(engine(folder / "engine"))
        say("OCI registry")
        images = parts.enter_context(registry(folder / "registry"))
        say("source and GitOps repositories")
        source = source_repository(folder / "source.git")
        gitops = gitops_repository(folder / "gitops.git")
        say("Prefect server")
        server = parts.enter_context(serve(folder / "prefect"))
        yield Stage(docker_host, images, source, gitops, server)
