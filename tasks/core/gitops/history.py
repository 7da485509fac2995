"""How other commits of the GitOps repository relate to a deployed one, within a time limit."""

import dataclasses
import time
from collections.abc import Sequence

from tasks.core.errors import NotFound
from tasks.core.gitops import guard, overlay
from tasks.core.gitops.repository import GitOps, on_branch
from tasks.core.models import Environment, ImageRef
from tasks.core.system.temp_dir import temp_dir

SHORTEST = 1.0
"""Seconds that a last question gets when there is no time left."""


class GitOpsHistory:
    """The commits after one that was pushed.

    Args:
        repository: where they are.
        commit: the pushed one, its full sha.
        environment: what it was for.
        images: what it deploys.
        seconds: how long git may be asked, from now on.
    """

    def __init__(
        self, repository: GitOps, commit: str, environment: Environment, images: Sequence[ImageRef], seconds: float
    ) -> None:
        self._repository, self._commit, self._versions = repository, commit, _versions(images)
        self._overlay = overlay.overlay_of(repository.overlays, environment)
        self._end = time.monotonic() + seconds

    def contains(self, revision: str) -> bool:
        """Whether a commit is a descendant; one that the repository does not have (any more) is none.

        Raises:
            AccessDenied, Unavailable: as the git server answers.
        """
        return self._is_ancestor(self._commit, revision)

    def follows(self, revision: str) -> bool:
        """Whether a commit is an ancestor; one that the repository does not have (any more) is none.

        Raises:
            AccessDenied, Unavailable: as the git server answers.
        """
        return self._is_ancestor(revision, self._commit)

    def keeps(self, revision: str) -> bool:
        """Whether the overlay of a descendant still has the images.

        Raises:
            InvalidInput: its kustomization is not one.
            AccessDenied, Unavailable: as the git server answers.
        """
        with on_branch(self._in_time()) as branch:
            try:
                there = overlay.images_at(branch, self._overlay, revision)
            except NotFound:
                return False
        return self._versions <= _versions(there)

    def _is_ancestor(self, older: str, newer: str) -> bool:
        here = self._in_time()
        with temp_dir(here.work_dir) as folder:
            try:
                return guard.is_ancestor(here.where, older, newer, folder / "gitops.git")
            except NotFound:
                return False

    def _in_time(self) -> GitOps:
        where = self._repository.where
        left = max(self._end - time.monotonic(), SHORTEST)
        return dataclasses.replace(self._repository, where=dataclasses.replace(where, timeout=min(where.timeout, left)))


def _versions(images: Sequence[ImageRef]) -> set[tuple[str, str | None]]:
    return {(image.name, image.digest or image.tag) for image in images}
