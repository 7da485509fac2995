"""Builds by Debian's buildx, on engines with both image stores and with a remote builder, to a real registry."""

import io
import json
import secrets
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import docker
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tasks.core.build.buildx import Attestations, Buildx
from tasks.core.build.buildx_command import Address
from tasks.core.errors import AccessDenied, BuildFailed, Conflict, InvalidInput, Unavailable
from tasks.core.images import ImageSpec
from tasks.core.registry.oci import Registry
from tasks.core.system.interruption import work_ends_with_it
from tests.conftest import PASSWORD, USER
from tests.core.build.cancelled import assert_it_ends_with_its_run
from tests.core.build.test_engine_builder import order
from tests.core.conftest import SHELL
from tests.sandbox import registry as sandbox
from tests.sandbox import repositories
from tests.sandbox.buildx import buildkitd
from tests.sandbox.certificate import self_signed
from tests.sandbox.engine import KINDS, engine
from tests.sandbox.faults import Fault, faulty
from tests.sandbox.optional import optional
from tests.sandbox.processes import free_port
from tests.sandbox.services import starts

SECRET = "hunter2-of-the-build"
NPMRC = f"//npm.example/:_authToken={SECRET}\n".encode()
NEEDS_SECRET = f"{SHELL}FROM base AS work\nRUN --mount=type=secret,id=npmrc,required=true cat /run/secrets/npmrc; "
NEEDS_SECRET += "echo made > /made\nFROM base\nCOPY --from=work /made /made\n"
BOTH = ImageSpec(name="app", dockerfile="Dockerfile", platform="linux/amd64,linux/arm64")
SPDX = "https://spdx.dev/Document"
STATEMENT = {"_type": "https://in-toto.io/Statement/v0.1", "predicateType": SPDX, "predicate": {}}
SCANNER = f"{SHELL}RUN echo '{json.dumps(STATEMENT)}' > /sbom\n"
SCANNER += "CMD /bin/busybox cp /sbom $BUILDKIT_SCAN_DESTINATION/sbom.spdx.json\n"
"""Finds nothing, and writes that where BuildKit's protocol for scanners wants it."""


@pytest.fixture(scope="module")
@starts("engine")
def containerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An engine that keeps images in containerd's store."""
    with optional(engine(tmp_path_factory.mktemp("containerd"), kind=KINDS["sid-containerd"])) as url:
        yield url


@pytest.fixture(scope="module")
@starts("engine")
def older_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An engine that keeps images in Docker's older store."""
    with optional(engine(tmp_path_factory.mktemp("older"), kind=KINDS["sid"])) as url:
        yield url


@pytest.fixture(params=["containerd", "older_store"])
def either(request: pytest.FixtureRequest, use: Callable[[str], None]) -> str:
    url = request.getfixturevalue(request.param)
    use(url)
    return str(url)


