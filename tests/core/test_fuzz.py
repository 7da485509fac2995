"""Whatever comes from outside: an answer of ours or one of our errors, and soon."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send

from tasks.core.build.buildkit import Progress
from tasks.core.build.dockerignore import Ignore
from tasks.core.errors import DeliveryError
from tasks.core.git.objects import entries
from tasks.core.gitops import commit_message
from tasks.core.kustomization import set_images
from tasks.core.models import ImageRef
from tasks.core.registry.docker_config import docker_login
from tasks.core.registry.oci import Registry
from tasks.core.rollout.argocd import ArgoCD
from tasks.core.rollout.health import check_now
from tasks.core.settings import Settings
from tasks.core.text import fenced, literal, one_line, plain
from tasks.core.triggers.webhook import Receiver
from tests.sandbox.examples import examples
from tests.sandbox.github_events import headers
from tests.sandbox.in_process import served

SOON = settings(max_examples=100, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
SECRET = "hush"
TEXT = st.text(max_size=300)
BYTES = st.binary(max_size=500)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))
ENTRIES = ("images:", "- name: flowise-server", "  newTag: x", "  digest: y", "kind: Kustomization", "---", "...")
SIGNS = (
    "&a",
    "*a",
    "<<: *a",
    "!!binary",
    "? ",
    "{",
    "}",
    "[",
    "]",
    "|",
    ">",
    "'",
    '"',
    "#",
    "\t",
    "\r",
    "  ",
    ":",
    "-",
)
PIECES = (*ENTRIES, *SIGNS)
YAMLISH = st.lists(st.sampled_from(PIECES) | TEXT, max_size=30).map("\n".join)
KEYS = st.sampled_from(["ref", "after", "commits", "repository", "client_payload", "action", "hook"])


def either(call: Callable[[], object]) -> None:
    """Call it; any error but one of ours goes on, and is a failure."""
    with suppress(DeliveryError):
        call()


@SOON
@given(YAMLISH | TEXT)
def test_kustomizations(text: str) -> None:
    either(lambda: set_images(text, [ImageRef("flowise-server", "r.example/flowise-server", "v1")]))


@SOON
@given(TEXT | st.text("*?[]!/\\#- \n", max_size=60), TEXT)
def test_ignore_files(text: str, path: str) -> None:
    either(lambda: Ignore(text).keeps(path))


@SOON
@given(TEXT | JSON.map(json.dumps))
def test_commit_messages(text: str) -> None:
    commit_message.parse(f"chore(dev): update flowise images to v1\n\n{text}")
    commit_message.parse(text)


@SOON
@given(BYTES)
def test_git_trees(tree: bytes) -> None:
    with suppress(DeliveryError, ValueError):  # git's own objects have its own checksum
        entries(tree)


@SOON
@given(BYTES)
def test_progress_of_builds(message: bytes) -> None:
    said: list[str] = []
    either(lambda: Progress(said.append).record(base64.b64encode(message).decode()))


@SOON
@given(JSON)
def test_docker_s_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: object) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"auths": config}))
    either(lambda: docker_login("r.example"))


@pytest.fixture(scope="module")
def decide() -> Callable[..., object]:
    """What the webhook receiver makes of a delivery."""
    values = {"source_repo": "a/b", "gitops_repo": "a/c", "github_webhook_secret": SecretStr(SECRET)}
    return Receiver(Settings(**values)).decide


@SOON
@given(st.sampled_from(["push", "repository_dispatch", "ping"]), JSON | st.dictionaries(KEYS, JSON))
def test_webhooks(decide: Callable[..., object], event: str, payload: object) -> None:
    body = json.dumps(payload).encode()
    either(lambda: decide(headers(event, body, SECRET, "2b7f6a30-0000-4000-8000-000000000000"), body))


@SOON
@given(BYTES)
def test_bodies_of_webhooks(decide: Callable[..., object], body: bytes) -> None:
    either(lambda: decide(headers("push", body, SECRET, "2b7f6a30-0000-4000-8000-000000000000"), body))


@SOON
@given(TEXT)
def test_foreign_text_is_shown_harmlessly(text: str) -> None:
    for shown in (one_line(text), literal(text)):
        assert shown.isprintable()
    assert all(each.isprintable() or each in "\n\t" for each in plain(text))
    fence = fenced(text).splitlines()[0].removesuffix("diff")
    assert all(fence not in line for line in fenced(text).splitlines()[1:-1])


@dataclass
class Stranger:
    """A server that answers whatever it is told to."""

    url: str = ""
    status: int = 200
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        """Answer."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


@pytest.fixture(scope="module")
def stranger() -> Iterator[Stranger]:
    """One such server, on loopback."""
    app = Stranger()

    async def lifespan_free(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await app(scope, receive, send)

    with served(lifespan_free) as url:
        app.url = url
        yield app


NAMES = (b"content-type", b"docker-content-digest", b"location", b"retry-after", b"www-authenticate", b"link")
VALUES = (b"", b"application/json", b"sha256:" + b"a" * 64, b"sha256:x", b"Bearer realm=", b"1e9", b"-1", b"/")
ANY_VALUE = st.sampled_from(VALUES) | st.text('abc=",;: /', max_size=40).map(str.encode)
HEADERS = st.lists(st.tuples(st.sampled_from(NAMES), ANY_VALUE), max_size=3)
STATUS = st.sampled_from([200, 201, 202, 206, 301, 307, 400, 401, 403, 404, 405, 409, 418, 429, 500, 503])
FIELDS = ("metadata", "spec", "status", "message", "errors")
WORDS = st.dictionaries(st.sampled_from(FIELDS), JSON)
BODY = BYTES | JSON.map(json.dumps).map(str.encode) | WORDS.map(json.dumps).map(str.encode)


def ask_registry(stranger: Stranger) -> Any:
    with closing(Registry(stranger.url.removeprefix("http://"), 2)) as registry:
        return registry.digest("flowise-server", "v1")


def ask_argo_cd(stranger: Stranger) -> Any:
    with closing(ArgoCD(stranger.url, SecretStr("t"), timeout=2)) as argo:
        return argo.application("flowise-dev", 2)


@pytest.mark.parametrize(
    "call",
    [ask_registry, ask_argo_cd, lambda stranger: check_now(stranger.url, "/", 2)],
    ids=["registry", "Argo CD", "endpoint"],
)
@settings(SOON, max_examples=examples(60))
@given(STATUS, HEADERS, BODY)
def test_answers_of_servers(
    stranger: Stranger, call: Callable[[Stranger], object], status: int, sent: list[tuple[bytes, bytes]], body: bytes
) -> None:
    stranger.status, stranger.headers, stranger.body = status, [*sent, (b"content-length", b"%d" % len(body))], body
    either(lambda: call(stranger))
