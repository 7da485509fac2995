"""How far a build and its push are, as progress artifacts of the run."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger

SECONDS = 1.0
"""The least time between two updates of one artifact."""


class Shown:
    """One progress artifact, updated beside the work it tells of: one call at a time, the work waits for none.

    What comes while a call is under way, or too soon after the last, is left out; the end never is.

    Args:
        key: the artifact's name in the UI.
        posts: makes the calls, in order.
    """

    def __init__(self, key: str, posts: ThreadPoolExecutor) -> None:
        self._key, self._posts = key, posts
        self._artifact: UUID | None = None
        self._call: Future[None] | None = None
        self._next, self._ended = 0.0, False

    def __call__(self, fraction: float) -> None:
        """Show this fraction, from 0 to 1."""
        now, busy = time.monotonic(), self._call is not None and not self._call.done()
        if self._ended or (fraction < 1 and (busy or now < self._next)):
            return
        self._next, self._ended = now + SECONDS, fraction >= 1
        self._call = self._posts.submit(copy_context().run, self._post, fraction)

    def _post(self, fraction: float) -> None:
        percent = round(100 * fraction, 1)
        try:
            if self._artifact:
                update_progress_artifact(self._artifact, percent)
            else:
                self._artifact = cast(
                    UUID, create_progress_artifact(percent, self._key, self._key.replace("-", " ", 1))
                )
        except Exception as error:  # whatever it is: the build is worth more than its picture
            get_run_logger().debug("The progress of %s is not shown: %s", self._key, error)


@contextmanager
def progress_artifacts(image: str) -> Iterator[Callable[[str, float], None]]:
    """Return what takes a build's progress: an artifact for each phase, ``build-IMAGE`` and ``push-IMAGE``."""
    posts = ThreadPoolExecutor(1, thread_name_prefix="progress")
    phases: dict[str, Shown] = {}

    def tell(phase: str, fraction: float) -> None:
        phases.setdefault(phase, Shown(f"{phase}-{image}", posts))(fraction)

    try:
        yield tell
    finally:
        posts.shutdown(wait=False)
