"""An endpoint is asked until it answers 2xx."""

import socket
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from tasks.core.errors import Inconclusive, InvalidInput, RolloutFailed
from tasks.core.rollout.health import check_endpoint, failing_now
from tasks.core.settings import Settings
from tests.sandbox.in_process import served
from tests.sandbox.processes import free_port

PATH = "/api/v1/ping"


class Server:
    """Answers from the front of ``answers``; the last one stays."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.answers: list[Response] = [PlainTextResponse("pong")]

    def answer(self, request: Request) -> Response:
        self.asked.append(request.url.path)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    with served(Starlette(routes=[Route("/{path:path}", server.answer)])) as server.url:
        yield server


def test_healthy_at_once(server: Server) -> None:
    heard: list[str] = []
    assert check_endpoint(server.url, PATH, 10, 0.1, heard.append) == "200 pong"
    assert (server.asked, heard) == ([PATH], [])


def test_below_a_path_and_with_another_2xx(server: Server) -> None:
    server.answers = [Response(status_code=204)]
    assert check_endpoint(f"{server.url}/flowise/", PATH, 1, 0, print) == "204"
    assert server.asked == ["/flowise" + PATH]


def test_healthy_in_the_end_and_each_answer_is_heard_once(server: Server) -> None:
    busy = PlainTextResponse("no upstream", 503)
    server.answers = [busy, busy, PlainTextResponse("starting", 500), PlainTextResponse("pong")]
    heard: list[str] = []
    assert check_endpoint(server.url, PATH, 4, 0.001, heard.append) == "200 pong"
    assert [line.partition("answers: ")[2] for line in heard] == ["503 no upstream", "500 starting"]


def test_never_healthy(server: Server) -> None:
    server.answers = [PlainTextResponse("starting", 500), PlainTextResponse("no upstream", 503)]
    with pytest.raises(RolloutFailed) as caught:
        check_endpoint(server.url, PATH, 3, 0, lambda _: None)
    assert caught.value.message.endswith("after 3 tries. Its last answer: 503 no upstream.")
    assert len(server.asked) == 3


@pytest.mark.parametrize(("status", "said"), [(200, ""), (404, ""), (500, "500 so it is"), (503, "503 so it is")])
def test_whether_it_fails_already(server: Server, status: int, said: str) -> None:
    server.answers = [PlainTextResponse("so it is", status)]
    assert failing_now(server.url, PATH) == said
    assert failing_now(f"http://127.0.0.1:{free_port()}", PATH) == ""


@pytest.mark.parametrize("status", [401, 404, 429])
def test_only_errors_of_the_server_s_own_speak_against_a_deployment(server: Server, status: int) -> None:
    server.answers = [PlainTextResponse("no upstream", 503), PlainTextResponse("", status)]
    with pytest.raises(Inconclusive, match=f"Its last answer: {status}"):
        check_endpoint(server.url, PATH, 3, 0, lambda _: None)


def test_a_redirect_is_not_healthy(server: Server) -> None:
    server.answers = [RedirectResponse("/login")]
    with pytest.raises(Inconclusive, match="307 to /login"):
        check_endpoint(server.url, PATH, 2, 0, lambda _: None)
    assert set(server.asked) == {PATH}


def test_nobody_there_and_nobody_who_speaks() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Inconclusive, match="timed out"):
            check_endpoint(url, PATH, 1, 0, lambda _: None, timeout=0.1)
    with pytest.raises(Inconclusive, match="refused"):
        check_endpoint(url, PATH, 2, 0, lambda _: None)


def test_tls_is_meant_unless_the_url_says_otherwise(server: Server) -> None:
    with pytest.raises(Inconclusive, match="SSL"):
        check_endpoint(server.url.removeprefix("http://"), PATH, 1, 0, lambda _: None)
    assert not server.asked


@pytest.mark.parametrize("endpoint", ["", "ftp://host", "https://ci:hunter2@host", "https://host/?key=hunter2"])
def test_what_is_no_endpoint_is_refused_and_not_shown(endpoint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_endpoint(endpoint, PATH, 1, 0, lambda _: None)
    assert "hunter2" not in str(caught.value)


def test_each_environment_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEV_ENDPOINT", "dev.example.com")
    monkeypatch.setenv("STAGING_ENDPOINT", "staging.example.com")
    monkeypatch.setenv("PROD_ENDPOINT", "example.com")
    settings = Settings()
    found = [settings.endpoint(each) for each in ("dev", "staging", "production")]
    assert found == ["dev.example.com", "staging.example.com", "example.com"]
