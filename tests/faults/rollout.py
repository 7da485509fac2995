"""The rows of Argo CD and of an environment's endpoint, with short limits: 4 seconds for a rollout, 1 for a call."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from fastapi import FastAPI
from pydantic import SecretStr

from tasks.core.models import ImageRef
from tasks.core.rollout.argocd import ArgoCD
from tasks.core.rollout.goal import Goal
from tasks.core.rollout.health import check_endpoint
from tasks.core.rollout.watch import Patience, wait_for_rollout
from tests.faults.proxy import Proxy, faulty
from tests.sandbox.argocd import argocd
from tests.sandbox.argocd_controller import Application
from tests.sandbox.in_process import served

OLD, PUSHED = "1" * 40, "2" * 40


class Commits:
    """Two commits, one after the other."""

    def contains(self, revision: str) -> bool:
        return revision == PUSHED

    def follows(self, revision: str) -> bool:
        return revision == OLD

    def keeps(self, revision: str) -> bool:
        return revision == PUSHED


@contextmanager
def _behind(proxy: Proxy, *, auto_sync: bool) -> Iterator[ArgoCD]:
    branch = [OLD]
    app = Application("flowise-dev", lambda: branch[-1], lambda sha: [f"ui@sha256:{sha}"], auto_sync=auto_sync)
    with (
        argocd(app) as argo,
        faulty(argo.url, proxy) as url,
        closing(ArgoCD(url, SecretStr(argo.token), timeout=1, refresh_timeout=1)) as client,
    ):
        branch.append(PUSHED)
        try:
            yield client
        finally:
            proxy.left = f"syncs asked for: {len(argo.syncs)}"


def _roll_out(proxy: Proxy, *, auto_sync: bool) -> str:
    goal = Goal(PUSHED, [ImageRef("ui", "ui", digest=f"sha256:{PUSHED}")], Commits())
    with _behind(proxy, auto_sync=auto_sync) as argo:
        found = wait_for_rollout(argo, "flowise-dev", goal, Patience(4, 0.1, 1), lambda _: None)
    return f"{found.status}: {found.message}"


def look(proxy: Proxy) -> str:
    """Wait for a rollout; every call is hit."""
    return _roll_out(proxy, auto_sync=True)


def sync(proxy: Proxy) -> str:
    """Wait for a rollout that has to ask for its sync; that call is hit."""
    proxy.hits = lambda method, _: method == "POST"
    return _roll_out(proxy, auto_sync=False)


def endpoint(proxy: Proxy) -> str:
    """Check an environment's endpoint, three times at most."""
    api = FastAPI()
    api.get("/api/v1/ping")(lambda: "pong")
    with served(api) as good, faulty(good, proxy) as url:
        return f"healthy: {check_endpoint(url, '/api/v1/ping', 3, 0.1, lambda _: None, 1)}"


ROWS = {"Argo CD, looking": look, "Argo CD, asking for a sync": sync, "endpoint": endpoint}
