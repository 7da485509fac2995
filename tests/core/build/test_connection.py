"""Which engine is used: the one that the docker command would use, and no other."""

import hashlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tasks.core.build import docker_engine
from tasks.core.build.buildkit_session import session
from tasks.core.build.connection import connect, find_engine
from tasks.core.build.ssh_dialer import ssh_command
from tasks.core.errors import InvalidInput, Unavailable
from tests.core.build.test_docker_engine import IMAGE, SHELL, context
from tests.sandbox.certificate import self_signed
from tests.sandbox.in_process import served
from tests.sandbox.processes import free_port

DOCKER = {"ApiVersion": "1.41", "Version": "20.10.24", "Os": "linux", "Components": [{"Name": "Engine"}]}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The docker command's folder, and nothing in the environment."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "docker"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return folder


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("certificate"))


def create_context(config: Path, name: str, host: str, **endpoint: object) -> Path:
    """What ``docker context create`` writes; answers the folder for its certificates."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    meta = config / "contexts/meta" / digest / "meta.json"
    meta.parent.mkdir(parents=True)
    meta.write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host, **endpoint}}}))
    return config / "contexts/tls" / digest / "docker"


@contextmanager
def playing(about: object, certificate: Path | None = None) -> Iterator[str]:
    """A stand-in for an engine, which says this of itself; yields its DOCKER_HOST."""

    async def version(_: Request) -> JSONResponse:
        return JSONResponse(about)

    with served(Starlette(routes=[Route("/version", version)]), certificate=certificate) as url:
        yield f"tcp://{url.partition('://')[2]}"


def test_the_engine_is_looked_for_as_the_docker_command_does(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_engine() == ("unix:///var/run/docker.sock", None)
    create_context(config, "colima", "unix:///home/me/.colima/docker.sock")
    create_context(config, "other", "tcp://build.example.com:2375")
    (config / "config.json").write_text(json.dumps({"currentContext": "colima"}))
    assert find_engine().host == "unix:///home/me/.colima/docker.sock"
    monkeypatch.setenv("DOCKER_CONTEXT", "other")
    assert find_engine().host == "tcp://build.example.com:2375"
    monkeypatch.setenv("DOCKER_CONTEXT", "default")
    assert find_engine().host == "unix:///var/run/docker.sock"
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2375")
    assert find_engine() == ("tcp://127.0.0.1:2375", None)


def test_a_context_that_is_gone(config: Path) -> None:
    (config / "config.json").write_text(json.dumps({"currentContext": "colima"}))
    with pytest.raises(InvalidInput, match="context colima"), connect(5):
        pass


@pytest.mark.parametrize("text", ["", "{", '{"auths": null, "currentContext": null}'])
def test_a_config_that_cannot_be_read_is_none(
    config: Path, docker_host: str, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (config / "config.json").write_text(text)
    monkeypatch.setenv("DOCKER_HOST", docker_host)
    with connect(5) as engine:
        assert engine.ping()


@pytest.mark.parametrize("text", ["[]", '{"auths": {"registry": {"auth": "no base64"}}}', '{"auths": {"registry": 1}}'])
def test_a_config_of_another_kind_is_named(config: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (config / "config.json").write_text(text)
    with pytest.raises(InvalidInput) as failure, connect(5):
        pass
    assert str(config / "config.json") in failure.value.hint


@pytest.mark.parametrize("bundle", ["", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("way", ["environment", "context"])
def test_an_engine_with_a_certificate_of_its_own(
    config: Path, monkeypatch: pytest.MonkeyPatch, certificate: Path, way: str, bundle: str
) -> None:
    others = config / "others.pem"
    others.write_text("")
    if bundle:
        monkeypatch.setenv(bundle, str(others))
    with playing(DOCKER, certificate) as host:
        if way == "environment":
            monkeypatch.setenv("DOCKER_HOST", host)
            monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
            folder = config / "certificates"
            monkeypatch.setenv("DOCKER_CERT_PATH", str(folder))
        else:
            folder = create_context(config, "far", host, SkipTLSVerify=False)
            monkeypatch.setenv("DOCKER_CONTEXT", "far")
        folder.mkdir(parents=True)
        with pytest.raises(Unavailable, match=r"(?i)certificate"), connect(5):
            pass  # nothing vouches for it yet
        (folder / "ca.pem").write_text(certificate.read_text())
        with connect(5) as engine:
            assert engine.version(api_version=False)["Version"] == "20.10.24"


def test_half_a_client_certificate_is_named(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2376")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    (config / "cert.pem").write_text("one without a key")
    with pytest.raises(InvalidInput, match=str(config)), connect(5):
        pass


OTHERS = {
    "podman": ({"ApiVersion": "1.41", "Os": "linux", "Components": [{"Name": "Podman Engine"}]}, "^Podman "),
    "windows": (DOCKER | {"Os": "windows"}, "windows containers"),
    "old": (DOCKER | {"ApiVersion": "1.38", "Version": "18.06.3"}, r"18\.06\.3 .* no BuildKit"),
}


@pytest.mark.parametrize(("about", "says"), OTHERS.values(), ids=OTHERS)
def test_what_cannot_build_is_rejected(
    config: Path, monkeypatch: pytest.MonkeyPatch, about: dict[str, object], says: str
) -> None:
    with playing(about) as host:
        monkeypatch.setenv("DOCKER_HOST", host)
        with pytest.raises(InvalidInput, match=says) as failure, connect(5):
            pass
    assert failure.value.message.count(". ") == 0


@pytest.mark.parametrize("about", [{}, [], "hello", {"ApiVersion": None}])
def test_another_kind_of_server_is_no_engine(config: Path, monkeypatch: pytest.MonkeyPatch, about: object) -> None:
    with playing(about) as host:
        monkeypatch.setenv("DOCKER_HOST", host)
        with pytest.raises(Unavailable, match=f"at {host}"), connect(5):
            pass


@pytest.mark.parametrize("host", ["tcp://127.0.0.1", "tcp://[::1]"])
def test_a_port_may_be_left_out(config: Path, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(Unavailable, match=r"refused|unreachable|assign|2375"), connect(5):
        pass


@pytest.mark.parametrize(
    ("host", "command"),
    [
        ("ssh://build.example.com", "ssh {} -- build.example.com docker system dial-stdio"),
        ("ssh://me@build:2222", "ssh -l me -p 2222 {} -- build docker system dial-stdio"),
        ("ssh://build/run/d.sock", "ssh {} -- build docker --host unix:///run/d.sock system dial-stdio"),
    ],
)
def test_the_docker_commands_way_over_ssh(host: str, command: str) -> None:
    assert " ".join(ssh_command(host)) == command.format("-o ConnectTimeout=30 -o BatchMode=yes -T")


@pytest.mark.parametrize("host", ["ssh://", "ssh://me:secret@build", "ssh://build:port", "ssh://build?x=1"])
def test_no_address_over_ssh(host: str) -> None:
    with pytest.raises(InvalidInput, match="DOCKER_HOST"):
        ssh_command(host)


@pytest.fixture
def ssh(tmp_path: Path, docker_host: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A stand-in for ``ssh``, which is on the other machine at once; is called with what that one does."""
    program = tmp_path / "bin/ssh"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_HOST", "ssh://me@build.example.com")

    def write(does: str) -> None:
        program.write_text(f'#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done; shift 2\n{does}\n')
        program.chmod(program.stat().st_mode | stat.S_IEXEC)

    write(f'DOCKER_HOST={docker_host} exec "$@"')
    return write


@pytest.mark.usefixtures("ssh")
def test_a_build_over_ssh() -> None:
    nonce, lines = secrets.token_hex(4), []
    with connect(30) as engine:
        with session(engine, lambda _: None) as opened:
            helped = docker_engine.Help(session=opened)
            dockerfile = f"{SHELL}RUN echo {nonce}\n"
            built = docker_engine.build(
                engine, IMAGE, context(dockerfile), {}, timeout=30, log=lines.append, helped=helped
            )
        engine.remove_image(built, force=True)
    assert any(line.endswith(f" {nonce}") for line in lines)


def test_an_engine_that_ssh_does_not_reach(ssh: Callable[[str], None]) -> None:
    ssh("echo 'Permission denied (publickey).' >&2; exit 255")
    with pytest.raises(Unavailable, match=r"build\.example\.com.*Permission denied"), connect(5):
        pass


def test_a_host_whose_name_has_ssh_is_no_ssh(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"tcp://ssh.localhost:{free_port()}")
    with pytest.raises(Unavailable, match=r"ssh\.localhost"), connect(5):
        pass
