"""A run leaves nothing on the engine but the build cache, and that is limited; also when it was killed."""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import docker
import pytest

from tasks.core.build import docker_engine
from tasks.core.build.connection import connect
from tasks.core.build.engine_disk import HOST, PROCESS, limit_cache, push_as, working_name
from tasks.core.errors import BuildFailed, DeliveryError, Unavailable
from tests.core.build.test_docker_engine import IMAGE, SHELL, context
from tests.core.conftest import SHELL as BASE
from tests.sandbox.faults import Fault, faulty
from tests.sandbox.private_engine import PrivateEngine
from tests.sandbox.registry import Registry

KILLED = """
import os, signal
from tasks.core.build import docker_engine
from tasks.core.build.connection import connect
from tasks.core.build.engine_disk import working_name
from tests.core.build.test_docker_engine import IMAGE, context
with connect(30) as engine, working_name(engine, "app") as name:
    dockerfile = "FROM scratch\\nLABEL nonce=%s\\n"
    built = docker_engine.build(engine, IMAGE, context(dockerfile), {}, timeout=30, log=print, name=name)
    engine.tag(built, "registry.example.com/app", "buildcache")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def engine(private: PrivateEngine) -> Iterator[docker.APIClient]:
    with closing(docker.APIClient(base_url=private.url, version="auto")) as client:
        yield client


def names(engine: docker.APIClient) -> list[str]:
    return sorted(name for image in engine.images(all=True) for name in image["RepoTags"] or ["<none>:<none>"])


def test_deliveries_leave_no_image(
    engine: docker.APIClient, images: Registry, deliver: Callable[..., str], tmp_path: Path
) -> None:
    for number in range(3):
        digest = deliver(f"{BASE}RUN echo {tmp_path} {number} > /it\n", images.host)
        assert images.digest("app", "latest") == digest
        assert names(engine) == []
    lines: list[str] = []
    deliver(f"{BASE}RUN echo {tmp_path} 2 > /it\nLABEL one=more\n", images.host, lines.append)
    assert any("CACHED" in line and f"RUN echo {tmp_path}" in line for line in lines)  # the cache is what stays


def test_failures_leave_no_image(engine: docker.APIClient, images: Registry, deliver: Callable[..., str]) -> None:
    with pytest.raises(BuildFailed):
        deliver(f"{BASE}RUN exit 1\n", images.host)
    with faulty(images) as proxy:
        proxy.faults.append(Fault("PUT", "/manifests/", 403, "DENIED", "not you", times=99))
        with pytest.raises(DeliveryError):
            deliver(f"{BASE}RUN echo {secrets.token_hex(4)} > /it\n", proxy.host)
    assert names(engine) == []


def test_the_next_run_removes_what_killed_ones_left(
    engine: docker.APIClient, images: Registry, deliver: Callable[..., str]
) -> None:
    for number in range(2):
        ran = subprocess.run([sys.executable, "-c", KILLED % number], capture_output=True, text=True, check=False)
        assert ran.returncode == -9, ran.stderr
        assert [name.partition(":")[0] for name in names(engine)] == [f"{HOST}/app", "registry.example.com/app"]
    deliver(f"{BASE}RUN echo {secrets.token_hex(4)} > /it\n", images.host)
    assert names(engine) == []


def tag_of(machine: str = socket.gethostname(), age: int = 0, pid: int = os.getpid(), process: str = PROCESS) -> str:
    host = sha256(machine.encode()).hexdigest()[:8]
    return f"{int(time.time()) - age}-{host}-{pid}-{process}-{secrets.token_hex(4)}"


def test_what_others_use_stays(engine: docker.APIClient) -> None:
    with connect(30) as ours:
        built = docker_engine.build(
            ours, IMAGE, context("FROM scratch\nLABEL a=b\n"), {}, timeout=30, log=print, name="mine/app:v1"
        )
        kept = {
            f"{HOST}/app:{tag_of()}",
            f"{HOST}/app:{tag_of(pid=os.getppid(), process='of-another')}",
            f"{HOST}/app:{tag_of('another', age=3600)}",
            f"{HOST}/another-app:{tag_of('another', age=100_000)}",
        }
        for name in kept:
            engine.tag(built, *name.split(":"))
        with working_name(ours, "app"):
            assert set(names(engine)) == {"mine/app:v1", *kept}
    for name in ("mine/app:v1", *kept):
        engine.remove_image(name)


@pytest.mark.parametrize(
    "gone",
    [tag_of("another", age=100_000), tag_of(process="before a restart"), tag_of(pid=2**22)],
    ids=["of another machine, old", "of a process before a restart", "of a process that is gone"],
)
def test_what_nobody_uses_goes(engine: docker.APIClient, gone: str) -> None:
    name = f"{HOST}/team/app:{gone.replace(' ', '_')}"
    with connect(30) as ours:
        docker_engine.build(ours, IMAGE, context("FROM scratch\nLABEL a=b\n"), {}, timeout=30, log=print, name=name)
        assert names(engine) == [name]
        with working_name(ours, "team/app"):
            assert names(engine) == []


def test_a_name_that_another_run_takes_meanwhile(engine: docker.APIClient) -> None:
    with connect(30) as ours:
        mine, others = (
            docker_engine.build(ours, IMAGE, context(f"FROM scratch\nLABEL a={n}\n"), {}, timeout=30, log=print, name=n)
            for n in ("mine:v1", "others:v1")
        )
        taken = [others, None, mine]

        def push() -> str:
            ours.tag(mine, "registry/app", "buildcache")
            if other := taken.pop(0):
                ours.tag(other, "registry/app", "buildcache")
                return f"digest of {'mine' if other == mine else 'another'}"
            ours.remove_image("registry/app:buildcache")
            raise Unavailable("An image does not exist locally with the tag: registry/app")

        assert push_as(ours, mine, "registry/app:buildcache", push) == "digest of mine"
        assert taken == []
        assert names(engine) == ["mine:v1", "others:v1"]
        taken.extend([others] * 9)
        with pytest.raises(Unavailable, match="Other runs"):
            push_as(ours, mine, "registry/app:buildcache", push)


def test_the_cache_has_a_size(engine: docker.APIClient) -> None:
    def size() -> int:
        return sum(each["Size"] for each in engine.df()["BuildCache"] or ())

    with connect(30) as ours:
        for number in range(3):
            big = f"{SHELL}RUN /bin/busybox head -c 4000000 /dev/urandom > /{number}\n"
            docker_engine.build(ours, IMAGE, context(big), {}, timeout=30, log=print, name="app:v1")
        ours.remove_image("app:v1")
        for each in engine.images(all=True):
            engine.remove_image(each["Id"], force=True)
        whole = size()
        assert whole > 12_000_000
        limit_cache(ours, 0)
        limit_cache(ours, 100_000_000)
        assert size() == whole
        limit_cache(ours, 6_000_000)
        assert 0 < size() <= 6_000_000
