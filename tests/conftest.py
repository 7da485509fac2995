"""Fixtures: the real parts, started once, and a process that can reach nothing else.

Parts that start slowly live as long as the test session; repositories are new for every test. A fixture starts only
what it needs, and says what it starts (``starts``): marks follow from that.
"""

import itertools
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest

from tests.sandbox import buildx, processes
from tests.sandbox import ecr as sandbox
from tests.sandbox.engine import engine, is_given
from tests.sandbox.github import GitHub, github
from tests.sandbox.optional import optional
from tests.sandbox.private_engine import PrivateEngine, private_engine
from tests.sandbox.processes import free_port
from tests.sandbox.registry import Registry, registry
from tests.sandbox.repositories import gitops_repository, source_repository
from tests.sandbox.services import SERVICE, mark, share, starts

KEPT = ("PATH", "TMPDIR", "LANG", "CI", "DOCKER_HOST", "SANDBOX_ENGINE", "VIRTUAL_ENV")
USER, PASSWORD = "pusher", "hunter2-and-more"
"""The one user of ``guarded``."""

AMAZON = f"{sandbox.HOST}:{free_port()}"
"""Where the registry of ``amazon`` is, which an engine has to know when it starts."""

TOKEN = f"ghp_hunter2{os.getpid():029d}"
"""What may push to ``hub``: this process's own, so that a test can look for it in those of others."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `make screenshots` say where pictures go."""
    parser.addoption("--pictures", type=Path, help="folder for the pictures of the Prefect UI, such as docs/images")


@pytest.hookimpl(tryfirst=True)  # before -m is looked at
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts programs, and let those that start the same ones share them."""
    mark(items)
    share(items)


@pytest.fixture(scope="session", autouse=True)
def _only_this_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No home, no settings and no network but loopback: a test that forgets to stay here fails."""
    before = dict(os.environ)
    for name in set(os.environ) - set(KEPT):
        if not name.startswith("PYTEST_"):
            del os.environ[name]
    home = tmp_path_factory.mktemp("home")
    os.environ.update(HOME=str(home), DOCKER_CONFIG=str(home / "docker"), AWS_EC2_METADATA_DISABLED="true")
    # Each HTTP client loads what it trusts: one certificate in place of 140 saves a tenth of the tests' time.
    one, end, _ = Path(certifi.where()).read_text().partition("-----END CERTIFICATE-----\n")
    (home / "trusted.pem").write_text(one + end)
    os.environ["SSL_CERT_FILE"] = str(home / "trusted.pem")
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"tests do not leave this machine: {address}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def _caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("caches")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _own_cache(_caches: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test keeps for later runs is no other test's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(next(_caches)))


@pytest.fixture(autouse=True)
def _fixtures_start_programs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test without the mark can start none of the sandbox's programs."""

    def refused(command: list[str], *_: object) -> None:
        pytest.fail(f"starts {command[0]}: give that to a fixture that says so (tests/sandbox/services.py)")

    if not request.node.get_closest_marker(SERVICE):
        monkeypatch.setattr(processes, "_start", refused)


@pytest.fixture(scope="session")
@starts("engine")
def shared_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Docker Engine; one that had to be started knows the name of ``amazon``, too."""
    hosts = () if is_given() else (AMAZON,)
    with optional(engine(tmp_path_factory.mktemp("engine"), hosts=hosts)) as url:
        yield url


@pytest.fixture
def docker_host(shared_engine: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A Docker Engine, named in DOCKER_HOST."""
    monkeypatch.setenv("DOCKER_HOST", shared_engine)
    return shared_engine


@pytest.fixture
@starts("engine")
def docker_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The docker command on the PATH is Debian's, with buildx; it is to be told which engine."""
    with optional(buildx.docker_command(tmp_path)) as (programs, config):
        monkeypatch.setenv("PATH", str(programs), prepend=":")
        monkeypatch.setenv("DOCKER_CONFIG", str(config))


@pytest.fixture(scope="session")
@starts("engine")
def _private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEngine]:
    with optional(private_engine(tmp_path_factory.mktemp("private-engine"))) as running:
        yield running


@pytest.fixture
def private(_private: PrivateEngine, monkeypatch: pytest.MonkeyPatch) -> PrivateEngine:
    """An engine without images that nobody else uses, named in DOCKER_HOST."""
    monkeypatch.setenv("DOCKER_HOST", _private.url)
    _private.empty()
    return _private


@pytest.fixture(scope="session")
@starts("registry")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry without passwords."""
    with optional(registry(tmp_path_factory.mktemp("registry"))) as running:
        yield running


@pytest.fixture(scope="session")
@starts("registry")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry with one user."""
    with optional(registry(tmp_path_factory.mktemp("guarded"), users={USER: PASSWORD})) as running:
        yield running


@pytest.fixture(scope="session")
@starts("registry")
def _amazon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sandbox.Ecr]:
    with optional(sandbox.ecr(tmp_path_factory.mktemp("ecr"), int(AMAZON.rpartition(":")[2]))) as running:
        yield running


@pytest.fixture
def amazon(_amazon: sandbox.Ecr) -> Iterator[sandbox.Ecr]:
    """An ECR of this machine, without repositories."""
    yield _amazon
    _amazon.empty()


@pytest.fixture(scope="session")
@starts("engine")
def ecr_engine(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an engine that knows the name of ``amazon``."""
    if not is_given():
        yield request.getfixturevalue("shared_engine")
        return
    with optional(engine(tmp_path_factory.mktemp("ecr-engine"), hosts=[AMAZON])) as url:
        yield url


@pytest.fixture(scope="session")
def _repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repositories")
    source_repository(folder / "source.git")
    gitops_repository(folder / "gitops.git")
    return folder


@pytest.fixture
def source(_repositories: Path, tmp_path: Path) -> Path:
    """A bare source repository, as ``tests.sandbox.repositories`` draws it."""
    return shutil.copytree(_repositories / "source.git", tmp_path / "source.git")


@pytest.fixture
def gitops(_repositories: Path, tmp_path: Path) -> Path:
    """A bare GitOps repository, as ``tests.sandbox.repositories`` draws it."""
    return shutil.copytree(_repositories / "gitops.git", tmp_path / "gitops.git")


@pytest.fixture
def hub(source: Path, gitops: Path) -> Iterator[GitHub]:
    """Both repositories on a GitHub of this machine, ``acme/flowise`` and ``acme/devops``; TOKEN may do all."""
    with github({"acme/flowise": source, "acme/devops": gitops}, token=TOKEN) as running:
        yield running
