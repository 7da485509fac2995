"""Which builder the settings mean, and where its secrets come from; tests/flows/test_engines.py has a Secret block."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.builder import builder
from tasks.core.build.buildx import Buildx
from tasks.core.build.engine_builder import EngineBuilder
from tasks.core.errors import InvalidInput
from tasks.core.settings import load


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Buildx]:
    def make(**settings: str) -> Buildx:
        for name, value in {"BUILDER": "buildx", **settings}.items():
            monkeypatch.setenv(name, value)
        found = builder(load())
        assert isinstance(found, Buildx)
        return found

    return make


def test_the_engine_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(builder(load()), EngineBuilder)
    monkeypatch.setenv("BUILD_ATTESTATIONS", "provenance,sbom")
    with pytest.raises(InvalidInput, match="asks for provenance, sbom, and BUILDER=engine attaches none"):
        builder(load())


def test_a_secret_is_read_when_a_build_asks_for_it(made: Callable[..., Buildx], tmp_path: Path) -> None:
    (tmp_path / "npmrc").write_bytes(b"hunter2\n")
    found = made(BUILD_SECRETS=f"npmrc={tmp_path}/npmrc,gone={tmp_path}/gone,token=no-such-block")
    assert found.secrets["npmrc"]() == b"hunter2\n"
    with pytest.raises(
        InvalidInput, match=rf"BUILD_SECRETS=gone={tmp_path}/gone: the file can't be read: No such file"
    ):
        found.secrets["gone"]()
    with pytest.raises(InvalidInput, match="BUILD_SECRETS=token=no-such-block: there is no Prefect Secret block"):
        found.secrets["token"]()


def test_an_agent_s_socket_is_no_key(made: Callable[..., Buildx], tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(tmp_path / "agent"))
        (tmp_path / "key").write_bytes(b"a key")
        found = made(BUILD_SSH=f"default={tmp_path}/agent,other={tmp_path}/key").ssh
    assert found["default"] == tmp_path / "agent"
    assert callable(found["other"]) and found["other"]() == b"a key"


def test_attestations_are_what_buildx_is_told(made: Callable[..., Buildx]) -> None:
    assert made().attestations.arguments == ("--provenance=false", "--sbom=false")
    asked = made(BUILD_ATTESTATIONS="provenance,sbom", BUILD_SBOM_GENERATOR="mirror.example/scanner:1")
    assert asked.attestations.arguments == ("--provenance=mode=max", "--sbom=generator=mirror.example/scanner:1")
