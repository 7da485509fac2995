"""Builds and pushes by a real Docker Engine, to a real registry."""

import io
import secrets
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import docker
import pytest

from tasks.core.build import docker_engine
from tasks.core.build.connection import connect
from tasks.core.build.push_progress import Layers
from tasks.core.errors import (
    AccessDenied,
    BuildFailed,
    Conflict,
    DeliveryError,
    InvalidInput,
    LoginExpired,
    NotFound,
    Terminal,
    Unavailable,
)
from tasks.core.images import ImageSpec
from tasks.core.registry.errors import push_error
from tasks.core.system.interruption import work_ends_with_it
from tests.conftest import PASSWORD, USER
from tests.core.build.cancelled import Cancelled, assert_it_ends_with_its_run
from tests.sandbox.processes import free_port
from tests.sandbox.redirects import moved
from tests.sandbox.registry import Registry
from tests.sandbox.source_files import static_busybox

IMAGE = ImageSpec(name="app", dockerfile="Dockerfile")
SHELL = 'FROM scratch\nCOPY busybox /bin/busybox\nSHELL ["/bin/busybox", "sh", "-c"]\n'


class Builder:
    """Builds Dockerfiles and removes what came of them."""

    def __init__(self) -> None:
        self.built: list[str] = []

    def __call__(
        self, dockerfile: str, *, log: Callable[[str], None] = lambda _: None, timeout: float = 30, **build_args: str
    ) -> str:
        with connect(30) as engine:
            image = docker_engine.build(engine, IMAGE, context(dockerfile), build_args, timeout=timeout, log=log)
        self.built.append(image)
        return image


@pytest.fixture
def build(docker_host: str) -> Iterator[Builder]:
    builder = Builder()
    yield builder
    client = docker.APIClient(base_url=docker_host)
    for image in set(builder.built):
        client.remove_image(image, force=True)
    client.close()


def test_a_login_does_not_follow_a_redirect(monkeypatch: pytest.MonkeyPatch) -> None:
    with moved(307, {"/version": {"ApiVersion": "1.41"}}) as servers:
        monkeypatch.setenv("DOCKER_HOST", servers.url.replace("http://", "tcp://"))
        with pytest.raises(Unavailable, match="stopped answering"), connect(5) as client:
            client.push("registry.example.com/app", auth_config={"username": USER, "password": PASSWORD})
    assert servers.seen == []


def test_an_image_for_amd64_with_its_build_args(build: Builder, docker_host: str) -> None:
    lines: list[str] = []
    nonce = secrets.token_hex(4)
    dockerfile = f'{SHELL}ARG NODE_VERSION\nRUN echo "{nonce} is for $NODE_VERSION"\nENV NODE=$NODE_VERSION\n'
    built = build(dockerfile, log=lines.append, NODE_VERSION="22.4.1")
    client = docker.APIClient(base_url=docker_host)
    image = client.inspect_image(built)
    client.close()
    assert (image["Id"], image["Os"], image["Architecture"]) == (built, "linux", "amd64")
    assert "NODE=22.4.1" in image["Config"]["Env"]
    assert any(line.endswith(f" {nonce} is for 22.4.1") for line in lines)


def test_tells_while_it_works(build: Builder) -> None:
    told: dict[str, float] = {}

    def log(line: str) -> None:
        told[line.partition(" ")[2]] = time.monotonic()

    nonce = secrets.token_hex(4)
    build(f"{SHELL}RUN echo early-{nonce}; /bin/busybox sleep 1; echo late-{nonce}\n", log=log)
    assert told[f"late-{nonce}"] - told[f"early-{nonce}"] > 0.7


def test_a_failing_command_is_told_with_its_last_lines(build: Builder) -> None:
    with pytest.raises(BuildFailed) as failure:
        build(f"{SHELL}RUN for i in $(/bin/busybox seq 100); do echo line-$i; done; echo oh no >&2; exit 7\n")
    said = str(failure.value)
    assert all(part in said for part in ("app", "RUN for i", "exit code: 7", "line-99\n", "line-100\n", "oh no"))
    assert "line-50\n" not in said


@pytest.mark.parametrize("says", ["connection refused", "no space left on device", "i/o timeout"])
def test_a_failing_command_is_not_a_matter_of_the_network(build: Builder, says: str) -> None:
    with pytest.raises(BuildFailed, match=says):
        build(f"{SHELL}RUN echo {says}; exit 1\n")


