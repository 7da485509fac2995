"""Each part works, and leaves nothing behind."""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import docker
import httpx
import pytest
from docker.errors import BuildError
from starlette.responses import JSONResponse

from tasks.core.manifests.render import kustomize
from tests.conftest import PASSWORD, USER
from tests.sandbox.ecr import Ecr, ecr
from tests.sandbox.engine import answering, cached, engine
from tests.sandbox.github import GitHub
from tests.sandbox.optional import optional
from tests.sandbox.prefect_server import prefect_server
from tests.sandbox.processes import NotInstalled, SandboxError, running
from tests.sandbox.registry import Registry, registry
from tests.sandbox.repositories import (
    commit,
    git,
    git_environment,
    gitops_repository,
    head,
    init,
    log,
    show,
    source_repository,
)
from tests.sandbox.services import starts
from tests.sandbox.until import until

HUB = "acme/devops"


def left_in(folder: Path) -> list[str]:
    """Processes that work in a folder, and mounts in it."""
    commands = [
        process.joinpath("cmdline").read_text().replace("\0", " ")
        for process in Path("/proc").glob("[0-9]*")
        if _cwd(process).is_relative_to(folder)
    ]
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if str(folder) in line]
    return commands + mounts


def _cwd(process: Path) -> Path:
    try:
        return process.joinpath("cwd").readlink()
    except OSError:
        return Path()


