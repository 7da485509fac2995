"""What GitHub is told: the event, pull requests, statuses; and what each refusal means."""

import re
import socket
import time
import traceback
from pathlib import Path

import pytest
from github import GithubException
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tasks.core.errors import AccessDenied, DeliveryError, InvalidInput, NotFound, RateLimited, Unavailable
from tasks.core.gitprovider.github import GitHub as Client
from tasks.core.models import ImageUpdate, ShownDeployment
from tests.conftest import TOKEN
from tests.sandbox.certificate import self_signed
from tests.sandbox.github import Dispatch, GitHub
from tests.sandbox.in_process import served
from tests.sandbox.redirects import moved
from tests.sandbox.repositories import commit, head

NAME = "acme/devops"
DIGEST = "sha256:" + "a0" * 32


def refusal(url: str, token: str | None = TOKEN, repository: str = NAME) -> DeliveryError:
    update = ImageUpdate(environment="dev", tag="t")
    with pytest.raises(DeliveryError) as caught:
        Client(repository, SecretStr(token) if token is not None else None, url).dispatch(update)
    seen = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(caught.value.__context__)
    assert "hunter2" not in seen
    return caught.value


def test_the_seven_keys_arrive(hub: GitHub) -> None:
    update = ImageUpdate(
        environment="staging", tag="v1", sha="0123456", server_digest=DIGEST, actor="Nguyễn", workflow_run_id="7"
    )
    Client(NAME, SecretStr(TOKEN), hub.url).dispatch(update)
    payload = {
        "environment": "staging",
        "tag": "v1",
        "sha": "0123456",
        "server_digest": DIGEST,
        "ui_digest": "",
        "actor": "Nguyễn",
        "workflow_run_id": "7",
    }
    assert hub.dispatches == [Dispatch(NAME, "flowise-image-updated", payload)]
    assert [(asked.method, asked.path) for asked in hub.requests] == [("POST", f"/repos/{NAME}/dispatches")]


def error(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(401, "Bad credentials"), AccessDenied),
        (error(401, "Requires authentication"), AccessDenied),
        (error(403, "Resource not accessible by personal access token"), AccessDenied),
        (error(404, "Not Found"), NotFound),
        (error(422, "No more than 10 properties are allowed; 11 were supplied."), InvalidInput),
        (error(403, "API rate limit exceeded for user ID 1."), Unavailable),
        (error(429, "API rate limit exceeded for user ID 1."), Unavailable),
        (error(500, "Server Error"), Unavailable),
        (error(503, "Service unavailable"), Unavailable),
        (PlainTextResponse("<html>Bad Gateway</html>", 502), Unavailable),
        (JSONResponse([], 500), Unavailable),
    ],
)
def test_each_refusal_means_something(answer: Response, kind: type[DeliveryError], hub: GitHub) -> None:
    hub.failures.append(answer)
    refused = refusal(hub.url)
    assert type(refused) is kind
    assert NAME in refused.message
    assert str(answer.status_code) in refused.message
    assert (len(hub.requests), hub.dispatches) == (1, []), "trying again is Prefect's part"


def test_the_stand_in_itself_refuses_a_wrong_token_and_an_unknown_repository(hub: GitHub) -> None:
    assert type(refusal(hub.url, token="hunter2-expired")) is AccessDenied
    assert type(refusal(hub.url, token=hub.read_token)) is NotFound
    assert type(refusal(hub.url, repository="acme/unknown")) is NotFound


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        (
            [{"resource": "PullRequest", "code": "custom", "message": "No commits between main and flowise/dev"}],
            "No commits between main and flowise/dev",
        ),
        ([{"resource": "PullRequest", "field": "base", "code": "invalid"}], "PullRequest.base is invalid"),
        ([{"resource": "Issue", "field": "body", "code": "custom", "message": "body is too long"}], "body is too long"),
        ([{"code": "missing"}, "in plain words"], "in plain words"),
        ("a text", "a text"),
        (None, "Validation Failed"),
    ],
)
def test_the_reason_for_an_invalid_request_is_in_the_message(errors: object, said: str, hub: GitHub) -> None:
    hub.failures.append(JSONResponse({"message": "Validation Failed", "errors": errors}, 422))
    refused = refusal(hub.url)
    assert type(refused) is InvalidInput
    assert "422 Validation Failed" in refused.message
    assert said in refused.message


