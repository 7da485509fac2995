"""The step of docs/migrate.md, as a GitHub workflow would run it, against the receiver."""

import os
import re
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi import FastAPI, Request, Response
from pydantic import SecretStr

from tasks.core.errors import AccessDenied, DeliveryError
from tasks.core.settings import Settings
from tasks.core.triggers.webhook import UPDATE, Receiver, Start
from tests.sandbox.in_process import served

PAGE = Path(__file__).parents[1] / "docs" / "migrate.md"
SECRET = "hush"
SENT = {
    "environment": "staging",
    "tag": "1234567",  # JSON would make a number of it
    "sha": "1234567" + "8" * 33,
    "server_digest": "sha256:" + "a" * 64,
    "ui_digest": "",
    "actor": "dependabot[bot]",
    "workflow_run_id": "4242424242",
}


def step() -> dict[str, Any]:
    """Read the documented step as GitHub reads the file: as YAML."""
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (found,) = yaml.safe_load(textwrap.dedent(block))["trigger-gitops-repo"]["steps"]
    return found


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[Start]]]:
    """The receiver's address, and what it would start."""
    settings = Settings(source_repo="a/b", gitops_repo="your-org/devops", github_webhook_secret=SecretStr(SECRET))
    decide, started, app = Receiver(settings).decide, list[Start](), FastAPI()

    @app.post("/webhooks/github")
    async def github(request: Request) -> Response:
        try:
            started.append(decide(request.headers, await request.body()))
        except DeliveryError as error:
            return Response(error.message, 401 if isinstance(error, AccessDenied) else 400)
        return Response(status_code=202)

    with served(app) as url:
        yield f"{url}/webhooks/github", started


def send(receiver: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run the step in the shell that GitHub takes, with the variables that the step and GitHub set."""
    values = {
        "RECEIVER": receiver,
        "WEBHOOK_SECRET": SECRET,
        "GITOPS_REPO": "your-org/devops",
        "ENVIRONMENT": SENT["environment"],
        "TAG": SENT["tag"],
        "SERVER_DIGEST": SENT["server_digest"],
        "UI_DIGEST": SENT["ui_digest"],
    }
    assert set(step()["env"]) == set(values)
    github = {"GITHUB_SHA": SENT["sha"], "GITHUB_ACTOR": SENT["actor"], "GITHUB_RUN_ID": SENT["workflow_run_id"]}
    env = {"PATH": os.environ["PATH"], **values, **github, **changes}
    shell = ["bash", "--noprofile", "--norc", "-e", "-c", step()["run"]]
    return subprocess.run(shell, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_the_step_starts_the_second_flow_with_the_seven_keys(receiver: tuple[str, list[Start]]) -> None:
    url, started = receiver
    sent = send(url)
    assert (sent.returncode, sent.stderr) == (0, "")
    (start,) = started
    assert start.deployment == UPDATE
    assert {key: value or "" for key, value in start.parameters.items()} == SENT


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"SERVER_DIGEST": "oops"}, "400: Bad Request: The image update is not valid: server_digest"),
        ({"TAG": 'v1"; touch x; "'}, "400: Bad Request: The image update is not valid: tag"),
        ({"WEBHOOK_SECRET": "other"}, "401: Unauthorized"),
    ],
)
def test_the_step_fails_with_the_receiver_s_words(
    changes: dict[str, str], words: str, receiver: tuple[str, list[Start]]
) -> None:
    url, started = receiver
    sent = send(url, **changes)
    assert sent.returncode == 1
    assert words in sent.stderr
    assert not started