@pytest.mark.parametrize(
    ("dockerfile", "says"),
    [
        ("FROM scratch\nNONSENSE\n", "unknown instruction: NONSENSE"),
        ("", "empty"),
        ("FROM scratch\nCOPY timeout /\n", "/timeout"),
        (f"{SHELL}RUN no-such-program\n", "no-such-program: not found"),
    ],
)
def test_a_dockerfile_that_cannot_be_built(build: Builder, dockerfile: str, says: str) -> None:
    with pytest.raises(BuildFailed, match=says):
        build(dockerfile)


@pytest.mark.parametrize("base", ["registry.invalid/node:20", "127.0.0.1:1/node:20"])
def test_a_base_image_out_of_reach(build: Builder, base: str) -> None:
    with pytest.raises(Unavailable, match="app"):
        build(f"FROM {base}\n")


@pytest.mark.usefixtures("docker_host")
def test_a_platform_the_engine_does_not_know() -> None:
    image = ImageSpec.model_construct(name="app", dockerfile="Dockerfile", platform="no/such/plat/form")
    with connect(30) as engine, pytest.raises(InvalidInput, match="platform"):
        docker_engine.build(engine, image, context("FROM scratch\n"), {}, timeout=30, log=lambda _: None)


@pytest.mark.parametrize("host", ["tcp://127.0.0.1:1", "unix:///nonexistent/docker.sock"])
def test_no_engine(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(Unavailable) as failure, connect(5):
        pass
    assert "DOCKER_HOST" in failure.value.hint


ACCEPTED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
GOES_AWAY = {
    "no answer": b"",
    "no records": ACCEPTED,
    "half a chunk": ACCEPTED + b'ff\r\n{"stream":',
    "half a record": ACCEPTED + b'a\r\n{"stream":\r\n0\r\n\r\n',
    "no result": ACCEPTED + b"0\r\n\r\n",
}


@pytest.mark.parametrize("answer", GOES_AWAY.values(), ids=GOES_AWAY)
def test_an_engine_that_goes_away_while_it_builds(dying: Callable[[bytes], None], answer: bytes) -> None:
    dying(answer)
    with pytest.raises(Unavailable) as failure, connect(5) as engine:
        docker_engine.build(engine, IMAGE, iter([b"context\n"]), {}, timeout=5, log=lambda _: None)
    assert "restarted" in failure.value.hint


@pytest.mark.parametrize("answer", GOES_AWAY.values(), ids=GOES_AWAY)
def test_an_engine_that_goes_away_while_it_pushes(dying: Callable[[bytes], None], answer: bytes) -> None:
    dying(answer)
    with pytest.raises(Unavailable):
        push("sha256:1", "registry/app", "v1", {"username": USER, "password": PASSWORD})


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], None]]:
    """An engine that ends while it answers a build or a push; is called with what it still says."""
    last_words: list[bytes] = []

    class Dying(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"ApiVersion": "1.41"}'
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

        def do_POST(self) -> None:
            if "/tag?" in self.path:
                self.wfile.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
                return
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                while self.rfile.readline() not in (b"0\r\n", b""):  # the context's last chunk
                    pass
                self.rfile.readline()
            self.wfile.write(last_words[0])

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Dying) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
        yield last_words.append
        server.shutdown()


@pytest.mark.parametrize("meanwhile", ["", "echo still here;"], ids=["silent", "talking"])
def test_time_is_limited(build: Builder, meanwhile: str) -> None:
    slow = slow_step(4, meanwhile)
    started = time.monotonic()
    with pytest.raises(BuildFailed, match=r"app took longer than 1 seconds"):
        build(slow, timeout=1)
    assert time.monotonic() - started < 3.5
    time.sleep(4)  # had the step gone on, it would have ended by now, and be in the cache
    assert not cached(build, slow)


def test_stops_when_its_caller_does(build: Builder) -> None:
    slow = slow_step(3)

    def log(line: str) -> None:
        if line.endswith(" begun"):
            raise Cancelled

    with pytest.raises(Cancelled):
        build(slow, log=log)
    time.sleep(3.5)
    assert not cached(build, slow)


def test_a_silent_build_ends_with_its_run(build: Builder) -> None:
    slow = slow_step(5)
    assert_it_ends_with_its_run(lambda log: build(slow, log=log))
    time.sleep(5.5)
    with work_ends_with_it():  # the next run of this process
        assert not cached(build, slow)


