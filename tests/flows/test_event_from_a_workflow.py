"""The step of docs/migrate.md, as a GitHub workflow would run it, against a real Prefect server."""

import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml

from flows.setup.command import set_up
from tasks.core.settings import load
from tests.flows.conftest import PROJECT
from tests.sandbox.prefect_server import PrefectServer

PAGE = PROJECT / "docs" / "migrate.md"
SENT = {
    "environment": "staging",
    "tag": "1234567",  # YAML and JSON would make a number of it
    "sha": "1234567" + "8" * 33,
    "server_digest": "sha256:" + "a" * 64,
    "ui_digest": "",
    "actor": "dependabot[bot]",
    "workflow_run_id": "4242424242",
}


def step() -> dict[str, Any]:
    """The documented step, by GitHub's own reading of the file: YAML."""
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (found,) = yaml.safe_load(textwrap.dedent(block))["trigger-gitops-repo"]["steps"]
    return found


def post(server: PrefectServer, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run the step in the shell that GitHub takes, with the variables that the step and GitHub set."""
    values = {
        "PREFECT_API_URL": server.api_url,
        "PREFECT_API_AUTH_STRING": "",  # what a secret that is not there becomes
        "ENVIRONMENT": SENT["environment"],
        "TAG": SENT["tag"],
        "SERVER_DIGEST": SENT["server_digest"],
        "UI_DIGEST": SENT["ui_digest"],
    }
    assert set(step()["env"]) == set(values)
    github = {
        "GITHUB_SHA": SENT["sha"],
        "GITHUB_ACTOR": SENT["actor"],
        "GITHUB_RUN_ID": SENT["workflow_run_id"],
    }
    env = {"PATH": os.environ["PATH"], **values, **github, **changes}
    shell = ["bash", "--noprofile", "--norc", "-e", "-c", step()["run"]]
    return subprocess.run(shell, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def deployed(server: PrefectServer) -> Iterator[PrefectServer]:
    """What the page has done before: the deployments of prefect.yaml, with their trigger; nobody runs them."""
    list(set_up(load()))
    deploy = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    env = {**os.environ, **server.environment()}
    subprocess.run(deploy, cwd=PROJECT, env=env, capture_output=True, timeout=120, check=True)
    yield server
    for run in runs(server):  # or another test's worker would
        httpx.delete(f"{server.api_url}/flow_runs/{run['id']}", trust_env=False).raise_for_status()


def runs(server: PrefectServer) -> list[dict[str, Any]]:
    query = {"flows": {"name": {"any_": ["update-flowise-deployment"]}}, "sort": "EXPECTED_START_TIME_DESC"}
    found = httpx.post(f"{server.api_url}/flow_runs/filter", json=query, trust_env=False).raise_for_status().json()
    return [run for run in found if run["parameters"].get("workflow_run_id") == SENT["workflow_run_id"]]


def refused(server: PrefectServer, value: str) -> int:
    """How many events started no run because of this value."""
    query = {"filter": {"event": {"name": ["prefect.automation.action.failed"]}}, "limit": 50}
    found = httpx.post(f"{server.api_url}/events/filter", json=query, trust_env=False).json()["events"]
    return sum(repr(value) in each["payload"].get("reason", "") for each in found)


def test_the_step_starts_the_second_flow_with_the_seven_keys(deployed: PrefectServer) -> None:
    posted = post(deployed)
    assert (posted.returncode, posted.stderr) == (0, "")
    for _ in range(300):
        if found := runs(deployed):
            break
        time.sleep(0.1)
    (run,) = found
    assert run["parameters"] == SENT


def test_a_digest_that_is_none_starts_no_run(deployed: PrefectServer) -> None:
    before = len(runs(deployed))
    assert post(deployed, SERVER_DIGEST="oops").returncode == 0, "Prefect takes the event"
    for _ in range(300):
        if refused(deployed, "oops"):
            break
        time.sleep(0.1)
    assert refused(deployed, "oops") == 1
    assert len(runs(deployed)) == before


def test_the_step_fails_where_prefect_does_not_take_the_event(server: PrefectServer) -> None:
    assert post(server, PREFECT_API_URL=f"{server.url}/nowhere").returncode
