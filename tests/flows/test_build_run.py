"""A run that builds: what it shows while it does, and that it ends on the engine when it is cancelled."""

import re
import secrets
import time
from pathlib import Path

import httpx
import pytest
from prefect.deployments import run_deployment

from flows import deploy_to_k8s
from tasks.core.errors import BuildFailed
from tests.flows.conftest import Installation
from tests.sandbox.repositories import commit
from tests.sandbox.until import until

DOCKERFILE = "packages/server/Dockerfile"
SHELL = 'FROM scratch\nCOPY tools/busybox /bin/busybox\nSHELL ["/bin/busybox", "sh", "-c"]\n'


def build_run(installation: Installation) -> str:
    """The newest flow run that builds the server."""
    runs = installation.task_runs()
    return next(run["flow_run_id"] for run in runs if run["name"].startswith("build-server"))


def log_of(installation: Installation, flow_run: str) -> list[str]:
    query = {"logs": {"flow_run_id": {"any_": [flow_run]}}, "limit": 200}
    return [line["message"] for line in installation.ask("logs/filter", query)]


def test_a_run_shows_its_steps_and_its_progress(installation: Installation) -> None:
    commit(installation.source, "main", {"packages/components/src/id.ts": secrets.token_hex(8)}, "feat: new")
    deploy_to_k8s(environment="dev", ref="main")
    run = build_run(installation)
    wanted = {"artifacts": {"flow_run_id": {"any_": [run]}, "type": {"any_": ["progress"]}}}
    names = {f"{phase}-flowise-{image}" for phase in ("build", "push") for image in ("server", "ui")}

    def shown() -> dict[str, float]:
        return {each["key"]: float(each["data"]) for each in installation.ask("artifacts/filter", wanted)}

    until(lambda: shown() == dict.fromkeys(names, 100.0))
    for label in ("server", "ui"):
        ended = re.compile(rf"{label} \| #\d+ DONE \d+\.\ds")
        until(lambda ended=ended: any(ended.fullmatch(line) for line in log_of(installation, run)))
    assert any(re.match(r"server \| #\d+ .*\bCOPY \. \.", line) for line in log_of(installation, run))


def test_a_failed_build_says_at_which_step_and_why(installation: Installation) -> None:
    nonce = secrets.token_hex(8)
    commit(installation.source, "main", {DOCKERFILE: f"{SHELL}RUN echo {nonce} is wrong; exit 3\n"}, "feat: broken")
    with pytest.raises(BuildFailed) as failure:
        deploy_to_k8s(environment="dev", ref="main")
    said = str(failure.value)
    assert f"RUN echo {nonce}" in said.splitlines()[0]
    assert f"  {nonce} is wrong" in said.splitlines()
    assert "{" not in said


def test_a_run_cancelled_in_the_ui_ends_its_build_on_the_engine(served: Installation, docker_host: str) -> None:
    if not docker_host.startswith("unix:"):
        pytest.skip("the engine's processes are on another machine")
    forever = str(10**7 + secrets.randbelow(10**6))
    command = f"/bin/busybox\0sleep\0{forever}\0".encode()

    def sleeps() -> bool:
        return any(command == line_of(process) for process in Path("/proc").glob("[0-9]*"))

    step = f'RUN ["/bin/busybox", "sleep", "{forever}"]\n'
    commit(served.source, "main", {DOCKERFILE: SHELL + step}, "feat: takes its time")
    run = run_deployment("deploy-to-k8s/deploy-to-k8s", timeout=0, as_subflow=False)
    until(sleeps)
    url = f"{served.server.api_url}/flow_runs/{run.id}"
    httpx.post(f"{url}/set_state", json={"state": {"type": "CANCELLING"}}, trust_env=False).raise_for_status()
    cancelled = time.monotonic()
    until(lambda: not sleeps())
    until(lambda: httpx.get(url, trust_env=False).json()["state"]["type"] == "CANCELLED")
    assert time.monotonic() - cancelled < 20, "not by the worker's kill, 30 seconds after its request"
    until(lambda: any(line.startswith("Stopped. Nothing is written") for line in log_of(served, str(run.id))))


def line_of(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:  # gone meanwhile
        return b""
