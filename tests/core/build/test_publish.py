"""An image of a commit goes to a real registry: one digest, two tags, and nothing built in vain."""

import base64
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import docker
import pytest

from tasks.core import git
from tasks.core.build.builder import permitted_login
from tasks.core.build.context import checkout
from tasks.core.build.publish import Options, build_and_push
from tasks.core.build.tags import point_tags
from tasks.core.errors import BuildFailed, Conflict, NotFound, Unavailable
from tasks.core.images import SERVER, ImageSpec
from tasks.core.models import Target
from tasks.core.registry.oci import Registry
from tests.core.conftest import SHELL
from tests.sandbox import registry as sandbox
from tests.sandbox import repositories
from tests.sandbox.private_engine import PrivateEngine
from tests.sandbox.processes import free_port


@pytest.mark.usefixtures("docker_host")
def test_both_tags_are_one_image(source: Path, images: sandbox.Registry, tmp_path: Path) -> None:
    lines: list[str] = []
    target = target_of(source, node_version="22")
    digest = publish(SERVER, target, source, images.host, tmp_path, lines.append)
    assert target.tags == (f"prod-{target.sha[:7]}", target.sha)
    assert {tag: images.digest(SERVER.name, tag) for tag in target.tags} == dict.fromkeys(target.tags, digest)
    assert images.config(SERVER.name, digest)["os"] == "linux"
    files = files_of(images, SERVER.name, digest)
    assert files["app/node-version"] == b"22\n"
    assert files["app/api/v1/ping"] == b"pong"
    assert b"app.get('/api/v1/ping', pong)" in files["app/index.js"]
    assert [line for line in lines if line.startswith("Tagged")] == [
        f"Tagged {images.host}/{SERVER.name}:{tag}" for tag in target.tags[:1]
    ]


@pytest.mark.usefixtures("no_engine")
def test_a_missing_dockerfile_is_told_before_the_engine_is_asked(
    source: Path, images: sandbox.Registry, tmp_path: Path
) -> None:
    image = ImageSpec(name="flowise-worker", dockerfile="packages/worker/Dockerfile")
    with pytest.raises(NotFound, match="packages/worker/Dockerfile"):
        publish(image, target_of(source), source, images.host, tmp_path)


@pytest.mark.usefixtures("no_engine")
def test_an_unreachable_registry_is_told_before_the_engine_is_asked(source: Path, tmp_path: Path) -> None:
    host = f"127.0.0.1:{free_port()}"
    with pytest.raises(Unavailable, match=host):
        publish(SERVER, target_of(source), source, host, tmp_path)


@pytest.mark.usefixtures("no_engine")
def test_without_an_engine_it_is_the_engine_that_is_told(
    source: Path, images: sandbox.Registry, tmp_path: Path
) -> None:
    """Nothing else stops the two tests above."""
    with pytest.raises(Unavailable, match="No Docker Engine"):
        publish(SERVER, target_of(source), source, images.host, tmp_path)


def test_tags_are_pointed(images: sandbox.Registry) -> None:
    old, new = images.push("pointed/app", "v1", "old"), images.push("pointed/app", "v2", "new")
    images.push("pointed/app", "latest", "old")
    lines: list[str] = []
    with asking(images.host) as registry:
        assert point_tags(registry, "pointed/app", new, ("v2", "latest", "v3"), lines.append) == ("v2", "latest", "v3")
    found = {tag: images.digest("pointed/app", tag) for tag in images.tags("pointed/app")}
    assert found == {"v1": old, "v2": new, "latest": new, "v3": new}
    assert lines == [f"Tagged {images.host}/pointed/app:{tag}" for tag in ("latest", "v3")]  # v2 was right before


def test_tags_of_an_image_that_is_not_there(images: sandbox.Registry) -> None:
    old = images.push("unpointed/app", "latest")
    with asking(images.host) as registry, pytest.raises(NotFound):
        point_tags(registry, "unpointed/app", f"sha256:{'0' * 64}", ("latest",), lambda _: None)
    assert images.digest("unpointed/app", "latest") == old