def test_a_push_ends_with_its_run(build: Builder) -> None:
    engine = SimpleNamespace(tag=lambda *_: True, push=lambda *_, **__: iter([{"status": "Pushing"}]))
    with pytest.raises(Cancelled), work_ends_with_it():
        raise Cancelled
    with ThreadPoolExecutor(1) as builds, pytest.raises(Terminal, match="registry/app:v1 was stopped"):
        builds.submit(docker_engine.push, engine, "sha256:1", "registry/app", "v1", None, Layers(quiet, quiet)).result()
    with work_ends_with_it():
        pass


def test_what_was_built_is_cached(build: Builder) -> None:
    """The two tests above would otherwise see "not cached" of every build."""
    slow = slow_step(0.1)
    build(slow)
    assert cached(build, slow)


def test_two_builds_at_once(build: Builder) -> None:
    both_run = threading.Barrier(2, timeout=20)

    def one(number: int) -> str:
        def log(line: str) -> None:
            if line.endswith(" begun"):
                both_run.wait()  # breaks unless the other build runs, too

        return build(f"{slow_step(0.5)}ENV NUMBER={number}\n", log=log)

    with ThreadPoolExecutor() as pool:
        first, second = pool.map(one, (1, 2))
    assert first != second


@pytest.mark.parametrize("auth", [{"username": USER, "password": PASSWORD}, None])
def test_the_digest_is_the_registrys(
    build: Builder, images: Registry, guarded: Registry, auth: dict[str, str] | None
) -> None:
    there = guarded if auth else images
    lines: list[str] = []
    built = build(f"{SHELL}LABEL nonce={secrets.token_hex(4)}\n")
    digest = push(built, f"{there.host}/team/app", "v1", auth, lines.append)
    assert digest == there.digest("team/app", "v1")
    assert there.config("team/app", "v1")["architecture"] == "amd64"
    assert lines[-1] == f"Pushed {there.host}/team/app:v1 as {digest}"
    lines.clear()
    assert digest == push(built, f"{there.host}/team/app", "v2", auth, lines.append)
    assert any(line.endswith(": Layer already exists") for line in lines)
    assert not any(line.endswith(": Pushed") for line in lines)


@pytest.mark.parametrize("auth", [{"username": USER, "password": "wrong-password"}, None])
def test_credentials_are_refused(build: Builder, guarded: Registry, auth: dict[str, str] | None) -> None:
    built = build(f"{SHELL}LABEL a=b\n")
    with pytest.raises(AccessDenied) as failure:
        push(built, f"{guarded.host}/refused", "v1", auth)
    assert f"{guarded.host}/refused:v1" in str(failure.value)
    assert "wrong-password" not in str(failure.value)
    assert guarded.tags("refused") == []


def test_no_registry(build: Builder) -> None:
    built = build(f"{SHELL}LABEL a=b\n")
    with pytest.raises(Unavailable, match="connection refused"):
        push(built, f"127.0.0.1:{free_port()}/app", "v1", None)


REFUSALS = {
    # As Docker's registry client reports them; the last two are the distribution project's.
    "no basic auth credentials": AccessDenied,
    "denied: User: arn:aws:iam::123456789012:user/ci is not authorized to perform: ecr:InitiateLayerUpload":
        AccessDenied,
    "denied: Your authorization token has expired. Reauthenticate and try again.": LoginExpired,
    "write /var/lib/docker/tmp/1: no space left on device": Terminal,
    "unauthorized: authentication required": AccessDenied,
    "unexpected status from HEAD request: 403 Forbidden": AccessDenied,
    "name unknown: The repository with name 'app' does not exist in the registry with id '123456789012'": NotFound,
    "tag invalid: The image tag 'v1' already exists in the 'app' repository and cannot be overwritten because "
    "the repository is immutable.": Conflict,
    'Get "https://registry/v2/": dial tcp 10.0.0.1:443: i/o timeout': Unavailable,
    "received unexpected HTTP status: 503 Service Unavailable": Unavailable,
    "toomanyrequests: Rate exceeded": Unavailable,
    # as the containerd image store passes it on, without the error's code
    "error from registry: User: arn:aws:iam::123456789012:user/ci is not authorized to perform this": AccessDenied,
    "something nobody has seen before": Unavailable,
}  # fmt: skip


