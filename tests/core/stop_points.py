"""What a run may be doing when it is stopped: a program that says "there" and does one of these things, without end.

As in a run, the signal is an exception in the main thread; a step is done there, or in a thread that a run waits for.
"""

import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from itertools import count
from pathlib import Path

from pydantic import SecretStr

from tasks.core.build.connection import connect
from tasks.core.build.inputs import Content, File, Listing
from tasks.core.git.branch import Branch
from tasks.core.git.remotes import Remote
from tasks.core.images import ImageSpec
from tasks.core.registry.oci import Registry
from tasks.core.rollout.argocd import ArgoCD
from tasks.core.rollout.health import check_endpoint
from tasks.core.system import interruption, process
from tasks.core.system.interruption import work_ends_with_it
from tasks.core.system.temp_dir import turn


class Stopped(BaseException):
    """As Prefect's ``TerminationSignal``."""


def git_fetch(silent: str, folder: Path) -> None:
    with Branch(Remote(f"http://{silent}/devops.git"), "main", folder / "x.git") as branch:
        branch.fetch()


def registry(silent: str, _: Path) -> None:
    with closing(Registry(silent)) as asked:
        asked.digest("app", "v1")


def argo_cd(silent: str, _: Path) -> None:
    with closing(ArgoCD(f"http://{silent}", SecretStr("token"))) as asked:
        asked.application("flowise-dev")


def endpoint(silent: str, _: Path) -> None:
    check_endpoint(f"http://{silent}", "/", 10, 60, lambda _: None, timeout=60)


def endpoint_between_tries(_: str, __: Path) -> None:
    check_endpoint("http://127.0.0.1:1", "/", 10, 60, lambda _: None)


def engine(silent: str, _: Path) -> None:
    with connect(60):
        pass


def program(_: str, __: Path) -> None:
    process.run(["sh", "-c", "sleep 60 & sleep 60"], env={"PATH": "/usr/bin:/bin"}, timeout=60)


def slot(_: str, __: Path) -> None:
    interruption.pause(60, "Waiting for a slot")


def ignore_matching(_: str, __: Path) -> None:
    file = File("100644", "0" * 40)
    files = {"Dockerfile": file, ".dockerignore": file} | {f"{n}/{'a/' * 20}b": file for n in range(20_000)}
    patterns = "\n".join(f"**/{'a*' * 20}{number}" for number in range(50))
    for _ in count():
        Content(ImageSpec(name="x", dockerfile="Dockerfile"), Listing(files, {}), lambda _: patterns.encode())


def turn_of_another(_: str, folder: Path) -> None:
    with turn(folder):
        raise AssertionError("another process has the lock")


POINTS: dict[str, Callable[[str, Path], None]] = {
    each.__name__: each
    for each in (
        git_fetch,
        registry,
        argo_cd,
        endpoint,
        endpoint_between_tries,
        engine,
        program,
        slot,
        ignore_matching,
        turn_of_another,
    )
}


def stop(*_: object) -> None:
    raise Stopped


if __name__ == "__main__":
    name, place, silent, folder = sys.argv[1:]
    signal.signal(signal.SIGTERM, stop)
    print("there", flush=True)
    if place == "main":
        POINTS[name](silent, Path(folder))
    else:
        with ThreadPoolExecutor(1) as pool, work_ends_with_it():
            wait([pool.submit(POINTS[name], silent, Path(folder))])
