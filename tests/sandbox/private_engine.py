"""A Docker Engine that nobody else uses: it may be emptied, and stopped and started again at the same address."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import docker

from tests.sandbox.engine import engine

_NOBODY = "private.sandbox.invalid"
"""A host that no engine of the machine knows: so one of our own is started."""


class PrivateEngine:
    """A running engine.

    Args:
        workdir: where its images live, over restarts.
        link: its address, a symbolic link to where it listens at the time.
    """

    def __init__(self, workdir: Path, link: Path) -> None:
        self._workdir, self._link, self._running = workdir, link, ExitStack()

    @property
    def url(self) -> str:
        """What to set DOCKER_HOST to."""
        return f"unix://{self._link}"

    def start(self) -> None:
        """Start it."""
        url = self._running.enter_context(engine(self._workdir, hosts=[_NOBODY]))
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(url.removeprefix("unix://"))

    def stop(self) -> None:
        """Stop it, as the machine's service manager would."""
        self._running.close()

    def empty(self) -> None:
        """Remove every image and the build cache: a fresh machine."""
        with closing(docker.APIClient(base_url=self.url, version="auto")) as client:
            for image in client.images(quiet=True):
                client.remove_image(image, force=True)
            client.post(f"{client.base_url}/v{client.api_version}/build/prune", params={"all": "1"}).raise_for_status()


@contextmanager
def private_engine(workdir: Path) -> Iterator[PrivateEngine]:
    """Start one whose images live in ``workdir``.

    Raises:
        NotInstalled: none can be started on this machine.
    """
    with tempfile.TemporaryDirectory(prefix="sandbox-") as folder:
        private = PrivateEngine(workdir, Path(folder) / "docker.sock")
        try:
            private.start()
            yield private
        finally:
            private.stop()
