"""An installation whose API has a password: set-up, worker and runs have it, and people only what the proxy adds."""

import re
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings

from flows.setup.command import main as flowise_setup
from flows.setup.command import set_up
from tasks.core.settings import load
from tests.flows.conftest import PROJECT, Installation
from tests.sandbox.optional import optional
from tests.sandbox.prefect_server import PrefectServer, prefect_server, used
from tests.sandbox.processes import answers, free_port, running
from tests.sandbox.registry import Registry
from tests.sandbox.repositories import head, log
from tests.sandbox.services import starts
from tests.sandbox.until import until
from tests.sandbox.worker import worker

PASSWORD = "admin:a-long-and-random-password"
BASIC = f"Basic {b64encode(PASSWORD.encode()).decode()}"
ROBIN = {"X-Forwarded-User": "robin@example.com"}


@pytest.fixture(scope="module")
@starts("prefect")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A server with a password, which this process doesn't have."""
    secret = {"PREFECT_SERVER_API_AUTH_STRING": PASSWORD}
    with optional(prefect_server(tmp_path_factory.mktemp("closed"), settings=secret)) as running, used(running):
        yield running


@pytest.fixture
def installed(
    closed: PrefectServer,
    source: Path,
    gitops: Path,
    images: Registry,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Installation]:
    """What flowise-setup, ``prefect deploy`` and a worker make of it; the proxy signs people in."""
    settings = {
        "SOURCE_REPO": str(source),
        "GITOPS_REPO": str(gitops),
        "ECR_REGISTRY": images.host,
        "APPROVER_HEADER": "X-Forwarded-User",
        "BOARD_URL": "https://delivery.example.com/board",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", PASSWORD)
    made = Installation(source, gitops, images, closed)
    with temporary_settings({PREFECT_API_AUTH_STRING: PASSWORD}):
        list(set_up(load()))
        deployed = made.run("-m", "prefect", "--no-prompt", "deploy", "-n", "update-flowise-deployment")
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        without = {name: value for name, value in made.environment().items() if name not in settings}
        with worker(without, tmp_path / "worker.log", "flowise-gitops"):
            yield made


@pytest.fixture
def board(installed: Installation, tmp_path: Path) -> Iterator[httpx.Client]:
    """``flowise-board``, as the proxy reaches it."""
    port = free_port()
    command = [sys.executable, "-m", "flows.board", "--port", str(port), "--root", "/board"]
    url = f"http://127.0.0.1:{port}"
    with (
        running(
            command,
            log=tmp_path / "board.log",
            ready=lambda: answers(f"{url}/healthz"),
            env=installed.environment(),
            folder=PROJECT,
        ),
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        yield client


def api(installation: Installation, method: str, path: str, body: Any = None, auth: Any = ("admin", "")) -> Any:
    """Call Prefect's API; again where the server is too busy (503), as Prefect's own clients do."""
    auth = tuple(PASSWORD.split(":")) if auth == ("admin", "") else auth
    url = f"{installation.server.api_url}/{path}"

    def answered() -> httpx.Response | None:
        answer = httpx.request(method, url, json=body, trust_env=False, auth=auth)
        return None if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else answer

    return until(answered)


def reached(installation: Installation, run: str, name: str, asked: int = 0) -> dict[str, Any]:
    def there() -> dict[str, Any] | None:
        found = api(installation, "GET", f"flow_runs/{run}").json()
        assert found["state"]["type"] not in ("FAILED", "CRASHED"), found["state"]["message"]
        enough = len((found["empirical_policy"] or {}).get("pause_keys") or ()) >= asked
        return found if found["state"]["name"] == name and enough else None

    return until(there)


def test_without_the_password_nothing_answers(closed: PrefectServer, capsys: pytest.CaptureFixture[str]) -> None:
    for path in ("flows/filter", "deployments/filter", "block_documents/filter", "variables/filter", "events"):
        for auth in (None, ("admin", "wrong")):
            assert httpx.post(f"{closed.api_url}/{path}", json={}, trust_env=False, auth=auth).status_code == 401, path
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["flowise-setup"])
        assert flowise_setup() == 1
    assert "401 Unauthorized" in " ".join(capsys.readouterr().out.split())


def test_a_person_who_is_signed_in_approves_on_the_board(installed: Installation, board: httpx.Client) -> None:
    name = "update-flowise-deployment"
    deployment = api(installed, "GET", f"deployments/name/{name}/{name}").json()["id"]
    wanted = {"parameters": {"environment": "production", "tag": "v2"}}
    run = api(installed, "POST", f"deployments/{deployment}/create_flow_run", wanted).json()["id"]
    before, proxy = head(installed.gitops), ROBIN | {"Authorization": BASIC}
    reached(installed, run, "Suspended")
    page, post = f"/approvals/{run}", lambda fields, headers: board.post(page, data=fields, headers=headers)

    # In Prefect's dialog anyone can type any name, and whatever else they like.
    typed = {"decision": "Approve", "approver": "robin@example.com", "note": "", "seal": "0" * 64}
    # The form may still be on its way when the run is suspended.
    until(
        lambda: api(installed, "POST", f"flow_runs/{run}/resume", {"run_input": typed}).json().get("status") == "ACCEPT"
    )
    reached(installed, run, "Suspended", asked=2)
    link = f"https://delivery.example.com/board/approvals/{run}"
    assert f"Approve on {link}, where you are signed in: a typed name isn" in board.get(page).text

    assert "<button name" not in board.get(page, headers=ROBIN).text, "the header alone proves nothing"
    assert post({"decision": "Approve"}, ROBIN).status_code == 403
    assert post({"decision": "Approve"}, proxy).status_code == 409, "another site's form has no token"
    token = re.search(r'name="token" value="(\w+)"', board.get(page, headers=proxy).text)[1]
    kim = proxy | {"X-Forwarded-User": "kim@example.com"}
    assert post({"decision": "Approve", "token": token}, kim).status_code == 409, "a token is one person's"
    assert post({"decision": "Choose", "token": token}, proxy).status_code == 409
    assert head(installed.gitops) == before

    answered = post({"decision": "Approve", "token": token, "note": "seen in staging"}, proxy)
    assert (answered.status_code, answered.headers["location"]) == (303, f"/board{page}?answered=1")
    assert "Your answer is with the run." in board.get(page, params={"answered": 1}).text
    reached(installed, run, "Completed")
    lines = log(installed.gitops)[0]["body"].splitlines()
    assert {"Approved by: robin@example.com (single sign-on)", "Approval note: seen in staging"} <= set(lines)
    assert post({"decision": "Approve", "token": token}, proxy).status_code == 409, "it is answered"
