"""What `make ui` has beside the pipeline: stand-ins for Argo CD and for dev's endpoint, and the board."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from fastapi import FastAPI, Response

from tasks.core.models import ENVIRONMENTS
from tests.sandbox.argocd import argocd
from tests.sandbox.argocd_controller import follow
from tests.sandbox.in_process import served
from tests.sandbox.processes import answers, free_port, running
from tests.sandbox.stage import Stage

PROJECT = Path(__file__).parents[2]
TRIES = 3
"""How often an endpoint is asked after a deployment."""


@contextmanager
def cluster(here: Stage, broken: Path) -> Iterator[dict[str, str]]:
    """Start them, and yield the settings that make runs use them.

    Args:
        here: the pipeline.
        broken: when this file is there, dev's endpoint fails a deployment's check, and works again after that.
    """
    api, failed = FastAPI(), count(1)

    @api.get("/api/v1/ping")
    def ping() -> Response:
        if not broken.exists():
            return Response("pong")
        if next(failed) % TRIES == 0:
            broken.unlink()
        return Response("broken", 503)

    with ExitStack() as parts:
        argo = parts.enter_context(argocd(*(follow(here.gitops, environment) for environment in ENVIRONMENTS)))
        yield {
            "ARGOCD_SERVER": argo.url,
            "ARGOCD_AUTH_TOKEN": argo.token,
            "ROLLOUT_POLL_SECONDS": "1",
            "DEV_ENDPOINT": parts.enter_context(served(api)),
            "HEALTH_TRIES": str(TRIES),
            "HEALTH_SECONDS": "2",
            "AUTO_ROLLBACK": "dev",
            "PREFECT_UI_URL": f"{here.server.ui_url}/v2",
        }


@contextmanager
def board(env: dict[str, str], log: Path) -> Iterator[str]:
    """Serve the board, and yield its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "flows.board", "--port", str(port)]
    with running(command, log=log, ready=lambda: answers(f"{url}/healthz"), env=env, folder=PROJECT):
        yield url


def first_steps(here: Stage, pages: str, broken: Path) -> str:
    """Say where to click first, and how to make something to deploy."""
    clone = here.source.with_name("flowise")
    return f"""
[bold]Deploy[/]       {here.server.ui_url}/v2/deployments: deploy-to-k8s, Run, Quick run
[bold]See it[/]       {pages}: what is where, its history, where a commit is

[bold]Change something[/] and deploy it:
  git clone -q {here.source} {clone} && cd {clone}
  echo '// new' >> packages/server/src/index.ts
  git -c user.name=me -c user.email=me@example.com commit -qam 'feat: something new' && git push -q

[bold]Break dev[/]    touch {broken}, change something, deploy: it is rolled back by itself
[bold]Approve[/]      promote with environment production waits for you: Resume in the run's menu
"""
