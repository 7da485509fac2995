"""What goes wrong for people: each failure names the thing and the way out, and leaves everything as it was."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.exceptions import ParameterTypeError

from flows import deploy_to_k8s, update_flowise_deployment
from tasks.core.errors import AccessDenied, BuildFailed, DeliveryError, InvalidInput, NotFound, Unavailable
from tests.conftest import PASSWORD, USER
from tests.flows.conftest import Installation
from tests.sandbox.processes import free_port
from tests.sandbox.registry import Registry
from tests.sandbox.repositories import commit, head, init, log

OVERLAY = "argocd/apps/flowise/overlays/dev"
GOOD = "sha256:" + "a" * 64


@pytest.fixture(autouse=True)
def _nothing_is_written(installation: Installation) -> Iterator[None]:
    yield
    assert not [each for each in log(installation.gitops) if each["subject"].startswith("chore(")]


def fails(kind: type[DeliveryError], *words: str, **parameters: object) -> DeliveryError:
    """The first flow must fail with this error, and the error must say these words."""
    with pytest.raises(kind) as caught:
        deploy_to_k8s(**parameters)
    for word in words:
        assert word in str(caught.value)
    assert caught.value.hint
    return caught.value


def test_an_unknown_environment(installation: Installation) -> None:
    with pytest.raises(ParameterTypeError, match="'dev', 'staging' or 'production'"):
        deploy_to_k8s(environment="prod")


@pytest.mark.parametrize("ref", ["nope", "0" * 40, "abc1234", "v9"])
def test_a_ref_that_is_not_there(installation: Installation, ref: str) -> None:
    fails(NotFound, ref, ref=ref)


@pytest.mark.parametrize("ref", ["", "-x", "--upload-pack=touch /tmp/x", "a b", "x\ny", "a" * 300, "x:y"])
def test_a_ref_that_the_form_refuses(installation: Installation, ref: str) -> None:
    with pytest.raises(ParameterTypeError, match="ref: String should match"):
        deploy_to_k8s(ref=ref)


@pytest.mark.parametrize("ref", ["a..b", "@{1}", "main\n"])
def test_a_ref_that_cannot_be_one(installation: Installation, ref: str) -> None:
    with pytest.raises((InvalidInput, ParameterTypeError), match=r"is not a branch, tag or commit|String should match"):
        deploy_to_k8s(ref=ref)


@pytest.mark.parametrize("version", ["v 1", "v1/2", "-v1", "é", "v" * 130, "v1\n"])
def test_a_tag_version_that_makes_no_tag(installation: Installation, version: str) -> None:
    with pytest.raises((InvalidInput, ParameterTypeError), match="tag_version"):
        deploy_to_k8s(tag_version=version)


def test_a_missing_dockerfile(installation: Installation, docker_host: str) -> None:
    commit(installation.source, "main", {"packages/ui/Dockerfile": None}, "build: lose a Dockerfile")
    fails(NotFound, "packages/ui/Dockerfile", "flowise-ui")


def test_a_failing_build_ends_with_its_own_last_lines(installation: Installation) -> None:
    files = {"packages/server/scripts.sh": "echo compiling; echo 'error TS2304: no such name' >&2; exit 3\n"}
    dockerfile = 'FROM scratch\nCOPY . /\nRUN ["/tools/busybox", "sh", "/packages/server/scripts.sh"]\n'
    commit(installation.source, "main", {**files, "packages/server/Dockerfile": dockerfile}, "feat: break it")
    error = fails(BuildFailed, "flowise-server", "scripts.sh", "exit code: 3", "error TS2304: no such name")
    assert len(str(error).splitlines()) < 30


@pytest.mark.parametrize("name", ["SOURCE_REPO", "GITOPS_REPO", "ECR_REGISTRY"])
def test_a_missing_setting(installation: Installation, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)
    fails(InvalidInput, f"{name} is not set")


def test_a_setting_that_cannot_be(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCH_VIA", "pigeon")
    fails(InvalidInput, "DISPATCH_VIA", "inline")


def test_a_registry_that_is_no_host(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECR_REGISTRY", "https://registry.example.com/")
    fails(InvalidInput, "ECR_REGISTRY", "without https://")


def test_an_engine_that_does_not_answer(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commit(installation.source, "main", {"x": str(tmp_path)}, "feat: not built yet")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    fails(Unavailable, "Docker Engine", "DOCKER_HOST")
    builds = [run for run in installation.task_runs() if run["name"].startswith("build-")]
    assert builds[0]["run_count"] == 4, "what may heal by itself is tried again"


def test_a_registry_that_does_not_answer(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    host = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("ECR_REGISTRY", host)
    fails(Unavailable, host, "ECR_REGISTRY")


def test_a_registry_that_wants_credentials(
    installation: Installation, guarded: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ECR_REGISTRY", guarded.host)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    def login(password: str) -> None:
        auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
        (tmp_path / "config.json").write_text(json.dumps({"auths": {guarded.host: {"auth": auth}}}))

    fails(AccessDenied, guarded.host, "docker login")
    login("wrong-password")
    error = fails(AccessDenied, guarded.host)
    assert "wrong-password" not in str(error)
    builds = [run for run in installation.task_runs() if run["name"].startswith("build-")]
    assert builds[0]["run_count"] == 1, "what is final is said at once"
    login(PASSWORD)
    monkeypatch.setenv("GITOPS_REPO", "nobody/nowhere")
    fails(InvalidInput, "needs a token", dispatch_via="repository-dispatch")
    assert guarded.tags("flowise-server"), "with the right password the images are there"


@pytest.mark.parametrize("name", ["SOURCE_REPO", "GITOPS_REPO"])
def test_a_repository_that_is_not_there(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv(name, str(tmp_path / "nowhere.git"))
    fails(NotFound, "nowhere.git")


@pytest.mark.parametrize("url", ["-x", "--upload-pack=x", "https://me:secret@example.com/x.git", "ext::sh -c id"])
def test_a_repository_that_cannot_be_one(installation: Installation, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("SOURCE_REPO", url)
    with pytest.raises(DeliveryError) as caught:
        deploy_to_k8s()
    assert "secret" not in str(caught.value)


def test_a_missing_branch_of_the_gitops_repository(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITOPS_BRANCH", "trunk")
    with pytest.raises(NotFound, match="trunk"):
        update_flowise_deployment("dev", "v1")


def test_an_empty_gitops_repository(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GITOPS_REPO", str(init(tmp_path / "empty.git")))
    with pytest.raises(NotFound, match="main"):
        update_flowise_deployment("dev", "v1")


def test_a_missing_overlay(installation: Installation) -> None:
    commit(installation.gitops, "main", {f"{OVERLAY}/kustomization.yaml": None}, "test: no dev any more")
    with pytest.raises(NotFound, match=f"{OVERLAY}/kustomization.yaml") as caught:
        update_flowise_deployment("dev", "v1")
    assert "staging" in caught.value.hint


@pytest.mark.parametrize(
    "text", ["- a\n- list\n", "images: [\n", "images: text\n", "a: 1\n---\nb: 2\n", "images:\n- just text\n"]
)
def test_a_broken_kustomization(installation: Installation, text: str) -> None:
    broken = commit(installation.gitops, "main", {f"{OVERLAY}/kustomization.yaml": text}, "test: break dev")
    with pytest.raises(InvalidInput, match=f"{OVERLAY}/kustomization.yaml"):
        update_flowise_deployment("dev", "v1", server_digest=GOOD)
    assert head(installation.gitops) == broken


@pytest.mark.parametrize(
    "bad",
    [
        {"tag": ""},
        {"tag": "-x"},
        {"tag": "a b"},
        {"tag": "v1\n"},
        {"tag": "x" * 129},
        {"environment": "../../etc"},
        {"environment": "dev\n"},
        {"sha": "main"},
        {"sha": "abc"},
        {"sha": "g" * 40},
        {"server_digest": "sha256:abc"},
        {"ui_digest": "md5:" + "a" * 64},
        {"server_digest": GOOD + "\n"},
        {"actor": "me\nSource SHA: 0000000"},
        {"actor": "me\u2028Tag: x"},
        {"actor": "x" * 10_000},
        {"workflow_run_id": "1\r\n2"},
    ],
)
def test_hostile_input_is_refused_before_anything_is_touched(installation: Installation, bad: dict[str, str]) -> None:
    with pytest.raises((InvalidInput, ParameterTypeError)) as caught:
        update_flowise_deployment(**{"environment": "dev", "tag": "v1", **bad})
    assert next(iter(bad)) in str(caught.value)
