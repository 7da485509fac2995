"""Argo CD's API, as its stand-in answers: what each answer means, and that the token stays where it belongs."""

import asyncio
import socket
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing

import pytest
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from tasks.core.errors import AccessDenied, DeliveryError, InvalidInput, NotFound, NotSynced, Unavailable
from tasks.core.rollout.application import Application as Answer
from tasks.core.rollout.argocd import ArgoCD, Forbidden, Scope, Throttled
from tests.sandbox import argocd as sandbox
from tests.sandbox.argocd import DENIED, FAILED_PRECONDITION, INTERNAL, error
from tests.sandbox.argocd_controller import Application
from tests.sandbox.in_process import served
from tests.sandbox.redirects import moved

TOKEN = "hunter2.hunter2.hunter2"
NAME = "flowise-dev"
COMMIT = "c" * 40


@pytest.fixture
def running() -> Iterator[sandbox.ArgoCD]:
    with sandbox.argocd(Application(NAME, lambda: COMMIT, lambda _: ["ui@sha256:1"]), token=TOKEN) as argo:
        yield argo


def client(url: str, token: str = TOKEN, project: str = "", namespace: str = "", **options: object) -> ArgoCD:
    return ArgoCD(url, SecretStr(token), Scope(project, namespace), **options)


def refusal(call: Callable[[], object]) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        call()
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(caught.value.__context__)
    assert "hunter2" not in shown
    return caught.value


def test_an_application_is_read(running: sandbox.ArgoCD) -> None:
    with closing(client(running.url)) as argo:
        app = argo.application(NAME)
    assert (app.status.sync.status, app.status.health.status, app.prunes) == ("Synced", "Healthy", True)
    assert (app.status.sync.all(), app.status.summary.images) == ((COMMIT,), ("ui@sha256:1",))
    assert not app.in_progress


def test_a_sync_carries_prune_and_project_and_no_revision(running: sandbox.ArgoCD) -> None:
    with closing(client(running.url, project="default")) as argo:
        argo.sync(NAME, prune=True)
        assert argo.application(NAME).in_progress
    assert running.syncs == [{"name": NAME, "prune": True, "project": "default"}]


def test_a_refresh_that_hangs_falls_back_to_what_is_known(running: sandbox.ArgoCD) -> None:
    running.applications[NAME].refresh_hangs = True
    with closing(client(running.url, refresh_timeout=0.1)) as argo:
        assert argo.refreshed(NAME).status.sync.status == "Synced"
    assert running.calls == ["refresh", "get"]


def test_a_call_takes_no_longer_than_its_caller_has(running: sandbox.ArgoCD) -> None:
    running.applications[NAME].refresh_hangs = True
    with closing(client(running.url, refresh_timeout=1e6)) as argo:
        assert argo.refreshed(NAME, within=0.5).status.sync.status == "Synced"
    assert running.calls == ["refresh", "get"]


async def dripping(_: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.05)

    return StreamingResponse(pieces())


def test_an_answer_that_never_ends_takes_no_longer_either() -> None:
    with served(Starlette(routes=[Route("/{path:path}", dripping)])) as url, closing(client(url)) as argo:
        begun = time.monotonic()
        assert "was not complete after 0.3 seconds" in refusal(lambda: argo.application(NAME, within=0.3)).message
        assert time.monotonic() - begun < 5


def test_a_failing_refresh_does_not_hide_a_failing_server(running: sandbox.ArgoCD) -> None:
    running.failures += [error(INTERNAL, "application refresh deadline exceeded"), error(INTERNAL, "boom")]
    with closing(client(running.url)) as argo:
        assert "500 boom" in refusal(lambda: argo.refreshed(NAME)).message


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(INTERNAL, "rpc error"), Unavailable),
        (HTMLResponse("<html>Bad Gateway</html>", 502), Unavailable),
        (JSONResponse([], 503), Unavailable),
        (JSONResponse({"code": 8, "message": "slow down"}, 429), Throttled),
        (HTMLResponse("slow down", 429), Throttled),
        (JSONResponse({"code": 10, "message": "the object has been modified"}, 409), Unavailable),
        (error(DENIED, "permission denied"), Forbidden),
        (error(FAILED_PRECONDITION, "application is deleting"), NotSynced),
        (HTMLResponse("<html>Argo?</html>"), InvalidInput),
        (JSONResponse({"hello": "world"}), InvalidInput),
        (HTMLResponse("nothing here", 404), InvalidInput),
        (RedirectResponse("https://login.example.com/?next=x"), InvalidInput),
        (Response(status_code=302, headers={"location": "http://[not-an-address"}), InvalidInput),
    ],
)
def test_each_answer_means_something(answer: Response, kind: type[DeliveryError], running: sandbox.ArgoCD) -> None:
    running.failures.append(answer)
    with closing(client(running.url)) as argo:
        refused = refusal(lambda: argo.application(NAME))
        assert type(refused) is kind
        assert str(answer.status_code) in refused.message
        assert argo.host in refused.message
    assert running.calls == ["get"], "trying again is the caller's part"


