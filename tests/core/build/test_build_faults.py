"""Bad days of the engine and the registry: what heals does so without building again, what does not says why."""

import io
import secrets
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.core.build import docker_engine
from tasks.core.build.connection import connect
from tasks.core.errors import AccessDenied, LoginExpired, Terminal, Unavailable
from tasks.core.registry.oci import Registry
from tests.core.conftest import APP, SHELL
from tests.sandbox import registry as sandbox
from tests.sandbox.engine import engine
from tests.sandbox.faults import Fault, Faulty, faulty
from tests.sandbox.optional import optional
from tests.sandbox.private_engine import PrivateEngine
from tests.sandbox.services import starts

EXPIRED = "Your authorization token has expired. Reauthenticate and try again."
UPLOADS, MANIFESTS = "/blobs/uploads", "/app/manifests/"


@pytest.fixture
@starts("registry")
def proxy(tmp_path: Path) -> Iterator[Faulty]:
    with optional(sandbox.registry(tmp_path / "behind")) as behind, faulty(behind) as running:
        yield running


class Logins(Registry):
    """A registry with a new password for each login, which are counted."""

    count = 0

    def credentials(self) -> tuple[str, str]:
        self.count += 1
        return "AWS", f"token-{self.count}"


def built(lines: list[str]) -> list[str]:
    """The RUN steps that were executed."""
    started = [line for line in lines if "RUN " in line and " CACHED " not in line]
    return [line.split("RUN ")[1] for line in started]


def image() -> str:
    return f"{SHELL}RUN echo {secrets.token_hex(4)} > /it\n"


BAD_DAYS = {
    "500": Fault("PUT", MANIFESTS, 500, "UNKNOWN", "internal error", times=99),
    "429": Fault("PUT", MANIFESTS, 429, "TOOMANYREQUESTS", "Rate exceeded", times=99),
    "reset": Fault("PUT", MANIFESTS, times=99),
}


@pytest.mark.usefixtures("docker_host")
@pytest.mark.parametrize("fault", BAD_DAYS.values(), ids=BAD_DAYS)
def test_after_a_push_that_failed_nothing_is_built_or_sent_again(
    proxy: Faulty, deliver: Callable[..., str], fault: Fault
) -> None:
    proxy.faults.append(replace(fault))
    dockerfile, lines = image(), []
    with pytest.raises(Unavailable, match=f"{proxy.host}/app"):
        deliver(dockerfile, proxy.host, lines.append)
    assert len(built(lines)) == 1
    assert proxy.struck
    proxy.faults.clear()
    lines.clear()
    deliver(f"{dockerfile}# again\n", proxy.host, lines.append)
    assert built(lines) == []
    assert not any(line.endswith(": Pushed") for line in lines)
    assert any(line.endswith(": Layer already exists") for line in lines)


@pytest.mark.usefixtures("docker_host")
def test_a_layer_cut_off_is_sent_again(proxy: Faulty, deliver: Callable[..., str]) -> None:
    """By the engine itself, after five seconds; with the containerd image store by the task, which tries again."""
    proxy.faults.append(Fault("PUT", UPLOADS))
    dockerfile, lines = image(), []
    try:
        deliver(dockerfile, proxy.host, lines.append)
        assert len([line for line in lines if ": Retrying in " in line]) == 1
    except Unavailable:
        deliver(f"{dockerfile}# again\n", proxy.host, lines.append)
    assert proxy.struck == 1
    assert len(built(lines)) == 1


@pytest.mark.usefixtures("docker_host")
def test_a_login_that_expires_is_made_anew(proxy: Faulty, deliver: Callable[..., str]) -> None:
    proxy.faults.append(Fault("POST", UPLOADS, 403, "DENIED", EXPIRED, times=1))
    lines, registry = [], Logins(proxy.host)
    deliver(image(), registry, lines.append)
    assert registry.count >= 2
    assert any("new login" in line for line in lines)
    assert len(built(lines)) == 1
    assert not any("token-" in line for line in lines)


@pytest.mark.usefixtures("docker_host")
@pytest.mark.parametrize(
    ("message", "kind", "logins"),
    [(EXPIRED, LoginExpired, 2), ("User: arn:aws:iam::1:user/ci is not authorized to perform this", AccessDenied, 1)],
)
def test_a_login_that_stays_refused_is_final(
    proxy: Faulty, deliver: Callable[..., str], message: str, kind: type[Terminal], logins: int
) -> None:
    proxy.faults.append(Fault("POST", UPLOADS, 403, "DENIED", message, times=99))
    registry = Logins(proxy.host)
    with pytest.raises(AccessDenied) as failure:
        deliver(image(), registry)
    assert type(failure.value) is kind
    assert registry.count == logins
    assert "token-" not in str(failure.value)


def test_a_tag_after_the_login_has_expired(images: sandbox.Registry) -> None:
    digest = images.push("expiring/app", "v1")
    with faulty(images) as proxy, closing(Logins(proxy.host)) as registry:
        registry._authorization = {"Authorization": "Basic b2xkOm9sZA=="}  # of a check before a long build
        proxy.faults.append(Fault("PUT", MANIFESTS, 403, "DENIED", EXPIRED))
        registry.add_tag("expiring/app", digest, "v2")
        assert (proxy.struck, registry.count) == (1, 1)
        proxy.faults.append(Fault("PUT", MANIFESTS, 403, "DENIED", EXPIRED, times=99))
        with pytest.raises(LoginExpired, match=EXPIRED):
            registry.add_tag("expiring/app", digest, "v3")
        assert registry.count == 2
    assert images.tags("expiring/app") == ["v1", "v2"]


def test_the_engine_is_restarted_while_it_builds(
    private: PrivateEngine, images: sandbox.Registry, deliver: Callable[..., str]
) -> None:
    nonce = secrets.token_hex(4)
    dockerfile = f"{SHELL}RUN echo {nonce} > /one\nRUN echo begun {nonce}; [ -e /tools ] || /bin/busybox sleep 600\n"
    lines: list[str] = []
    stopping = threading.Thread(target=private.stop)

    def log(line: str) -> None:
        lines.append(line)
        if line.endswith(f" begun {nonce}"):
            stopping.start()

    with pytest.raises(Unavailable):
        deliver(dockerfile, images.host, log)
    stopping.join()
    private.start()
    lines.clear()
    deliver(dockerfile.replace("sleep 600", "sleep 0"), images.host, lines.append)
    assert len(built(lines)) == 1
    assert any("CACHED" in line and f"{nonce} > /one" in line for line in lines)


@pytest.fixture
@starts("engine")
def small_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with optional(engine(tmp_path / "engine", disk="24m")) as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        yield


@pytest.mark.usefixtures("small_engine")
def test_an_engine_whose_disk_is_full() -> None:
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in {"Dockerfile": b"FROM scratch\nCOPY big /\n", "big": bytes(40 << 20)}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    with pytest.raises(Terminal, match="no space left") as failure, connect(30) as small:
        docker_engine.build(small, APP, iter([context.getvalue()]), {}, timeout=30, log=lambda _: None)
    assert "prune" in failure.value.hint
