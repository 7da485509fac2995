"""A writer in a process of its own: without Prefect and pytest, which would take it seconds to load."""

from pathlib import Path

from pydantic import SecretStr

from tasks.core import git
from tasks.core.gitops import writer
from tasks.core.models import ImageUpdate
from tests.sandbox.gitops_files import APP, REGISTRY


def update_elsewhere(url: str, token: str | None, environment: str, tag: str, work: Path) -> str:
    """Update an environment, and return the commit."""
    where = git.Remote(url, SecretStr(token) if token else None)
    update = ImageUpdate(environment=environment, tag=tag)
    return writer.write(writer.GitOps(where, "main", f"{APP}/overlays", work), update, REGISTRY, lambda _: None).commit
