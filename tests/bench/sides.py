"""The sides of the benchmark of builds: what each runs, and that it did what it claims."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.utils.json_stream import json_stream

from tests.sandbox.gitops_files import APP
from tests.sandbox.processes import NotInstalled
from tests.sandbox.repositories import git, git_environment, head, show
from tests.sandbox.stage import Stage

PROJECT = Path(__file__).parents[2]
CHARTPRESS = Path(sys.prefix) / "bench/bin/chartpress"
OVERLAY = f"{APP}/overlays/dev/kustomization.yaml"
IMAGES = ("flowise-server", "flowise-ui")

OURS = [sys.executable, "-c", "from flows import deploy_to_k8s; deploy_to_k8s(environment='dev', ref='main')"]
EMPTY = [sys.executable, "-c", "from prefect import flow\n@flow\ndef empty(): return 1\nempty()"]

_COMMIT = r"""
git clone -q --depth 1 "file://$GITOPS_REPO" "$WORK/gitops"
cd "$WORK/gitops"
entry() { echo "/name: $1/,/newTag|digest/ {s#newName: .*#newName: $ECR_REGISTRY/$1#; s#(newTag|digest): .*#$2#}"; }
sed -i -E -e "$(entry flowise-server "$SERVER")" -e "$(entry flowise-ui "$UI")" "$OVERLAY"
git diff --quiet || {
    git -c user.name=s -c user.email=s@example.com commit -q -m "chore(dev): update flowise images" "$OVERLAY"
    git push -q origin HEAD:main
}
"""

SCRIPT = (
    r"""
set -euo pipefail
git clone -q --depth 1 "file://$SOURCE_REPO" "$WORK/source"
cd "$WORK/source"
sha=$(git rev-parse HEAD)
image() {
    name=$ECR_REGISTRY/flowise-$1
    docker build -q -f "packages/$1/Dockerfile" --build-arg NODE_VERSION=20 \
        -t "$name:$sha" -t "$name:${sha:0:7}" -t "$name:latest" .
    for tag in "$sha" "${sha:0:7}" latest; do docker push "$name:$tag"; done \
        | sed -n 's/.*digest: \(sha256:[0-9a-f]*\).*/\1/p' | tail -n 1 > "../$1.digest"
}
image server & server=$!
image ui & ui=$!
wait $server
wait $ui
SERVER="digest: $(cat ../server.digest)" UI="digest: $(cat ../ui.digest)"
"""
    + _COMMIT
)

# chartpress reads tags from the history, writes them into values.yaml and knows no digests.
WITH_CHARTPRESS = (
    r"""
set -euo pipefail
git clone -q "file://$SOURCE_REPO" "$WORK/source"
cd "$WORK/source"
"$CHARTPRESS" --push --image-prefix "$ECR_REGISTRY/"
tags=($(sed -n 's/^ *tag: *//p' charts/flowise/values.yaml))
SERVER="newTag: ${tags[0]}" UI="newTag: ${tags[1]}"
"""
    + _COMMIT
)


@dataclass(frozen=True)
class Side:
    """One contender: a command, and where it delivers to; each has a registry and a GitOps repository of its own."""

    name: str
    command: list[str]
    stage: Stage
    extra: Mapping[str, str]

    def run(self, work: Path) -> float:
        """Deliver the newest commit once, as a whole process; answer the seconds and make sure that it was done."""
        work.mkdir()
        seconds = timed(self.command, self.environment() | {"WORK": str(work)}, work / "log")
        self._check()
        shutil.rmtree(work)
        return seconds

    def environment(self) -> dict[str, str]:
        """What its process sees."""
        return git_environment() | self.stage.environment() | {"OVERLAY": OVERLAY, **self.extra}

    def _check(self) -> None:
        sha, overlay = head(self.stage.source), show(self.stage.gitops, "main", OVERLAY)
        for image in IMAGES:
            found = re.search(rf"name: {image}\n.*\n *(newTag|digest): (\S+)", overlay)
            assert found, f"{self.name}: {overlay}"
            digest = self.stage.registry.digest(image, found[2])
            assert digest, f"{self.name}: the registry has no {image} {found[2]}"
            if found[1] == "digest":
                assert self.stage.registry.digest(image, sha) == digest, f"{self.name}: {image} is not that of {sha}"


def timed(command: list[str], environment: Mapping[str, str], log: Path) -> float:
    """The seconds of one whole process, which must succeed."""
    with log.open("wb") as output:
        started = time.perf_counter()
        ended = subprocess.run(command, cwd=PROJECT, env=environment, stdout=output, stderr=output, check=False)
        seconds = time.perf_counter() - started
    if ended.returncode:
        raise AssertionError(f"{command[-1][:200]} ended with {ended.returncode}:\n{log.read_text()[-3000:]}")
    return seconds


def floor(docker_host: str, source: Path, work: Path) -> float:
    """The seconds that BuildKit alone takes for both images, once their context is a file; nothing is pushed."""
    context = work.with_suffix(".tar")
    context.write_bytes(git(source, "archive", "main^{tree}", "--", ".", ":!docs"))
    started = time.perf_counter()
    with ThreadPoolExecutor() as threads:
        built = list(threads.map(lambda part: _build(docker_host, part, context), ("server", "ui")))
    seconds = time.perf_counter() - started
    assert all(each.startswith("sha256:") for each in built)
    context.unlink()
    return seconds


def _build(docker_host: str, part: str, context: Path) -> str:
    with closing(docker.APIClient(base_url=docker_host, version="auto")) as client, context.open("rb") as data:
        url = f"{client.base_url}/v{client.api_version}/build?version=2&dockerfile=packages/{part}/Dockerfile"
        with client.post(url, headers={"Content-Type": "application/x-tar"}, data=data, stream=True) as answer:
            records = list(json_stream(answer.iter_content(chunk_size=None)))
    return next(record["aux"]["ID"] for record in records if record.get("id") == "moby.image.id")


def prune(environment: Mapping[str, str]) -> None:
    """Leave the engine without a layer, an image or a build's cache."""
    for what in (["image", "prune", "-af"], ["builder", "prune", "-af"]):
        subprocess.run(["docker", *what], env=environment, check=True, stdout=subprocess.DEVNULL)


def docker_command(folder: Path) -> dict[str, str]:
    """A ``PATH`` on which docker is a command that can build with BuildKit, without or with its plugin.

    Raises:
        NotInstalled: there is none on this machine.
    """
    for place in map(Path, os.environ["PATH"].split(os.pathsep)):
        program = place / "docker"
        if program.exists() and _has_buildkit(program):
            (folder / "bin").mkdir()
            (folder / "bin/docker").symlink_to(program)
            return {"PATH": f"{folder}/bin{os.pathsep}{os.environ['PATH']}", "DOCKER_BUILDKIT": "1"}
    raise NotInstalled("The script needs a docker command with BuildKit: docker.io 20.10 to 22, or docker-buildx.")


def _has_buildkit(program: Path) -> bool:
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    major = int(re.search(r"version (\d+)", version)[1])
    # From 23 on BuildKit is the plugin's alone.
    return major < 23 or not subprocess.run([program, "buildx", "version"], capture_output=True, check=False).returncode