@pytest.mark.usefixtures("docker_host")
def test_docker_s_config_without_its_helper_and_with_a_proxy(
    deliver: Callable[..., str], images: sandbox.Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An open registry needs no login; the proxy reaches the build's steps, and no image."""
    config = {"credsStore": "gone", "proxies": {"default": {"httpsProxy": "http://proxy.invalid:3128"}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    lines: list[str] = []
    digest = deliver(f"{SHELL}RUN echo through $HTTPS_PROXY {tmp_path}\n", images.host, lines.append)
    assert any(line.startswith("Pushing without a login") and "docker-credential-gone" in line for line in lines)
    assert any(line.endswith(f"through http://proxy.invalid:3128 {tmp_path}") for line in lines)
    assert "proxy.invalid" not in json.dumps(images.config("app", digest))


def test_again_executes_every_step_and_pulls_the_base(
    private: PrivateEngine, deliver: Callable[..., str], images: sandbox.Registry
) -> None:
    images.push("again/base", "v1", "of yesterday")
    with closing(docker.APIClient(base_url=private.url, version="auto")) as engine:
        engine.pull(f"{images.host}/again/base", "v1")
    images.push("again/base", "v1", "of today")
    dockerfile = f"{SHELL}RUN cat /proc/uptime > /it\nFROM {images.host}/again/base:v1\nCOPY --from=base /it /it\n"
    first = files_of(images, "app", deliver(dockerfile, images.host))
    assert files_of(images, "app", deliver(f"{dockerfile}# same\n", images.host)) == first
    again = deliver(f"{dockerfile}# again\n", images.host, again=True)
    assert files_of(images, "app", again).keys() == first.keys()
    assert files_of(images, "app", again) != first
    assert images.config("app", again)["author"] == "of today"


@pytest.mark.usefixtures("docker_host")
def test_a_failure_names_the_dockerfiles_line(deliver: Callable[..., str], images: sandbox.Registry) -> None:
    with pytest.raises(BuildFailed) as failure:
        deliver(f"{SHELL}\nFROM base\nRUN echo one \\\n && exit 7\n", images.host)
    assert failure.value.message.startswith("The build of app failed at Dockerfile:6, [stage-1 1/1] RUN echo one")
    assert failure.value.message.endswith("\n  one")
    assert failure.value.hint == "Fix Dockerfile."


@pytest.mark.usefixtures("docker_host")
def test_several_images_from_one_dockerfile(source: Path, images: sandbox.Registry, tmp_path: Path) -> None:
    text = "FROM scratch AS one\nCOPY tools/busybox /one\nFROM scratch AS two\nCOPY tools/busybox /two\n"
    repositories.commit(source, "main", {"Dockerfile": text}, "feat: two of them")
    for target in ("one", "two"):
        image = ImageSpec(name=f"several/{target}", dockerfile="Dockerfile", target=target)
        digest = publish(image, target_of(source), source, images.host, tmp_path)
        assert list(files_of(images, image.name, digest)) == [target]


class Immutable:
    """A registry whose tags mean one image for ever."""

    host = "registry"

    def digest(self, _repository: str, _reference: str) -> str:
        return f"sha256:{'1' * 64}"

    def add_tag(self, repository: str, _digest: str, tag: str) -> None:
        raise Conflict(f"{repository}:{tag} is immutable.")


def test_only_the_claimed_tag_may_not_stay_behind() -> None:
    lines: list[str] = []
    same, other = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
    assert point_tags(Immutable(), "app", same, ("v1", "latest"), lines.append, claimed="v1") == ("v1", "latest")
    assert lines == []
    assert point_tags(Immutable(), "app", other, ("latest", "sha"), lines.append, claimed="v1") == ()
    assert lines == [f"app:{tag} is immutable. It stays as it is." for tag in ("latest", "sha")]
    with pytest.raises(Conflict, match="app:v1"):
        point_tags(Immutable(), "app", other, ("v1", "latest"), lines.append, claimed="v1")


def test_a_build_gets_the_logins_that_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = ["own.example", "listed.example", "other.example", "https://index.docker.io/v1/"]
    auths = {host: {"auth": base64.b64encode(f"user:{host}".encode()).decode()} for host in hosts}
    (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with closing(Registry("own.example")) as own:
        assert permitted_login(own, (), "own.example") == ("user", "own.example")
        assert permitted_login(own, ("listed.example",), "listed.example") == ("user", "listed.example")
        assert permitted_login(own, ("listed.example",), "other.example") is None
        assert permitted_login(own, (), "registry-1.docker.io") is None
        assert permitted_login(own, ("docker.io",), "registry-1.docker.io") == ("user", "https://index.docker.io/v1/")


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{free_port()}")


def target_of(source: Path, node_version: str = "20") -> Target:
    sha = repositories.head(source)
    return Target(environment="production", sha=sha, tag=f"prod-{sha[:7]}", node_version=node_version)


def publish(
    image: ImageSpec, target: Target, source: Path, host: str, work: Path, log: Callable[[str], None] = lambda _: None
) -> str:
    with asking(host) as registry, checkout(git.Remote(str(source)), target.sha, work) as commit:
        return build_and_push(image, target, commit, registry, Options(60), log)


@contextmanager
def asking(host: str) -> Iterator[Registry]:
    with closing(Registry(host, timeout=10)) as registry:
        yield registry


def files_of(images: sandbox.Registry, repository: str, digest: str) -> dict[str, bytes]:
    """The files of an image by path, all its layers together."""
    found = {}
    for layer in images.manifest(repository, digest)["layers"]:
        with tarfile.open(fileobj=io.BytesIO(images.blob(repository, layer["digest"]))) as archive:
            found |= {each.name: archive.extractfile(each).read() for each in archive if each.isreg()}
    return found