def wait_until_gone(folder: Path) -> None:
    until(lambda: not left_in(folder), 20)


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> Iterator[None]:
    yield
    assert left_in(tmp_path) == []
    shutil.rmtree(tmp_path)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A history of two commits on ``main``; see ``commit``."""
    path = init(tmp_path / "bare.git")
    commit(path, "main", {"a.txt": "1\n"}, "first")
    commit(path, "main", {"a.txt": "2\n"}, "second\n\nwith a body")
    return path


@pytest.fixture
@starts("process")
def programs() -> None:
    """What a test starts by itself."""


@pytest.mark.usefixtures("programs")
class TestRunning:
    def test_a_server_that_ends_at_once_shows_the_end_of_its_log(self, tmp_path: Path) -> None:
        with (
            pytest.raises(SandboxError, match=r"code 3.*\n.*\nno such disk"),
            running(["sh", "-c", "echo no such disk; exit 3"], log=tmp_path / "log", ready=lambda: False),
        ):
            pass

    def test_a_server_that_never_gets_ready_is_given_up(self, tmp_path: Path) -> None:
        with (
            pytest.raises(SandboxError, match="wasn't ready after 0 s"),
            running(["sleep", "60"], log=tmp_path / "log", ready=lambda: False, timeout=0.2),
        ):
            pass

    def test_the_whole_group_ends_even_one_that_ignores_sigterm(self, tmp_path: Path) -> None:
        script = 'trap "" TERM; sleep 60 & echo up; wait; sleep 60'
        log = tmp_path / "log"
        with running(["sh", "-c", script], log=log, ready=lambda: "up" in log.read_text(), grace=0.2):
            assert len(left_in(tmp_path)) == 2
        assert left_in(tmp_path) == []

    def test_an_exception_in_the_block_ends_it_too(self, tmp_path: Path) -> None:
        with (
            pytest.raises(KeyboardInterrupt),
            running(["sleep", "60"], log=tmp_path / "log", ready=lambda: True),
        ):
            raise KeyboardInterrupt

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
    def test_it_does_not_outlive_the_python_that_started_it(self, tmp_path: Path, number: signal.Signals) -> None:
        script = (
            "import pathlib, time; from tests.sandbox.processes import running\n"
            f"log = pathlib.Path({str(tmp_path)!r}, 'log')\n"
            "with running(['sh', '-c', 'sleep 60 & wait'], log=log, ready=lambda: True):\n"
            "    print('up', flush=True); time.sleep(60)\n"
        )
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
            assert parent.stdout
            assert parent.stdout.readline() == b"up\n"
            assert left_in(tmp_path)
            parent.send_signal(number)
        wait_until_gone(tmp_path)


class TestRegistry:
    def test_a_push_is_seen_and_can_be_deleted(self, images: Registry) -> None:
        first, second = images.push("seen/app", "v1"), images.push("seen/app", "v2", "other")
        assert images.tags("seen/app") == ["v1", "v2"]
        assert (images.digest("seen/app", "v1"), images.digest("seen/app", "v2")) == (first, second)
        assert images.config("seen/app", "v2")["author"] == "other"
        images.delete("seen/app", first)
        assert images.tags("seen/app") == ["v2"]
        assert images.digest("seen/app", "v1") is None

    @pytest.mark.usefixtures("programs")
    def test_it_leaves_nothing_behind(self, tmp_path: Path) -> None:
        with optional(registry(tmp_path)) as reg:
            assert httpx.get(f"{reg.url}/v2/").is_success

    def test_users_need_their_password(self, guarded: Registry) -> None:
        assert httpx.get(f"{guarded.url}/v2/").status_code == 401
        assert httpx.get(f"{guarded.url}/v2/", auth=(USER, "wrong")).status_code == 401
        assert guarded.push("own/app", "v1") == guarded.digest("own/app", "v1")

    def test_without_the_program_it_says_what_to_install(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(NotInstalled, match="apt-get install docker-registry"), registry(tmp_path):
            pass


class TestRepositories:
    def test_commit_show_and_log(self, bare: Path) -> None:
        assert [each["subject"] for each in log(bare)] == ["second", "first"]
        assert log(bare)[0]["body"] == "with a body"
        assert show(bare, "main", "a.txt") == "2\n"
        gone = commit(bare, "main", {"a.txt": None, 'o"dd/ü.txt': "3\r\n"}, "third")
        assert head(bare) == gone
        assert show(bare, gone, 'o"dd/ü.txt') == "3\r\n"
        assert head(bare, "other") is None

    def test_the_source_repository_has_its_history(self, tmp_path: Path) -> None:
        path = source_repository(tmp_path / "source.git")
        assert len(log(path, "main")) == 3
        assert git(path, "cat-file", "-t", "v1.0.0") == b"tag\n"
        assert log(path, "v1.0.0")[0]["sha"] == log(path, "main")[1]["sha"] == log(path, "feature/agents")[1]["sha"]

    def test_the_same_content_gives_the_same_commits(self, tmp_path: Path) -> None:
        one, two = (gitops_repository(tmp_path / name) for name in ("one.git", "two.git"))
        assert head(one) == head(two)

    @pytest.mark.parametrize("environment", ["dev", "staging", "production"])
    def test_every_overlay_renders(self, tmp_path: Path, environment: str) -> None:
        path = gitops_repository(tmp_path / "ops.git")
        git(path, "worktree", "add", "--detach", str(tmp_path / "tree"), "main")
        overlay = tmp_path / "tree/argocd/apps/flowise/overlays" / environment
        rendered = subprocess.run([*kustomize(), overlay], capture_output=True, text=True, check=True)
        assert f"namespace: flowise-{environment}" in rendered.stdout
        assert rendered.stdout.count("image: 123456789012.dkr.ecr.") == 2


@pytest.mark.usefixtures("programs")
class TestPrefectServer:
    def test_it_answers_from_a_home_of_its_own(self, tmp_path: Path) -> None:
        with prefect_server(tmp_path) as server:
            assert httpx.get(f"{server.api_url}/health").json() is True
            assert "<html" in httpx.get(server.ui_url, headers={"Accept": "text/html"}, follow_redirects=True).text
            environment = server.environment()
        assert environment["PREFECT_API_URL"] == server.api_url
        assert (tmp_path / "prefect.db").exists()


class TestEngine:
    def test_it_builds_the_sample_and_pushes_it(self, docker_host: str, guarded: Registry, source: Path) -> None:
        with closing(docker.DockerClient(base_url=docker_host)) as client:
            name = f"{guarded.host}/sample/flowise-server"
            _build(client, _checkout(source), "server", name, "18")
            client.images.push(name, tag="v1", auth_config={"username": USER, "password": PASSWORD})
            client.images.remove(f"{name}:v1", force=True)
        assert guarded.tags("sample/flowise-server") == ["v1"]
        assert guarded.config("sample/flowise-server", "v1")["config"]["Env"][-1] == "NODE_ENV=production"

    def test_the_sample_does_not_build_without_its_dockerignore(self, docker_host: str, source: Path) -> None:
        sources = _checkout(source)
        (sources / ".dockerignore").unlink()
        with (
            closing(docker.DockerClient(base_url=docker_host)) as client,
            pytest.raises(BuildError, match=r"secret\.env"),
        ):
            _build(client, sources, "ui", "sandbox/flowise-ui", "20")

    @pytest.mark.usefixtures("programs")
    def test_it_leaves_nothing_behind(self, tmp_path: Path) -> None:
        with optional(engine(tmp_path / "engine")) as url:
            assert answering(url)

    def test_without_an_engine_it_says_what_to_install(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DOCKER_HOST", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr("tests.sandbox.engine.DEFAULT_SOCKET", f"unix://{tmp_path}/none.sock")
        with pytest.raises(NotInstalled, match=r"apt-get install docker\.io"), engine(tmp_path):
            pass

    def test_an_engine_that_was_there_keeps_its_cache_and_no_more(self, docker_host: str, tmp_path: Path) -> None:
        text = f"FROM scratch AS a\nCOPY . /{os.urandom(8).hex()}\nFROM a\nCOPY . /again\n".encode()
        file, tar = tarfile.TarInfo("Dockerfile"), io.BytesIO()
        file.size = len(text)
        with tarfile.open(fileobj=tar, mode="w") as archive:
            archive.addfile(file, io.BytesIO(text))
        with closing(docker.APIClient(base_url=docker_host, version="auto")) as client:
            before = cached(client)
            with engine(tmp_path):
                url = f"{client.base_url}/v{client.api_version}/build"
                client.post(url, params={"version": "2"}, data=tar.getvalue()).raise_for_status()
                assert cached(client) > before
            assert cached(client) == before

    def test_a_docker_host_that_does_not_answer_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
        with pytest.raises(SandboxError, match="DOCKER_HOST=unix://"), engine(tmp_path):
            pass


def _checkout(source: Path) -> Path:
    git(source, "worktree", "add", "--detach", str(source.parent / "sources"), "main")
    return source.parent / "sources"


def _build(client: docker.DockerClient, sources: Path, part: str, name: str, node: str) -> None:
    dockerfile, arguments = f"packages/{part}/Dockerfile", {"NODE_VERSION": node}
    client.images.build(path=str(sources), dockerfile=dockerfile, buildargs=arguments, tag=f"{name}:v1")


class TestEcr:
    def test_what_docker_pushes_is_what_describe_images_answers(self, amazon: Ecr, ecr_engine: str) -> None:
        with closing(docker.DockerClient(base_url=ecr_engine)) as client:
            amazon.create("flowise-server", immutable=True)
            first, error = _push(client, amazon, "flowise-server", b"one")
            assert error is None
            assert _described(amazon, "flowise-server", "v1") == first == amazon.images.digest("flowise-server", "v1")
            _, error = _push(client, amazon, "flowise-server", b"two")
            assert error
            assert error.endswith("cannot be overwritten because the tag is immutable.")
            assert _described(amazon, "flowise-server", "v1") == first

    def test_the_data_plane_keeps_the_control_planes_rules(self, amazon: Ecr) -> None:
        with httpx.Client(base_url=f"http://{amazon.registry}/v2/") as client:
            assert client.get("").status_code == 401
            client.auth = ("AWS", amazon.password())
            assert client.get("").status_code == 200
            unknown = client.get("flowise-ui/tags/list")
            assert (unknown.status_code, unknown.json()["errors"][0]["code"]) == (404, "NAME_UNKNOWN")

    def test_some_tags_of_an_immutable_repository_may_move(self, amazon: Ecr) -> None:
        with httpx.Client(auth=("AWS", amazon.password())) as client:
            amazon.create("flowise-ui", immutable=True, movable=("latest",))
            assert [_index(client, amazon, "latest", note) for note in ("a", "b")] == [201, 201]
            assert [_index(client, amazon, "v1", note) for note in ("a", "a", "b")] == [201, 201, 400]
            assert _described(amazon, "flowise-ui", "latest") == amazon.images.digest("flowise-ui", "latest")

    @pytest.mark.usefixtures("programs")
    def test_it_leaves_nothing_behind(self, tmp_path: Path) -> None:
        with optional(ecr(tmp_path)) as aws:
            assert aws.password()


def _push(client: docker.DockerClient, aws: Ecr, repository: str, content: bytes) -> tuple[str | None, str | None]:
    """Import an image with one file, push it as v1, and answer its digest or the error."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo("file")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    name = f"{aws.registry}/{repository}"
    client.api.import_image_from_data(archive.getvalue(), repository=name, tag="v1")
    login = {"username": "AWS", "password": aws.password()}
    last = list(client.images.push(name, tag="v1", auth_config=login, stream=True, decode=True))[-1]
    client.images.remove(f"{name}:v1", force=True)
    return last.get("aux", {}).get("Digest"), last.get("error")