@pytest.mark.parametrize(("said", "kind"), REFUSALS.items())
def test_a_refusal_has_its_kind(said: str, kind: type[DeliveryError]) -> None:
    error = push_error("registry/app:v1", said)
    assert type(error) is kind
    assert "registry/app:v1" in error.message


@pytest.mark.parametrize(
    "reference",
    [
        "denied.example.com/app:v1",
        "registry:4010/denied/forbidden:v1",
        "registry/immutable:v1",
        "registry/app:immutable",
        "registry/team/unauthorized:denied",
        "127.0.0.1:40103/unauthorized-app:403",
        "registry/app:no-space-left",
    ],
)
@pytest.mark.parametrize(
    "said",
    [
        'Get "https://{host}/v2/": dial tcp: lookup {name}: connection refused',
        'Put "https://{host}/v2/{repository}/manifests/{tag}": EOF',
        'Head "https://{host}/v2/{repository}/blobs/sha256:' + "403" * 21 + '4": net/http: TLS handshake timeout',
        'Get "https://login.denied.example.com/token?scope=forbidden:immutable": EOF',
        "{host}/{repository}:{tag}: received unexpected HTTP status: 502 Bad Gateway",
    ],
)
def test_names_are_not_taken_for_reasons(reference: str, said: str) -> None:
    image, _, tag = reference.rpartition(":")
    host, _, repository = image.partition("/")
    words = said.format(host=host, name=host.partition(":")[0], repository=repository, tag=tag)
    assert type(push_error(reference, words)) is Unavailable


DIGEST = f"sha256:{'5e' * 32}"
SUMMARY = {"status": f"v1: digest: {DIGEST} size: 1157"}
AUX = {"progressDetail": {}, "aux": {"Tag": "v1", "Digest": DIGEST, "Size": 1157}}
PUSHES = {
    "graph drivers": [{"status": "Layer already exists", "progressDetail": {}, "id": "3a1fc0c82da5"}, SUMMARY, AUX],
    "containerd image store": [{"status": "Pushed", "progressDetail": {}, "id": "ff9811867825"}, SUMMARY],
}
"""Recorded from Docker 20.10 with overlay2 and from 28.5 with the containerd image store."""


def quiet(_: object) -> None:
    """Follow nothing."""


@pytest.mark.parametrize("records", PUSHES.values(), ids=PUSHES)
def test_each_image_stores_way_to_name_the_digest(records: list[dict]) -> None:
    engine = SimpleNamespace(tag=lambda *_: True, push=lambda *_, **__: iter(records))
    assert docker_engine.push(engine, "sha256:1", "registry/app", "v1", None, Layers(quiet, quiet)) == DIGEST


@pytest.mark.parametrize("said", ["Preparing", f"v1: digest: {DIGEST[:-1]} size: 1", f"said v1: digest: {DIGEST}"])
def test_a_push_that_ends_without_a_digest(said: str) -> None:
    """No engine does that on purpose: its stream broke off."""
    engine = SimpleNamespace(tag=lambda *_: True, push=lambda *_, **__: iter([{"status": said}]))
    with pytest.raises(Unavailable, match="registry/app:v1"):
        docker_engine.push(engine, "sha256:1", "registry/app", "v1", None, Layers(quiet, quiet))


def push(
    built: str,
    reference: str,
    tag: str,
    auth: dict[str, str] | None,
    log: Callable[[str], None] = lambda _: None,
) -> str:
    with connect(30) as engine:
        return docker_engine.push(engine, built, reference, tag, auth, Layers(log, lambda _: None))


def slow_step(seconds: float, meanwhile: str = "") -> str:
    waits = f"for i in $(/bin/busybox seq 8); do {meanwhile} /bin/busybox sleep {seconds / 8:.3f}; done"
    return f"{SHELL}RUN echo begun; {waits}; echo {secrets.token_hex(8)}\n"


def cached(build: Builder, dockerfile: str) -> bool:
    """Whether the engine has the result of a Dockerfile's last step already."""
    lines: list[str] = []
    build(dockerfile, log=lines.append)
    return any("CACHED" in line and "begun" in line for line in lines)


def context(dockerfile: str) -> Iterator[bytes]:
    files = {"Dockerfile": dockerfile.encode(), "busybox": static_busybox().read_bytes()}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return iter([out.getvalue()])