@pytest.mark.parametrize("token", ["hunter2-expired", "hunter2"])
def test_a_wrong_token(token: str, running: sandbox.ArgoCD) -> None:
    with closing(client(running.url, token)) as argo:
        for call in (lambda: argo.application(NAME), lambda: argo.sync(NAME, prune=False)):
            refused = refusal(call)
            assert type(refused) is AccessDenied
            assert "invalid session" in refused.message
            assert "expired" in refused.hint


def test_a_server_that_repeats_the_token_does_not_give_it_away(running: sandbox.ArgoCD) -> None:
    running.failures.append(error(DENIED, f"Authorization: Bearer {TOKEN} may not"))
    with closing(client(running.url)) as argo:
        assert "Bearer *** may not" in refusal(lambda: argo.application(NAME)).message


def test_a_missing_application_is_told_from_a_forbidden_one_by_its_project(running: sandbox.ArgoCD) -> None:
    with closing(client(running.url)) as argo:
        refused = refusal(lambda: argo.application("flowise-x"))
        assert type(refused) is Forbidden
        assert "ARGOCD_PROJECT" in refused.hint
    with closing(client(running.url, project="default")) as argo:
        assert type(refusal(lambda: argo.application("flowise-x"))) is NotFound
        assert type(refusal(lambda: argo.sync("flowise-x", prune=False))) is NotFound
    with closing(client(running.url, project="other")) as argo:
        assert type(refusal(lambda: argo.application(NAME))) is NotFound


@pytest.mark.parametrize("status", [301, 307])
def test_a_redirect_is_not_followed(status: int) -> None:
    with moved(status) as servers, closing(client(servers.url)) as argo:
        for call in (lambda: argo.application(NAME), lambda: argo.sync(NAME, prune=False)):
            assert f"to {servers.other}/new/api/v1/applications" in refusal(call).message
    assert servers.seen == []


def test_an_operation_in_progress_is_worth_another_try(running: sandbox.ArgoCD) -> None:
    running.applications[NAME].begin(COMMIT)
    with closing(client(running.url)) as argo:
        refused = refusal(lambda: argo.sync(NAME, prune=False))
    assert type(refused) is Unavailable
    assert "another operation is already in progress" in refused.message


def test_a_closed_sync_window_is_final(running: sandbox.ArgoCD) -> None:
    running.applications[NAME].window_closed = True
    with closing(client(running.url)) as argo:
        refused = refusal(lambda: argo.sync(NAME, prune=False))
    assert type(refused) is NotSynced
    assert "blocked by sync window" in refused.message


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with closing(client(url)) as argo:
        assert type(refusal(lambda: argo.application(NAME))) is Unavailable


def test_tls_is_meant_unless_the_url_says_otherwise(running: sandbox.ArgoCD) -> None:
    host = running.url.removeprefix("http://")
    for server in (host, f"https://{host}"):
        with closing(client(server)) as argo:
            refused = refusal(lambda argo=argo: argo.application(NAME))
            assert type(refused) is InvalidInput
            assert "http://" in refused.hint
    assert not running.calls, "nothing was said in clear"


def test_argo_cd_may_live_below_a_path(running: sandbox.ArgoCD) -> None:
    with closing(client(f"{running.url}/argocd/")) as argo:
        assert type(refusal(lambda: argo.application(NAME))) is InvalidInput  # FastAPI's own 404: it isn't below one
        assert str(argo._http.base_url).endswith("/argocd/api/v1/applications/")


@pytest.mark.parametrize("token", ["", "hunter2\n", "hunter2 hunter2", "hunter2ả"])
def test_what_is_no_token_is_refused_before_anything_is_sent(token: str, running: sandbox.ArgoCD) -> None:
    assert type(refusal(lambda: client(running.url, token))) is InvalidInput


@pytest.mark.parametrize(
    "server",
    ["", "https://", "ftp://host", "https://ci:hunter2@host", "https://host/?x=hunter2", "host#hunter2", "host:port"],
)
def test_what_is_no_server_is_refused(server: str) -> None:
    refused = refusal(lambda: client(server))
    assert type(refused) is InvalidInput
    assert "ARGOCD_SERVER" in refused.message


def test_what_is_left_out_or_null_is_empty() -> None:
    app = Answer.model_validate_json('{"metadata": {}, "operation": null, "status": {"resources": null, "sync": {}}}')
    assert (app.in_progress, app.prunes, app.unready(), app.status.sync.all()) == (False, False, [], ())