@pytest.mark.parametrize(
    "answer",
    [PlainTextResponse("<html>log in</html>"), JSONResponse([]), Response(b""), Response(bytes(range(256)))],
    ids=["page", "list", "nothing", "bytes"],
)
def test_what_is_not_githubs_answer_is_told_in_words(answer: Response, hub: GitHub) -> None:
    hub.failures += [answer] * 4
    with pytest.raises(Unavailable, match=r"isn't GitHub's API"):
        Client(NAME, SecretStr(TOKEN), hub.url).propose("flowise/dev", "main", "title", "text")


def test_a_github_that_is_not_there_is_told_in_words_of_the_network(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert re.fullmatch(
        rf"GitHub at 127\.0\.0\.1:{port} cannot be reached: .*Connection refused\.",
        refusal(f"http://127.0.0.1:{port}").message,
    )
    with served(PlainTextResponse("here"), certificate=self_signed(tmp_path)) as url:
        said = refusal(url).message
    assert "CERTIFICATE_VERIFY_FAILED" in said
    assert "object at" not in said
    assert "Pool(" not in said


def test_a_pull_request_is_looked_at_and_closed_with_a_reason(hub: GitHub, gitops: Path) -> None:
    client = Client(NAME, SecretStr(TOKEN), hub.url)
    assert not client.under_review("flowise/dev", "main")
    assert client.close("flowise/dev", "main", "why") == ""
    commit(gitops, "flowise/dev", {"a": "c"}, "m", start=head(gitops))
    url = client.propose("flowise/dev", "main", "one", "text")
    assert client.under_review("flowise/dev", "main")
    assert client.merged_as(url) == ""
    assert client.close("flowise/dev", "main", "why") == url
    assert hub.changes.comments == [{"number": 1, "body": "why"}]
    assert not client.under_review("flowise/dev", "main")
    assert client.merged_as(url) is None
    hub.changes.pulls[0] |= {"merged": True, "merge_commit_sha": "c" * 40}
    assert client.merged_as(url) == "c" * 40


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_no_success_and_the_token_stays(status: int) -> None:
    with moved(status) as servers:
        refused = refusal(servers.url)
    assert type(refused) is InvalidInput
    assert "redirect" in refused.message
    assert "localhost" in refused.message, "where to"
    assert servers.seen == []


def test_a_private_certificate_is_trusted_by_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def taken(_: Request) -> Response:
        return Response(status_code=204)

    app = Starlette(routes=[Route(f"/repos/{NAME}/dispatches", taken, methods=["POST"])])
    certificate = self_signed(tmp_path)
    with served(app, certificate=certificate) as url:
        assert "certificate" in refusal(url).message.lower()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        Client(NAME, SecretStr(TOKEN), url).dispatch(ImageUpdate(environment="dev", tag="t"))


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    assert type(refusal(url)) is Unavailable


@pytest.mark.parametrize("token", [None, "", "hunter2\n", "hunter2 hunter2", "hunter2\0", "hunter2ả"])
def test_what_is_no_token_is_refused_before_anything_is_sent(token: str | None, hub: GitHub) -> None:
    assert type(refusal(hub.url, token=token)) is InvalidInput
    assert not hub.requests


@pytest.mark.parametrize(
    "repository", ["/srv/devops.git", "https://github.com/acme/devops", "acme/devops/x", "../x", "devops"]
)
def test_only_a_repository_on_github_takes_events(repository: str, hub: GitHub) -> None:
    assert type(refusal(hub.url, repository=repository)) is InvalidInput
    assert not hub.requests


def test_one_pull_request_that_is_brought_up_to_date(hub: GitHub, gitops: Path) -> None:
    client = Client(NAME, SecretStr(TOKEN), hub.url)
    with pytest.raises(InvalidInput, match="Validation Failed"):
        client.propose("flowise/dev", "main", "one", "text")
    commit(gitops, "flowise/dev", {"a": "c"}, "m", start=head(gitops))
    first = client.propose("flowise/dev", "main", "one", "text")
    assert client.propose("flowise/dev", "main", "two", "more") == first == f"{hub.url}/{NAME}/pull/1"
    (pull,) = hub.changes.pulls
    assert (pull["title"], pull["body"], pull["base"]["ref"]) == ("two", "more", "main")

    pull["state"] = "closed"
    assert client.propose("flowise/dev", "main", "three", "text") != first


def test_each_delivery_is_a_deployment_with_its_states(hub: GitHub, gitops: Path) -> None:
    client = Client(NAME, SecretStr(TOKEN), hub.url)
    sha = head(gitops)
    number = client.show(sha, "staging", "in_progress", "on its way", "")
    shown = ShownDeployment("https://staging.example.com", number)
    assert client.show(sha[:7], "staging", "failure", "x" * 200, "https://prefect.example/run", shown) == number
    (deployment,) = hub.changes.deployments
    assert (deployment["sha"], deployment["environment"]) == (sha, "staging")
    assert deployment["states"] == ["in_progress", "failure"]
    assert deployment["statuses"][0].keys() == {"state", "description"}
    last = deployment["statuses"][1]
    assert (last["log_url"], last["environment_url"]) == ("https://prefect.example/run", "https://staging.example.com")
    assert len(last["description"]) == 140
    first, second = hub.changes.statuses
    assert (first["context"], first["state"], "target_url" in first) == ("flowise/staging", "pending", False)
    assert (second["sha"], second["state"], second["target_url"]) == (sha, "failure", "https://prefect.example/run")

    assert client.show(sha, "staging", "success", "again", "", ShownDeployment("staging.example.com")) != number
    assert [each["states"] for each in hub.changes.deployments] == [["in_progress", "failure"], ["success"]]
    assert "environment_url" not in hub.changes.deployments[1]["statuses"][0], "GitHub takes URLs alone"


@pytest.mark.parametrize("status", [301, 307, 308])
def test_a_renamed_repository_is_followed_on_the_same_host(status: int, hub: GitHub) -> None:
    update = ImageUpdate(environment="dev", tag="v1")
    moved_to = f"{hub.url}/repos/{NAME}/dispatches"
    hub.failures.append(JSONResponse({"message": "Moved"}, status, {"location": moved_to}))
    Client("acme/old", SecretStr(TOKEN), hub.url).dispatch(update)
    assert [each.repository for each in hub.dispatches] == [NAME]
    around = JSONResponse({"message": "Moved"}, 308, {"location": f"{hub.url}/repos/acme/old/dispatches"})
    hub.failures += [around] * 9
    with pytest.raises(InvalidInput, match="redirects"):
        Client("acme/old", SecretStr(TOKEN), hub.url).dispatch(update)


@pytest.mark.parametrize("status", [200, 201, 202])
def test_only_204_is_a_dispatch_that_was_taken(status: int, hub: GitHub) -> None:
    hub.failures.append(JSONResponse({}, status))
    refused = refusal(hub.url)
    assert type(refused) is Unavailable
    assert str(status) in refused.message


@pytest.mark.parametrize(
    "answer",
    [
        PlainTextResponse("<html>log in</html>", 200, media_type="text/html"),
        Response(bytes(range(256)) * 8, 200, media_type="application/octet-stream"),
        JSONResponse([]),
        JSONResponse("text"),
        JSONResponse({"message": "a page"}),
        Response(b"", 200),
        Response(b'{"id": ', 201, media_type="application/json"),
        PlainTextResponse("<html>no</html>", 404, media_type="text/html"),
    ],
    ids=["page", "bytes", "list", "text", "object", "nothing", "cut", "error page"],
)
def test_what_is_not_github_s_json_is_said_in_words(answer: Response, hub: GitHub, gitops: Path) -> None:
    client, sha = Client(NAME, SecretStr(TOKEN), hub.url), head(gitops)
    for call in (
        lambda: client.dispatch(ImageUpdate(environment="dev", tag="t")),
        lambda: client.propose("flowise/dev", "main", "t", "b"),
        lambda: client.show(sha, "dev", "success", "w", ""),
        lambda: client.show(sha[:7], "dev", "success", "w", ""),
    ):
        hub.failures[:] = [answer] * 9
        with pytest.raises(DeliveryError) as caught:
            call()
        assert "GitHub" in str(caught.value)
        assert "Error(" not in str(caught.value)


def limited(status: int, **headers: str) -> Response:
    return JSONResponse(
        {"message": "API rate limit exceeded"}, status, {k.replace("_", "-"): v for k, v in headers.items()}
    )


@pytest.mark.parametrize("status", [403, 503])
def test_github_is_left_alone_for_as_long_as_it_says(status: int, hub: GitHub) -> None:
    hub.failures.append(limited(status, retry_after="1"))
    started = time.monotonic()
    Client(NAME, SecretStr(TOKEN), hub.url).dispatch(ImageUpdate(environment="dev", tag="t"))
    assert 1 <= time.monotonic() - started < 10
    assert len(hub.dispatches) == 1

    hub.failures += [limited(status, retry_after="1")] * 2
    assert type(refusal(hub.url)) is Unavailable, "once; more is Prefect's part"


def test_a_limit_that_is_used_up_for_long_is_said_at_once(hub: GitHub) -> None:
    for headers in (
        {"retry_after": "3000"},
        {"x_ratelimit_remaining": "0", "x_ratelimit_reset": str(int(time.time()) + 3000)},
    ):
        hub.requests.clear()
        hub.failures.append(limited(403, **headers))
        refused = refusal(hub.url)
        assert type(refused) is RateLimited
        assert re.search(r"again at \d\d:\d\d:\d\d UTC", refused.hint)
        assert len(hub.requests) == 1


@pytest.mark.parametrize(
    ("answer", "waited"),
    [
        (error(403, "You have exceeded a secondary rate limit."), [60.0]),  # by GitHub's page on rate limits
        (error(429, "You have exceeded a secondary rate limit."), [60.0]),
        (limited(403, x_ratelimit_remaining="0", x_ratelimit_reset="soon"), []),
        (limited(429, retry_after="inf"), []),
        (limited(429, retry_after="Thu, 26 Nov 2026 03:10:00 GMT"), []),
        (
            JSONResponse({"message": "You have triggered an abuse detection mechanism."}, 403, {"retry-after": "9"}),
            [9.0],
        ),
    ],
    ids=["not told", "429", "garbage", "infinite", "a date", "other words"],
)
def test_a_limit_is_one_however_it_is_said(
    answer: Response, waited: list[float], hub: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept = list[float]()
    monkeypatch.setattr("tasks.core.gitprovider.github.time.sleep", slept.append)
    hub.failures += [answer] * 2
    assert type(refusal(hub.url)) is Unavailable
    assert slept == waited


def test_a_limit_beyond_all_calendars_is_one(hub: GitHub) -> None:
    hub.failures.append(limited(429, retry_after="9" * 12))
    assert type(refusal(hub.url)) is RateLimited


def test_a_pull_request_that_somebody_opened_meanwhile_is_looked_for_again(
    hub: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create(*_: object, **__: object) -> None:
        errors = [{"resource": "PullRequest", "code": "custom", "message": "A pull request already exists for a:b."}]
        raise GithubException(422, {"message": "Validation Failed", "errors": errors})

    monkeypatch.setattr("github.Repository.Repository.create_pull", create)
    with pytest.raises(Unavailable, match="A pull request already exists"):
        Client(NAME, SecretStr(TOKEN), hub.url).propose("flowise/dev", "main", "t", "b")


def test_what_shows_nothing_says_why(hub: GitHub, gitops: Path) -> None:
    with pytest.raises(NotFound, match=NAME):
        Client(NAME, SecretStr(hub.read_token), hub.url).show(head(gitops), "dev", "success", "", "")
