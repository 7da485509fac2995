"""The worker image, built from Dockerfile on a Debian of ``parts.sh``, on an engine that keeps it for the next time."""

import fcntl
import json
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import docker
from docker.utils.build import tar

from tests.sandbox.engine import ROOTS, engine
from tests.sandbox.processes import NotInstalled, SandboxError

PROJECT = Path(__file__).parents[2]
DATA = ROOTS.parent / "worker-image"
"""Where the engine's images live: a build with unchanged requirements takes seconds."""
BASE, IMAGE = "sandbox/debian:trixie", "sandbox/flowise-worker:latest"
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
"""Those of this machine go into the base image: it may reach the package index through a proxy that needs them."""


@dataclass(frozen=True)
class WorkerImage:
    """The image, and the address of the engine that has it."""

    engine: str
    name: str = IMAGE

    def run(self, script: str) -> str:
        """Run a shell script in a container without a network, and return what it prints."""
        with closing(docker.DockerClient(base_url=self.engine)) as client:
            return str(client.containers.run(IMAGE, ["sh", "-ec", script], remove=True, network_mode="none").decode())


@contextmanager
def worker_image() -> Iterator[WorkerImage]:
    """Build it, on an engine that runs until the block ends.

    Raises:
        NotInstalled: there is no base for it, or no engine.
        SandboxError: it can't be built; the message holds the end of the build's output.
    """
    if not (ROOTS / "base").exists():
        raise NotInstalled(f"There is no {ROOTS / 'base'}: run tests/sandbox/parts.sh tests as root.")
    DATA.mkdir(exist_ok=True)
    with (DATA / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another checkout's tests
        with engine(DATA) as url, closing(docker.APIClient(base_url=url, version="auto", timeout=600)) as client:
            if not client.images(BASE):
                _import_base(client)
            _build(client)
            client.post(f"{client.base_url}/v{client.api_version}/images/prune").raise_for_status()
            yield WorkerImage(url)


def _import_base(client: docker.APIClient) -> None:
    command = ["tar", "-c", "-C", f"{ROOTS}/base", f"--exclude=./{CERTIFICATES}", ".", "-C", "/", CERTIFICATES]
    repository, _, tag = BASE.partition(":")
    with subprocess.Popen(command, stdout=subprocess.PIPE) as packing:
        assert packing.stdout
        client.import_image_from_stream(packing.stdout, repository=repository, tag=tag)


def _build(client: docker.APIClient) -> None:
    """Build with BuildKit; on the host's network, because the sandbox's engine has no way out of its own."""
    ignored = [line for line in (PROJECT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    query = {"version": "2", "t": IMAGE, "networkmode": "host", "buildargs": json.dumps({"BASE": BASE})}
    answer = client.post(
        f"{client.base_url}/v{client.api_version}/build",
        params=query,
        data=cast(BinaryIO, tar(PROJECT, exclude=ignored, gzip=True)),
        headers={"Content-Type": "application/x-tar"},
        stream=True,
    )
    answer.raise_for_status()
    for line in map(json.loads, answer.iter_lines()):
        if "error" in line:
            raise SandboxError(f"The worker image can't be built: {line['error']}")
