"""Nothing is built that exists: by commit in Prefect's cache, by inputs in the registry, by one run of two at once."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from flows import deploy_to_k8s
from tasks.core import git as core_git
from tasks.core.errors import InvalidInput, Unavailable
from tests.flows.conftest import Installation
from tests.sandbox.ecr import Ecr
from tests.sandbox.in_process import served
from tests.sandbox.optional import optional
from tests.sandbox.processes import free_port
from tests.sandbox.registry import Registry, registry
from tests.sandbox.repositories import commit, show
from tests.sandbox.services import starts
from tests.sandbox.until import until

DEV = "argocd/apps/flowise/overlays/dev/kustomization.yaml"
ONE_LINE = "from flows import deploy_to_k8s as d; print(d(environment='{}', ref='main').model_dump_json())"
NAMES = ("flowise-server", "flowise-ui")


@pytest.fixture
def fresh(installation: Installation) -> Installation:
    """A source whose images nobody has built: the registry and Prefect's results are shared."""
    change(installation, {"packages/components/src/id.ts": f"// {installation.source}\n"})
    return installation


def change(installation: Installation, files: dict[str, str | None]) -> str:
    return commit(installation.source, "main", files, "feat: something else")


def inputs(images: Registry, name: str, digest: str) -> list[str]:
    """The tags that name what an image was made of: several, where other inputs made the same bytes."""
    return [tag for tag in images.tags(name) if tag.startswith("inputs-") and images.digest(name, tag) == digest]


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """From the call on, whoever wants to build fails."""
    return lambda: monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{free_port()}")


@pytest.fixture
def no_cache(tmp_path: Path) -> Iterator[Any]:
    """As on a machine that has not got Prefect's results."""
    return lambda: temporary_settings({PREFECT_LOCAL_STORAGE_PATH: tmp_path / "elsewhere"})


def test_a_commit_that_changes_no_image_builds_none(fresh: Installation, no_engine: Any) -> None:
    first = deploy_to_k8s(environment="dev", ref="main")
    assert (first.server.built, first.server.reused) == (True, "")
    sha = change(fresh, {"docs/guide.md": "# Another guide\n", ".github/workflows/ci.yml": "on: push\n"})
    no_engine()
    second = deploy_to_k8s(environment="dev", ref="main")

    assert second.sha == sha
    for name, before, image in zip(NAMES, (first.server, first.ui), (second.server, second.ui), strict=True):
        assert not image.built
        assert image.reused.removeprefix("same inputs as ") in inputs(fresh.images, name, before.digest)
        assert image.digest == before.digest
        assert image.uri.endswith(f"/{name}:{sha[:7]}")
        assert {fresh.images.digest(name, tag) for tag in (sha[:7], sha, "latest")} == {before.digest}
    artifact = fresh.ask("artifacts/latest/filter", {"artifacts": {"key": {"any_": ["deploy-dev"]}}})[0]["data"]
    assert artifact.replace("\\", "").count("same inputs as inputs-v2-") == 2

    build = until(lambda: [run for run in fresh.task_runs() if run["name"] == f"build-server {sha[:7]}"])[0]
    assert build["state_name"] == "Skipped", "it looks as if it had done nothing"
    assert build["state"]["message"].startswith("Not built: same inputs as ")

    third = deploy_to_k8s(environment="dev", ref="main")
    assert third.server.reused == second.server.reused, "remembered for the commit"
    with pytest.raises(Unavailable, match="No Docker Engine"):
        change(fresh, {"packages/server/src/index.ts": "app.get('/', other)\n"})
        deploy_to_k8s(environment="dev", ref="main")