@pytest.fixture
def use(docker_command: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Says which engine the docker command uses."""
    return lambda url: monkeypatch.setenv("DOCKER_HOST", url)


@pytest.fixture
def full(containerd: str, use: Callable[[str], None]) -> str:
    use(containerd)
    return containerd


@pytest.fixture
def buildx(tmp_path: Path) -> Buildx:
    return Buildx(tmp_path / "work", secrets={"npmrc": lambda: NPMRC})


class Closed(Registry):
    """The registry with a user, whose login is in no file."""

    password = PASSWORD

    def credentials(self) -> tuple[str, str]:
        return USER, self.password


def test_a_secret_reaches_its_step_and_nothing_else(
    either: str, buildx: Buildx, guarded: sandbox.Registry, deliver: Callable[..., str], tmp_path: Path
) -> None:
    lines, seen = list[str](), list[str]()

    def log(line: str) -> None:
        lines.append(line)
        seen.extend(_commands())

    text = NEEDS_SECRET.replace("echo made", f"echo {secrets.token_hex(4)}")
    digest = deliver(text, Closed(guarded.host), log, builder=buildx)
    assert digest == guarded.digest("app", "latest")
    told = "\n".join(lines)
    assert f"{'*' * 8}" in told
    assert "buildx\0build" in "".join(seen)
    for hidden in (SECRET, PASSWORD):
        assert hidden not in told
        assert not any(hidden in command for command in seen)
        for tag in ("latest", "buildcache"):
            assert hidden.encode() not in content(guarded, "app", guarded.digest("app", tag) or "")
    assert list((tmp_path / "work").iterdir()) == []
    with closing(docker.APIClient(base_url=either)) as client:
        assert client.images() == []


def test_layers_of_every_stage_come_from_the_registry(
    full: str, buildx: Buildx, images: sandbox.Registry, deliver: Callable[..., str]
) -> None:
    text = NEEDS_SECRET.replace("echo made", "echo kept")
    deliver(text, images.host, builder=buildx)
    prune(full)
    lines = list[str]()
    other = replace(buildx, secrets={"npmrc": lambda: b"another value, same id"})
    deliver(f"{text}LABEL another=image\n", images.host, lines.append, builder=other)
    assert [line for line in lines if "CACHED [work 1/1] RUN" in line]


def test_a_failure_names_line_and_last_lines(full: str, buildx: Buildx, images: sandbox.Registry, deliver) -> None:
    with pytest.raises(BuildFailed) as failure:
        deliver(f"{SHELL}\nFROM base\nRUN echo one \\\n && exit 7\n", images.host, builder=buildx)
    assert failure.value.message.startswith("The build of app failed at Dockerfile:6, [stage-1 1/1] RUN echo one")
    assert failure.value.message.endswith("exit code: 7\n  one")
    assert failure.value.hint == "Fix Dockerfile."


def test_a_wrong_login_is_said(full: str, buildx: Buildx, guarded: sandbox.Registry, deliver, monkeypatch) -> None:
    registry = Closed(guarded.host)
    monkeypatch.setattr(registry, "check", lambda _: None)
    monkeypatch.setattr(registry, "digest", lambda *_: None)
    registry.password = "wrong-password"
    with pytest.raises(AccessDenied) as failure:
        deliver(f"{SHELL}LABEL a=b\n", registry, builder=buildx)
    assert "wrong-password" not in str(failure.value)


EXPIRED = "Your authorization token has expired. Reauthenticate and try again."
IMMUTABLE = "The image tag 'v1' already exists in the 'app' repository and cannot be overwritten because the repository"
IMMUTABLE += " is immutable."
FAULTS: dict[str, tuple[Fault, type[Exception] | None]] = {
    "expired login": (Fault("POST", "/blobs/uploads", 403, "DENIED", EXPIRED), None),
    "layers can't be kept": (Fault("PUT", "/manifests/buildcache", 400, "TAG_INVALID", IMMUTABLE, times=9), None),
    "immutable": (Fault("PUT", "/app/manifests/", 400, "TAG_INVALID", IMMUTABLE, times=9), Conflict),
    "away": (Fault("PUT", "/app/manifests/", 503, "UNKNOWN", "try later", times=99), Unavailable),
}


@pytest.mark.parametrize(("fault", "error"), FAULTS.values(), ids=FAULTS)
def test_a_bad_day_of_the_registry(
    fault: Fault, error: type[Exception] | None, full: str, buildx: Buildx, images: sandbox.Registry, deliver
) -> None:
    text, lines = f"{SHELL}RUN echo {secrets.token_hex(4)} > /it\n", list[str]()
    with faulty(images) as proxy:
        proxy.faults.append(replace(fault))
        with pytest.raises(error, match=proxy.host) if error else nullcontext():
            deliver(text, proxy.host, lines.append, builder=buildx)
        assert proxy.struck
    assert len([line for line in lines if "RUN echo" in line and "CACHED" not in line]) == 1


@pytest.mark.usefixtures("full")
def test_an_ignored_dockerfile_is_not_copied(buildx: Buildx, images: sandbox.Registry, deliver, source: Path) -> None:
    repositories.commit(source, "main", {".dockerignore": "Dockerfile\nnote\n"}, "chore: ignore it")
    digest = deliver("FROM scratch\nCOPY . /\n", images.host, builder=buildx)
    found = files(images, "app", digest)
    assert "tools/busybox" in found
    assert not {"Dockerfile", "note"} & found


def test_a_remote_builder_makes_one_index_with_attestations(
    containerd: str, use: Callable[[str], None], buildx: Buildx, images: sandbox.Registry, deliver, tmp_path: Path
) -> None:
    use("unix:///there-is-no-engine.sock")
    certificate = self_signed(tmp_path)
    certs = tmp_path / "certs"
    certs.mkdir()
    for name in ("ca", "cert", "key"):
        shutil.copy(certificate, certs / f"{name}.pem")
    with buildkitd(containerd, certificate) as address:
        remote = replace(buildx, address=Address(address, certs))
        scanner = deliver(SCANNER, images.host, builder=remote)
        attested = Attestations(provenance=True, sbom=True, generator=f"{images.host}/app@{scanner}")
        text = "FROM scratch\nCOPY tools/busybox /busybox\n"
        digest = deliver(text, images.host, builder=replace(remote, attestations=attested), image=BOTH)
        with pytest.raises(Unavailable, match=f"No buildkitd answers at {address}"):
            deliver(text, images.host, builder=replace(buildx, address=Address(address)))
    index = images.manifest("app", digest)
    assert digest == images.digest("app", "latest")
    platforms = [each["platform"]["architecture"] for each in index["manifests"]]
    assert platforms == ["amd64", "arm64", "unknown", "unknown"]
    predicates = set[str]()
    for each in index["manifests"][2:]:
        statements = images.manifest("app", each["digest"])["layers"]
        predicates |= {layer["annotations"]["in-toto.io/predicate-type"] for layer in statements}
    assert predicates == {"https://slsa.dev/provenance/v0.2", SPDX}


def test_an_ssh_key_is_an_agent_for_its_step(full: str, buildx: Buildx, images: sandbox.Registry, deliver) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    given = replace(buildx, ssh={"default": lambda: pem})
    deliver(f'{SHELL}RUN --mount=type=ssh test -S "$SSH_AUTH_SOCK"\n', images.host, builder=given)


def test_a_silent_build_ends_with_its_run_and_in_time(full, buildx: Buildx, images: sandbox.Registry, deliver) -> None:
    text = f"{SHELL}RUN echo begun; /bin/busybox sleep 4\n"
    assert_it_ends_with_its_run(lambda log: deliver(text, images.host, log, builder=buildx))
    # Had the step gone on, it would end in this build's time.
    with work_ends_with_it(), pytest.raises(BuildFailed, match="The build of app took longer than 4 seconds"):
        deliver(text, images.host, builder=buildx, timeout=4)


def test_what_the_older_store_cannot_make(
    older_store: str, use: Callable[[str], None], buildx: Buildx, images: sandbox.Registry, deliver
) -> None:
    use(older_store)
    with pytest.raises(InvalidInput) as caught:
        builder = replace(buildx, attestations=Attestations(sbom=True))
        deliver("FROM scratch\nCOPY . /\n", images.host, builder=builder, image=BOTH)
    assert caught.value.message == (
        "The builder default can't make app for linux/amd64,linux/arm64 and attestations:"
        " its engine keeps images in Docker's older store."
    )


@pytest.mark.usefixtures("use")
@pytest.mark.parametrize(
    ("builder", "error", "says"),
    [
        ("nothing-of-this-name", InvalidInput, 'docker buildx has no builder "nothing-of-this-name".'),
        ("tcp://127.0.0.1:{port}", Unavailable, "No buildkitd answers at tcp://127.0.0.1:{port}."),
    ],
)
def test_no_such_builder(builder: str, error: type[Exception], says: str, buildx: Buildx) -> None:
    port = free_port()
    with pytest.raises(error) as caught:
        replace(buildx, address=Address(builder.format(port=port))).build_and_push(order("FROM scratch\n"))
    assert caught.value.message == says.format(port=port)


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("", "BUILDER=buildx needs the docker command, which isn't on the PATH."),
        ("echo 'docker: unknown command: docker buildx' >&2; exit 1", "unknown command: docker buildx."),
        ("echo github.com/docker/buildx v0.11.2 9872040", "buildx v0.11.2 is too old."),
    ],
)
def test_no_docker_command(script: str, says: str, buildx: Buildx, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if script:
        (tmp_path / "docker").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "docker").chmod(0o755)
    with pytest.raises(InvalidInput) as caught:
        buildx.build_and_push(order("FROM scratch\n"))
    assert caught.value.message.endswith(says)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ("RUN --mount=type=secret,id=token x", "asks for RUN --mount=type=secret with the id token, and BUILD_SECRETS"),
        ("RUN --mount=type=secret,target=/root/.netrc x", "with the id .netrc, and BUILD_SECRETS has none of that id"),
        ("RUN --mount=type=ssh x", "asks for RUN --mount=type=ssh with the id default, and BUILD_SSH has none"),
        ("ADD git@github.com:o/r.git /src", "asks for ADD git@github.com:o/r.git with the id default, and BUILD_SSH"),
        ("RUN --mount=type=secret,id=$WHICH x", "a build argument decides which"),
    ],
)
def test_what_is_asked_for_has_to_be_given(step: str, says: str, buildx: Buildx) -> None:
    with pytest.raises(InvalidInput) as caught:
        buildx.build_and_push(order(f"FROM scratch\n{step}\n"))
    assert caught.value.message.startswith("build/Dockerfile:2 of app ")
    assert says in caught.value.message


def content(images: sandbox.Registry, repository: str, digest: str) -> bytes:
    """An image's manifest, configuration and layers, unpacked."""
    manifest = images.manifest(repository, digest)
    found = json.dumps(manifest).encode() + images.blob(repository, manifest["config"]["digest"])
    for layer in manifest["layers"]:
        blob = images.blob(repository, layer["digest"])
        with tarfile.open(fileobj=io.BytesIO(blob)) as archive:
            found += b"".join(archive.extractfile(each).read() for each in archive if each.isreg())
    return found


def files(images: sandbox.Registry, repository: str, digest: str) -> set[str]:
    found = set[str]()
    for layer in images.manifest(repository, digest)["layers"]:
        with tarfile.open(fileobj=io.BytesIO(images.blob(repository, layer["digest"]))) as archive:
            found |= set(archive.getnames())
    return found


def prune(url: str) -> None:
    """Remove the build cache: a fresh machine."""
    with closing(docker.APIClient(base_url=url, version="auto")) as client:
        client.post(f"{client.base_url}/v{client.api_version}/build/prune", params={"all": "1"}).raise_for_status()


def _commands() -> Iterator[str]:
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            yield each.read_bytes().decode(errors="replace")
