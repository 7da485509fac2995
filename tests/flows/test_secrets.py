"""Secrets are nowhere in what Prefect keeps of a run, nor in what the run leaves in the repository."""

import base64
import pickle
import traceback
from collections.abc import Iterator

import httpx
import pytest

from flows import deploy_to_k8s
from tasks.core.errors import DeliveryError
from tests.conftest import TOKEN
from tests.flows.conftest import Installation
from tests.sandbox.github import GitHub
from tests.sandbox.repositories import git
from tests.sandbox.until import until

FORMS = (TOKEN, base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode().rstrip("="), "wJalrXUtnFEMI/K7MDENG")
KEPT = {
    "flow_runs": "START_TIME_DESC",
    "task_runs": "EXPECTED_START_TIME_DESC",
    "logs": "TIMESTAMP_DESC",
    "artifacts": "CREATED_DESC",
    "variables": "CREATED_DESC",
    "events": None,
}
"""What a Prefect server tells of, and how it is asked for the newest first."""


@pytest.fixture
def telling(on_github: GitHub, monkeypatch: pytest.MonkeyPatch) -> GitHub:
    """Both repositories on GitHub, with secrets, and everything is logged."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", FORMS[-1])
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "DEBUG")
    return on_github


def kept(installation: Installation) -> dict[str, str]:
    """What the Prefect server tells of the newest 200 of each kind."""
    told = {}
    for kind, newest in KEPT.items():
        query = {"sort": newest} if newest else {}
        answer = httpx.post(f"{installation.server.api_url}/{kind}/filter", json=query, trust_env=False)
        told[kind] = answer.raise_for_status().text
    return told


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, and all that led to it."""
    while error:
        yield error
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("fails", [False, True])
def test_no_secret_reaches_runs_logs_artifacts_events_or_commits(
    fails: bool, telling: GitHub, installation: Installation
) -> None:
    if fails:
        hook = installation.gitops / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho 'no: {TOKEN}' >&2\nexit 1\n")
        hook.chmod(0o755)
        with pytest.raises(DeliveryError) as caught:
            deploy_to_k8s(environment="dev", ref="main")
        told = traceback.format_exception(caught.value)
        told += [f"{each!r} {vars(each)}" for each in chain(caught.value)]
        assert not [form for form in FORMS if form in "".join(told) or form.encode() in pickle.dumps(caught.value)]
    else:
        assert deploy_to_k8s(environment="dev", ref="main").update.changed
    until(lambda: "acme/devops" in kept(installation)["logs"])  # logs arrive some seconds after the run
    told = kept(installation)
    home = installation.server.home
    files = {str(path): path.read_bytes().decode(errors="replace") for path in home.rglob("*") if path.is_file()}
    assert [path for path in files if "/storage/" in path], "results were kept"
    told |= files | {"commits": git(installation.gitops, "log", "-p").decode()}
    assert "flowise-server" in told["artifacts"]
    assert not [(kind, form) for kind, text in told.items() for form in FORMS if form in text]