def test_the_same_commit_is_cached_without_a_checkout(fresh: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    first = deploy_to_k8s(environment="dev", ref="main")
    run = fresh.ask("flow_runs/filter", {"sort": "START_TIME_DESC", "flows": {"name": {"any_": ["deploy-to-k8s"]}}})[0]
    monkeypatch.setattr(core_git, "fetch_commit", None)  # nobody may call it
    second = deploy_to_k8s(environment="staging", ref="main")
    assert (second.server.built, second.server.reused) == (False, f"same commit, built by run {run['id']}")
    assert second.server.digest == first.server.digest


def test_a_lost_cache_is_no_reason_to_build(fresh: Installation, no_engine: Any, no_cache: Any) -> None:
    first = deploy_to_k8s(environment="dev", ref="main")
    no_engine()
    with no_cache():
        second = deploy_to_k8s(environment="dev", ref="main")
    assert (second.server.digest, second.ui.digest) == (first.server.digest, first.ui.digest)
    assert second.ui.reused.startswith("same inputs as inputs-v2-")


KILLED = """
import os, threading, tasks.core.build.publish
both = threading.Barrier(2)
def die(*_, **__):
    both.wait()
    os._exit(9)
tasks.core.build.publish.point_tags = die
"""
"""A run that ends when both images are pushed, before it can say so."""


def test_what_was_pushed_by_a_killed_run_is_not_built_again(fresh: Installation, no_engine: Any) -> None:
    before = fresh.images.tags("flowise-ui")
    assert fresh.run("-c", KILLED + ONE_LINE.format("dev")).returncode == 9
    (pushed,) = set(fresh.images.tags("flowise-ui")) - {*before, "buildcache"}
    no_engine()
    result = deploy_to_k8s(environment="dev", ref="main")
    assert result.ui.reused == f"same inputs as {pushed}"
    assert result.ui.digest == fresh.images.digest("flowise-ui", result.sha)


def test_force_builds_and_the_inputs_mean_what_was_built_last(fresh: Installation) -> None:
    first = deploy_to_k8s(environment="dev", ref="main")
    tags = inputs(fresh.images, "flowise-ui", first.ui.digest)
    for tag in tags:
        fresh.images.push("flowise-ui", tag, note="an image that should be replaced")
    forced = deploy_to_k8s(environment="dev", ref="main", force=True)
    assert (forced.ui.built, forced.ui.reused) == (True, "")
    assert forced.ui.digest in {fresh.images.digest("flowise-ui", tag) for tag in tags}


PATHS = {
    "server": {"paths": ["tools", "packages/components", "packages/server", "docs/keep.md"]},
    "ui": {"paths": ["tools", "packages/ui", "docs/keep.md"], "build_args": {"EDITION": "full"}},
}


def test_only_the_image_whose_paths_changed_is_built(fresh: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGES", json.dumps(PATHS))
    change(fresh, {"packages/ui/public/id.txt": str(fresh.source)})
    first = deploy_to_k8s(environment="dev", ref="main")
    change(fresh, {"packages/ui/public/index.html": "<!doctype html><title>Anew</title>\n", "turbo.json": "{}\n"})
    second = deploy_to_k8s(environment="dev", ref="main")
    assert (first.server.built, first.ui.built) == (True, True)
    assert (second.server.built, second.ui.built) == (False, True)
    assert second.server.digest == first.server.digest


def test_other_descriptions_make_other_images(fresh: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "server.Dockerfile": "FROM scratch\nARG EDITION NODE_VERSION\nLABEL made=$EDITION-$NODE_VERSION\nCOPY a /\n"
    }
    sha = change(fresh, {f"images/{name}": text for name, text in {**files, "a": str(fresh.source)}.items()})
    deploy_to_k8s(environment="dev", ref="main")
    server = {"name": "acme/flowise", "manifest_name": "flowise-server", "context": "images"}
    server["dockerfile"] = "server.Dockerfile"
    monkeypatch.setenv("IMAGES", json.dumps({"server": {**server, "build_args": {"EDITION": "full"}}}))
    result = deploy_to_k8s(environment="dev", ref="main")

    assert result.server.built, "not what Prefect remembers of the commit's other image"
    assert not result.ui.built
    assert result.server.repository == "acme/flowise"
    assert fresh.images.config("acme/flowise", sha)["config"]["Labels"] == {"made": "full-20"}
    assert str(result.update.images[0]) == f"{fresh.images.host}/acme/flowise@{result.server.digest}"
    assert result.server.digest in show(fresh.gitops, "main", DEV)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            {"ui": {"secrets": ["npmrc"]}},
            r"IMAGES\.ui: .*secrets is no field of an image. Set BUILDER=buildx",
        ),
        ({"ui": {"build_args": {"NODE_VERSION": "hunter2"}}}, r"NODE_VERSION is given by each run"),
        ({"ui": {"platforms": ["linux/amd64", "linux/arm64"]}}, r"Write platform with commas"),
    ],
)
def test_what_is_not_supported_is_said(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, said: dict, words: str
) -> None:
    monkeypatch.setenv("IMAGES", json.dumps(said))
    with pytest.raises(InvalidInput, match=words) as caught:
        deploy_to_k8s(environment="dev", ref="main")
    assert "hunter2" not in f"{caught.value}"


