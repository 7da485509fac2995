"""Layers that another machine has built come from the registry, be it open or not."""

import base64
import json
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.core.conftest import SHELL
from tests.sandbox.optional import optional
from tests.sandbox.private_engine import PrivateEngine
from tests.sandbox.registry import Registry, registry
from tests.sandbox.services import starts

USER, PASSWORD = "builder", "password-of-the-builder"


@pytest.fixture
@starts("registry")
def fresh(tmp_path: Path):
    with optional(registry(tmp_path / "fresh")) as running:
        yield running


@pytest.fixture
@starts("registry")
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with optional(registry(tmp_path / "guarded", users={USER: PASSWORD})) as running:
        auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        (tmp_path / "config.json").write_text(json.dumps({"auths": {running.host: {"auth": auth}}}))
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        yield running


def cached(lines: list[str]) -> list[str]:
    return [line.split("RUN ")[1] for line in lines if " CACHED " in line and "RUN " in line]


@pytest.mark.parametrize("kind", ["fresh", "closed"])
def test_a_fresh_engine_builds_only_what_changed(
    kind: str, request: pytest.FixtureRequest, private: PrivateEngine, deliver: Callable[..., str]
) -> None:
    there: Registry = request.getfixturevalue(kind)
    nonce = secrets.token_hex(4)
    # The stage "work" is in no image; its result is in the last layer.
    dockerfile = f"{SHELL}RUN echo {nonce} > /base\nFROM base AS work\nRUN echo {{}} > /made\n"
    dockerfile += "FROM base\nRUN echo dependencies > /dependencies\nCOPY --from=work /made /made\n"
    first: list[str] = []
    deliver(dockerfile.format("one"), there.host, first.append)
    assert cached(first) == []
    assert not any("importing cache" in line for line in first)  # there was nothing to look into

    private.empty()
    again: list[str] = []
    digest = deliver(dockerfile.format("two"), there.host, again.append)
    assert set(cached(again)) == {f"echo {nonce} > /base", "echo dependencies > /dependencies"}
    assert there.digest("app", "latest") == digest

    private.empty()
    same: list[str] = []
    deliver(dockerfile.format("two"), there.host, same.append)
    assert "echo two > /made" in cached(same)  # though its stage is in no image: nothing after it has changed
    assert not any(PASSWORD in line for line in first + again + same)


def timeless(config: dict) -> dict:
    """An image's config without the times: Docker 28's overlay2 gives imported steps the time of their import."""
    history = [{key: value for key, value in step.items() if key != "created"} for step in config["history"]]
    return {**config, "created": "", "history": history}


def test_the_same_image_again(private: PrivateEngine, fresh: Registry, deliver: Callable) -> None:
    """What is kept for others is in an image of its own, and changes nothing in the one that is deployed."""
    dockerfile = f"{SHELL}RUN echo base > /base\nENV A=b\nCMD true\n"
    deliver(dockerfile, fresh.host)
    first = fresh.config("app", "latest")
    assert "moby.buildkit.cache.v0" not in fresh.config("app", "latest")
    assert "moby.buildkit.cache.v0" in fresh.config("app", "buildcache")
    layers = [layer["digest"] for layer in fresh.manifest("app", "latest")["layers"]]
    assert layers == [layer["digest"] for layer in fresh.manifest("app", "buildcache")["layers"]]
    assert fresh.config("app", "latest")["config"]["Cmd"][-1] == "true"
    deliver(dockerfile + "LABEL other=one\n", fresh.host)  # another image's cache is then looked into
    deliver(dockerfile, fresh.host)
    assert timeless(fresh.config("app", "latest")) == timeless(first)
    assert layers == [layer["digest"] for layer in fresh.manifest("app", "latest")["layers"]]


def test_without_that_image_nothing_is_cached(private: PrivateEngine, fresh: Registry, deliver: Callable) -> None:
    """The test above would otherwise see what the engine kept."""
    dockerfile = f"{SHELL}RUN echo base > /base\n"
    deliver(dockerfile, fresh.host)
    for tag in ("buildcache", "latest"):
        fresh.delete("app", fresh.digest("app", tag))
    private.empty()
    lines: list[str] = []
    deliver(dockerfile, fresh.host, lines.append)
    assert cached(lines) == []


def test_a_base_image_from_a_private_registry(private: PrivateEngine, closed: Registry, deliver: Callable) -> None:
    deliver(f"{SHELL}RUN echo base > /base\n", closed.host)
    base = f"{closed.host}/app@{closed.digest('app', 'latest')}"
    private.empty()
    deliver(f'FROM {base}\nRUN ["/bin/busybox", "test", "-e", "/base"]\nLABEL on=top\n', closed.host)
    assert closed.config("app", "latest")["config"]["Labels"] == {"on": "top"}