def _index(client: httpx.Client, aws: Ecr, tag: str, note: str) -> int:
    """Push an index of nothing, which takes a single request; answer the status."""
    kind = "application/vnd.oci.image.index.v1+json"
    body = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": [], "annotations": {"note": note}})
    url = f"http://{aws.registry}/v2/flowise-ui/manifests/{tag}"
    return int(client.put(url, content=body, headers={"Content-Type": kind}).status_code)


def _described(aws: Ecr, repository: str, tag: str) -> str:
    images = aws.client.describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])
    return str(images["imageDetails"][0]["imageDigest"])


class TestGitHub:
    def test_a_dispatch_is_taken(self, hub: GitHub) -> None:
        assert _dispatch(hub, {"event_type": "flowise-image-updated", "client_payload": {"tag": "1"}}) == 204
        (taken,) = hub.dispatches
        assert (taken.repository, taken.client_payload) == (HUB, {"tag": "1"})

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ({"event_type": "e", "client_payload": {str(key): 0 for key in range(10)}}, 204),
            ({"event_type": "e", "client_payload": {str(key): 0 for key in range(11)}}, 422),
            ({"event_type": "e" * 100}, 204),
            ({"event_type": "e" * 101}, 422),
            ({"event_type": "e", "client_payload": {"x": "y" * 65536}}, 422),
            ({"event_type": "e", "client_payload": []}, 422),
            ({}, 422),
        ],
    )
    def test_the_documented_limits_hold(self, hub: GitHub, body: dict[str, object], status: int) -> None:
        assert _dispatch(hub, body) == status

    def test_who_may_not_dispatch_is_told_as_little_as_on_github(self, hub: GitHub) -> None:
        body = {"event_type": "e"}
        assert _dispatch(hub, body, token="wrong") == 401
        assert _dispatch(hub, body, token=hub.read_token) == 404
        assert _dispatch(hub, body, repository="acme/other") == 404
        hub.failures.append(JSONResponse({"message": "Server Error"}, 502))
        assert _dispatch(hub, body) == 502
        assert hub.dispatches == []

    def test_a_ref_is_resolved(self, hub: GitHub, gitops: Path) -> None:
        headers = {"Authorization": f"Bearer {hub.token}"}
        found = httpx.get(f"{hub.url}/repos/{HUB}/commits/main", headers=headers)
        assert found.json()["sha"] == head(gitops)
        assert httpx.get(f"{hub.url}/repos/{HUB}/commits/none", headers=headers).status_code == 422

    def test_clone_and_push_need_the_token(self, hub: GitHub, gitops: Path, tmp_path: Path) -> None:
        work = tmp_path / "work"
        assert _git(hub, "clone", hub.clone_url(HUB), work, token="wrong") != 0
        assert _git(hub, "clone", hub.clone_url(HUB), work, token=hub.read_token) == 0
        (work / "big.bin").write_bytes(os.urandom(3_000_000))  # more than git sends in one piece
        assert _git(hub, "-C", work, "add", ".") == 0
        assert _git(hub, "-C", work, "commit", "-m", "big") == 0
        assert _git(hub, "-C", work, "push", token=hub.read_token) != 0
        assert _git(hub, "-C", work, "push") == 0
        assert log(gitops)[0]["subject"] == "big"
        assert max(request.received for request in hub.requests) > 3_000_000

    def test_half_a_push_changes_nothing_and_leaves_nothing(self, hub: GitHub, gitops: Path, tmp_path: Path) -> None:
        before = head(gitops)
        address = httpx.URL(hub.url)
        login = httpx.BasicAuth("x", hub.token)._auth_header
        with socket.create_connection((address.host, address.port)) as client:
            line = f"POST /{HUB}.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nAuthorization: {login}\r\n"
            kind = "Content-Type: application/x-git-receive-pack-request\r\nContent-Length: 100000\r\n\r\n"
            client.sendall((line + kind + "0094").encode())
            time.sleep(0.2)
            assert "receive-pack" in "".join(left_in(tmp_path))
        wait_until_gone(tmp_path)
        assert head(gitops) == before


def _dispatch(hub: GitHub, body: Mapping[str, object], *, token: str = "", repository: str = HUB) -> int:
    headers = {"Authorization": f"Bearer {token or hub.token}"}
    return httpx.post(f"{hub.url}/repos/{repository}/dispatches", json=body, headers=headers).status_code


def _git(hub: GitHub, *arguments: str | Path, token: str = "") -> int:
    askpass = f"!f() {{ echo username=x; echo password={token or hub.token}; }}; f"
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    command = ["git", "-c", f"credential.helper={askpass}", *who, *arguments]
    return subprocess.run(command, env=git_environment(), capture_output=True, check=False).returncode
