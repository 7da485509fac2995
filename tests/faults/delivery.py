"""The rows of git, the registry, GitHub and Prefect's server, with limits of a second or two for each call.

Git and the registry are the real programs; GitHub and Prefect's server are stand-ins.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from fastapi import FastAPI
from prefect.settings import PREFECT_API_REQUEST_TIMEOUT, PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES
from prefect.settings.context import temporary_settings
from pydantic import SecretStr

from tasks import last_good
from tasks.core.errors import DeliveryError, Retryable
from tasks.core.git import Remote
from tasks.core.gitops import writer
from tasks.core.gitops.repository import GitOps
from tasks.core.gitprovider.github import GitHub
from tasks.core.models import ImageUpdate
from tasks.core.registry.oci import Registry
from tasks.dispatch import emit
from tasks.runtime.retries import RETRIES
from tests.faults.proxy import Proxy, faulty
from tests.sandbox import github, repositories
from tests.sandbox.gitops_files import APP, REGISTRY
from tests.sandbox.in_process import served
from tests.sandbox.registry import registry

NAME = "acme/devops"
TOKEN = "a-secret-token"
UPDATE = ImageUpdate(environment="dev", tag="v1", workflow_run_id="a-run")

T = TypeVar("T")


def _as_a_task(call: Callable[[], T]) -> T:
    """Make a call by the tasks' rule, without its pauses: only what is retryable is tried again, so often."""
    for _ in range(RETRIES["retries"]):
        try:
            return call()
        except Retryable:
            continue
    return call()


@contextmanager
def _on_github() -> Iterator[tuple[github.GitHub, Path]]:
    with TemporaryDirectory() as folder:
        bare = repositories.gitops_repository(Path(folder, "devops.git"))
        with github.github({NAME: bare}, token=TOKEN) as hub:
            yield hub, bare


def _write(proxy: Proxy) -> str:
    with _on_github() as (hub, bare), TemporaryDirectory() as work:
        before = len(repositories.log(bare))
        try:
            with faulty(hub.url, proxy) as url:
                remote = Remote(f"{url}/{NAME}.git", SecretStr(TOKEN), timeout=2)
                where = GitOps(remote, "main", f"{APP}/overlays", Path(work))
                result = _as_a_task(lambda: writer.write(where, UPDATE, REGISTRY, lambda _: None))
        finally:
            proxy.left = f"commits: {len(repositories.log(bare)) - before}"
    return f"{'changed' if result.changed else 'unchanged'}: "


def fetch(proxy: Proxy) -> str:
    """Update an overlay; every call of a fetch is hit."""
    proxy.hits = lambda _, path: "upload-pack" in path
    return _write(proxy)


def push(proxy: Proxy) -> str:
    """Update an overlay; the call that brings the commit is hit."""
    proxy.hits = lambda _, path: path.endswith("/git-receive-pack")
    return _write(proxy)


@contextmanager
def _registry(proxy: Proxy) -> Iterator[tuple[Registry, str]]:
    with TemporaryDirectory() as folder, registry(Path(folder)) as real:
        digest = real.push("ui", "v1")
        try:
            with (
                faulty(real.url, proxy) as url,
                closing(Registry(url.removeprefix("http://"), timeout=1)) as client,
            ):
                yield client, digest
        finally:
            proxy.left = f"tags: {' '.join(real.tags('ui'))}"


def digest(proxy: Proxy) -> str:
    """Read the digest of a tag; every call for it is hit."""
    proxy.hits = lambda _, path: "/manifests/" in path
    with _registry(proxy) as (client, _):
        found = _as_a_task(lambda: client.digest("ui", "v1"))
    return f"found: {found}" if found else "absent: "


def add_tag(proxy: Proxy) -> str:
    """Tag an image as latest; that call is hit."""
    proxy.hits = lambda method, _: method == "PUT"
    with _registry(proxy) as (client, digest):
        _as_a_task(lambda: client.add_tag("ui", digest, "latest"))
    return "tagged: "


def dispatch(proxy: Proxy) -> str:
    """Dispatch an update; what arrives twice is written once."""
    with _on_github() as (hub, _):
        try:
            with faulty(hub.url, proxy) as url:
                _as_a_task(lambda: GitHub(NAME, SecretStr(TOKEN), url, timeout=1).dispatch(UPDATE))
        finally:
            proxy.left = f"dispatches: {len(hub.dispatches)}"
    return "sent: "


def status(proxy: Proxy) -> str:
    """Show a deployment on GitHub, once: what goes wrong is logged, and fails nothing."""
    with _on_github() as (hub, bare), faulty(hub.url, proxy) as url:
        head = repositories.head(bare) or ""
        try:
            GitHub(NAME, SecretStr(TOKEN), url, timeout=1).show(head, "dev", "success", "deployed", "")
        except DeliveryError as error:
            return f"logged: GitHub does not show it: {error.message}"
    return "shown: "


def _on_prefect(proxy: Proxy, call: Callable[[], T], events: dict[str, dict[str, Any]]) -> T:
    """Make a call to a stand-in that takes events, by their ids, and knows one variable."""
    api = FastAPI()

    @api.post("/api/events", status_code=204)
    def take(sent: list[dict[str, Any]]) -> None:
        events.update((each["id"], each) for each in sent)

    @api.get("/api/variables/name/{name}")
    def variable(name: str) -> dict[str, Any]:
        times = dict.fromkeys(("created", "updated"), "2026-01-01T00:00:00Z")
        return {"id": "00000000-0000-4000-8000-000000000000", "name": name, "value": None, "tags": [], **times}

    with served(api) as good, faulty(good, proxy) as url:
        limits = {PREFECT_API_REQUEST_TIMEOUT: 1, PREFECT_CLIENT_MAX_RETRIES: 0}
        with temporary_settings({PREFECT_API_URL: f"{url}/api", **limits}):
            return _as_a_task(call)


def event(proxy: Proxy) -> str:
    """Send an update as Prefect's event; sent twice, it is one event."""
    proxy.hits = lambda method, _: method == "POST"
    events: dict[str, dict[str, Any]] = {}
    try:
        _on_prefect(proxy, lambda: emit(UPDATE), events)
    finally:
        proxy.left = f"events: {len(events)}"
    return "sent: "


def variable(proxy: Proxy) -> str:
    """Read the last good deployment, which is a variable."""
    return f"read: {_on_prefect(proxy, lambda: last_good.last_good('dev'), {})}"


ROWS = {
    "git, fetching": fetch,
    "git, pushing": push,
    "registry, digest of a tag": digest,
    "registry, adding a tag": add_tag,
    "GitHub, dispatch": dispatch,
    "GitHub, status": status,
    "Prefect, event": event,
    "Prefect, variable": variable,
}
