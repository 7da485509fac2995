"""What the load and the faults run on: servers, deployments, three GitOps repositories; and whether each run landed."""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
from fastapi import FastAPI
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.flows import Flow

from flows.setup.server_objects import RunEnvironment, block
from tests.bench.phases import AFTER, BUILD, REAL, WAIT, kind_of
from tests.sandbox.in_process import served
from tests.sandbox.prefect_server import used
from tests.sandbox.replicas import Replicas, replicas, set_up
from tests.sandbox.repositories import commit, gitops_repository, head, log
from tests.sandbox.stage import Stage, stage
from tests.sandbox.worker import PROJECT

UPDATES = {"flowise-gitops": "update-flowise-deployment", "load-b": "load-b", "load-c": "load-c"}
"""The pools of the three repositories, with the deployment of the second flow in each."""
ONE_EACH = ("deploy-to-k8s", "promote", "rollback")
"""Flows with one deployment, of the same name."""
GITOPS_POOL = next(iter(UPDATES))
LONGEST = 1800.0
"""Seconds after which a run that hasn't ended is stuck; 280 runs take 700 s on two idle cores."""
ENDED = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]}}}}


@dataclass(frozen=True)
class Stand:
    """What runs, and what it works on."""

    here: Stage
    them: Replicas
    repositories: Mapping[str, Path]
    env: Mapping[str, str]

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Ask Prefect's API, again while no server answers."""
        until = time.monotonic() + 60
        while True:
            try:
                url = f"{self.them.server.api_url}/{path}"
                return httpx.request(method, url, json=body, timeout=30, trust_env=False).raise_for_status().json()
            except httpx.HTTPError:
                if time.monotonic() > until:
                    raise
                time.sleep(1)

    def runs(self) -> list[dict[str, Any]]:
        """All flow runs of the deployments."""
        found, page = list[dict[str, Any]](), [dict[str, Any]()]
        while page:
            page = self.ask("POST", "flow_runs/filter", {"offset": len(found), "limit": 200, "sort": "ID_DESC"})
            found += page
        return found

    def submit(self, deployment: str, kind: str, parameters: Mapping[str, str]) -> str:
        """Ask for one run and return its id."""
        flow = deployment if deployment in ONE_EACH else "update-flowise-deployment"
        found = self.ask("GET", f"deployments/name/{flow}/{deployment}")
        body = {"parameters": dict(parameters), "tags": ["flowise", kind], "state": {"type": "SCHEDULED"}}
        return str(self.ask("POST", f"deployments/{found['id']}/create_flow_run", body)["id"])

    def build(self, name: str) -> str:
        """Commit something new on a branch of this name and ask for its build and update."""
        files = {"packages/ui/public/index.html": f"<h1>{name}</h1>\n"}
        commit(self.here.source, name, files, f"feat: {name}", start=head(self.here.source))
        return self.submit("deploy-to-k8s", BUILD, {"environment": "dev", "ref": name})

    def ended(self, wanted: int) -> list[dict[str, Any]]:
        """Wait until so many runs have ended, and return all runs."""
        until = time.monotonic() + LONGEST
        while self.ask("POST", "flow_runs/count", ENDED) < wanted and time.monotonic() < until:
            time.sleep(1)
        return self.runs()

    def wrong(self, runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        """Yield what isn't as it must be: runs that failed or are stuck, updates that landed twice or never."""
        for run in (run for run in runs if run["state_type"] != "COMPLETED"):
            yield f"{run['name']}: {run['state_name']}, {run['state'].get('message')}"
        for pool, repository in self.repositories.items():
            text = "\n".join(each["body"] for each in log(repository))
            tags = Counter(re.findall(r"^Tag: (.+)$", text, re.MULTILINE))
            ours = (run for run in runs if kind_of(run) in (REAL, AFTER) and run["work_pool_name"] == pool)
            wanted = {run["parameters"]["tag"] for run in ours if "tag" in run["parameters"]}
            yield from (f"{pool}: {tag} landed {tags[tag]} times" for tag in sorted(wanted) if tags[tag] != 1)
        yield from self._wrong_images(runs)
        for limit in self.ask("POST", "v2/concurrency_limits/filter", {}):
            if limit["active_slots"]:
                yield f"the slot of {limit['name']} is taken"

    def _wrong_images(self, runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        images = self.here.registry
        for name, digest in (("flowise-server", "server_digest"), ("flowise-ui", "ui_digest")):
            yield from (f"{name}:{tag} is broken" for tag in images.tags(name) if not images.is_whole(name, tag))
            updates = (run["parameters"] for run in runs if kind_of(run) == AFTER and "tag" in run["parameters"])
            for each in updates:
                if images.digest(name, each["tag"]) != each[digest]:
                    yield f"{name}:{each['tag']} isn't {each[digest]}"


@contextmanager
def stand(
    folder: Path, settings: Mapping[str, str] | None = None, ours: Mapping[str, str] | None = None
) -> Iterator[Stand]:
    """Start everything but workers.

    Args:
        folder: for the data of all parts.
        settings: more of Prefect's settings for the servers, by variable.
        ours: more of our settings for the runs, by variable.
    """
    api = FastAPI()

    @api.get("/api/v1/ping")
    async def ping() -> str:
        await asyncio.sleep(WAIT)
        return "pong"

    with ExitStack() as parts:
        them = parts.enter_context(replicas(folder / "prefect", settings=settings))
        here = parts.enter_context(stage(folder, lambda _: None, lambda _: nullcontext(them.server)))
        repositories = {pool: gitops_repository(folder / f"{pool}.git") for pool in UPDATES}
        env = here.environment() | {
            "GITOPS_REPO": str(repositories["flowise-gitops"]),
            "APPROVAL_REQUIRED": "none",
            "HEALTH_TRIES": "1",
            "PROD_ENDPOINT": parts.enter_context(served(api)),
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            **(ours or {}),
        }
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        set_up(env)
        parts.enter_context(used(them.server))
        for pool in list(UPDATES)[1:]:
            _add_pool(pool, repositories[pool])
        yield Stand(here, them, repositories, env)


def _add_pool(pool: str, repository: Path) -> None:
    """Add a pool whose runs are as those of flowise-gitops but for their repository, and the second flow in it."""
    values = cast(RunEnvironment, RunEnvironment.load(GITOPS_POOL)).value | {"GITOPS_REPO": str(repository)}
    block(RunEnvironment, pool, value=values)
    with get_client(sync_client=True) as client:
        template = json.dumps(client.read_work_pool(GITOPS_POOL).base_job_template).replace(GITOPS_POOL, pool)
        client.create_work_pool(WorkPoolCreate(name=pool, type="process", base_job_template=json.loads(template)))
    entrypoint = "flows/update_flowise_deployment.py:update_flowise_deployment"
    flow: Any = Flow.from_source(source=str(PROJECT), entrypoint=entrypoint)
    flow.to_deployment(name=pool, tags=["flowise"]).apply(work_pool_name=pool)
