"""A writer in a process of its own: without Prefect and pytest, which would take it seconds to load."""

import multiprocessing
import os
from pathlib import Path

from pydantic import SecretStr

from tasks.core import git
from tasks.core.git.branch import Branch
from tasks.core.gitops import writer
from tasks.core.gitops.repository import GitOps
from tasks.core.models import ImageUpdate
from tests.sandbox.gitops_files import APP, REGISTRY

PROCESSES = multiprocessing.get_context("forkserver")
"""Where the processes come from: a server that loaded this module once."""
PROCESSES.set_forkserver_preload([__name__])


def update_elsewhere(url: str, token: str | None, environment: str, tag: str, work: Path) -> str:
    """Update an environment, and return the commit."""
    where = git.Remote(url, SecretStr(token) if token else None)
    update = ImageUpdate(environment=environment, tag=tag)
    return writer.write(GitOps(where, "main", f"{APP}/overlays", work), update, REGISTRY, lambda _: None).commit


def be_killed(boundary: str, bare: Path, work: Path) -> None:
    """Update dev, and be killed at ``init``, or ``before`` or ``after`` a method of the branch."""
    owner, name = (git, "init") if boundary == "init" else (Branch, boundary.rsplit(maxsplit=1)[-1])
    real = getattr(owner, name)

    def killed(*arguments: object) -> None:
        if boundary.startswith("after"):
            real(*arguments)
        os.kill(os.getpid(), 9)

    setattr(owner, name, killed)
    update_elsewhere(str(bare), None, "dev", "v1", work)
