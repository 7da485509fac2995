"""Fixtures: the real parts, started once, and a process that can reach nothing else.

Parts that start slowly live as long as the test session; repositories are new for every test.
"""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.engine import engine
from tests.sandbox.optional import optional
from tests.sandbox.registry import Registry, registry
from tests.sandbox.repositories import gitops_repository, source_repository

KEPT = ("PATH", "TMPDIR", "LANG", "CI", "DOCKER_HOST", "SANDBOX_ENGINE", "VIRTUAL_ENV", "SCREENSHOTS", "README")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a Docker Engine: ``make test-engines`` runs it on each kind."""
    for item in items:
        if not {"docker_host", "private"}.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.engine)


@pytest.fixture(scope="session", autouse=True)
def _only_this_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No home, no settings and no network but loopback: a test that forgets to stay here fails."""
    before = dict(os.environ)
    for name in set(os.environ) - set(KEPT):
        if not name.startswith("PYTEST_"):
            del os.environ[name]
    home = tmp_path_factory.mktemp("home")
    os.environ.update(HOME=str(home), DOCKER_CONFIG=str(home / "docker"), AWS_EC2_METADATA_DISABLED="true")
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"tests do not leave this machine: {address}")
        connect(self, address)

    socket.socket.connect = guarded
    yield
    socket.socket.connect = connect
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test keeps for later runs is no other test's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache", numbered=True)))


@pytest.fixture(scope="session")
def docker_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Docker Engine, named in DOCKER_HOST."""
    with optional(engine(tmp_path_factory.mktemp("engine"))) as url:
        os.environ["DOCKER_HOST"] = url
        yield url


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry without passwords."""
    with optional(registry(tmp_path_factory.mktemp("registry"))) as running:
        yield running


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A bare source repository, as ``tests.sandbox.repositories`` draws it."""
    return source_repository(tmp_path / "source.git")


@pytest.fixture
def gitops(tmp_path: Path) -> Path:
    """A bare GitOps repository, as ``tests.sandbox.repositories`` draws it."""
    return gitops_repository(tmp_path / "gitops.git")