def test_a_build_secret_is_refused_before_the_build(fresh: Installation, no_engine: Any) -> None:
    text = "FROM scratch\nRUN --mount=type=secret,id=npmrc npm ci\n"
    change(fresh, {f"packages/{part}/Dockerfile": text for part in ("server", "ui")})
    no_engine()
    with pytest.raises(
        InvalidInput, match=r"server/Dockerfile:2 of flowise-server asks for RUN --mount=type=secret, and"
    ) as caught:
        deploy_to_k8s(environment="dev", ref="main")
    assert "Set BUILDER=buildx and BUILD_SECRETS=npmrc=" in caught.value.hint


@pytest.fixture
@starts("registry")
def pushes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict]]:
    """What a registry of its own says was pushed: manifests, by whom and under which tag."""
    app, seen = FastAPI(), list[dict]()

    @app.post("/")
    async def notified(request: Request) -> None:
        for event in json.loads(await request.body())["events"]:
            if event["action"] == "push" and "manifest" in event["target"]["mediaType"]:
                seen.append({**event["target"], "by": event["request"]["useragent"].split("/")[0]})

    with served(app) as url, optional(registry(tmp_path / "watched", notify=url)) as watched:
        monkeypatch.setenv("ECR_REGISTRY", watched.host)
        yield seen


SLOW = 'FROM scratch\nCOPY tools/busybox /busybox\nCOPY packages/components /c\nRUN ["/busybox", "sleep", "6"]\n'


def test_two_runs_of_one_commit_at_once_build_once(fresh: Installation, pushes: list[dict]) -> None:
    sha = change(fresh, {f"packages/{part}/Dockerfile": SLOW for part in ("server", "ui")})
    with ThreadPoolExecutor(2) as processes:
        runs = list(processes.map(lambda place: fresh.run("-c", ONE_LINE.format(place)), ("dev", "staging")))
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr + runs[1].stderr
    results = [json.loads(run.stdout) for run in runs]

    for part, name in zip(("server", "ui"), NAMES, strict=True):
        assert at_once(fresh, f"build-{part} {sha[:7]}"), "the case is one"
        assert sorted(result[part]["built"] for result in results) == [False, True]
        assert len({result[part]["digest"] for result in results}) == 1
        until(lambda name=name: pushed(pushes, name) >= {("latest", "python-httpx"), (sha, "python-httpx")})
        by_docker = {tag for tag, by in pushed(pushes, name) if by == "docker"} - {"buildcache"}
        assert len(by_docker) == 1, "and the rest is tags for what is there"


def pushed(pushes: list[dict], name: str) -> set[tuple[str, str]]:
    """The tags of a repository, each with who pushed it."""
    return {(each["tag"], each["by"]) for each in pushes if each["repository"] == name}


def at_once(installation: Installation, name: str) -> bool:
    """Whether both runs of a task ran at the same time, as Prefect has it."""
    runs = [run for run in installation.task_runs() if run["name"] == name]
    assert len(runs) == 2
    starts, ends = ([datetime.fromisoformat(run[when]) for run in runs] for when in ("start_time", "end_time"))
    return max(starts) < min(ends)


def test_immutable_tags_and_a_lost_cache_are_no_conflict(fresh: Installation, on_amazon: Ecr, no_cache: Any) -> None:
    on_amazon.create(*NAMES, immutable=True)
    first = deploy_to_k8s(environment="dev", ref="main")
    with no_cache():
        again = deploy_to_k8s(environment="dev", ref="main")
    sha = change(fresh, {"docs/guide.md": "# Another guide\n"})
    later = deploy_to_k8s(environment="dev", ref="main")
    assert first.ui.built
    assert [again.ui.digest, later.ui.digest] == [first.ui.digest] * 2
    assert later.ui.tags == (sha[:7], "latest", sha)
    said = on_amazon.client.describe_images(repositoryName="flowise-ui")["imageDetails"]
    images = {image["imageDigest"] for image in said if image.get("imageTags") != ["buildcache"]}
    assert images == {first.ui.digest}
