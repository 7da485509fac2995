"""What the docker command keeps: logins of each kind, and proxies."""

import json
import os
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tasks.core.errors import AccessDenied
from tasks.core.registry.docker_config import IDENTITY, docker_login, proxy_arguments
from tasks.core.registry.oci import Registry
from tests.sandbox.in_process import served


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return lambda content: (tmp_path / "config.json").write_text(json.dumps(content)) and None


def helper(folder: Path, name: str, answer: str, code: int = 0) -> None:
    """A stand-in for a credential helper."""
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\necho '{answer}'\nexit {code}\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)


SECRETS = {
    "a password": ({"Username": "me", "Secret": "s3cret"}, ("me", "s3cret")),
    "an identity token": ({"Username": "<token>", "Secret": "eyJ"}, (IDENTITY, "eyJ")),
}


@pytest.mark.parametrize(("answer", "login"), SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("where", [{"credsStore": "here"}, {"credHelpers": {"registry:5000": "here"}}])
def test_credential_helpers(
    config: Callable[[object], None], tmp_path: Path, where: dict, answer: dict, login: tuple[str, str]
) -> None:
    config(where)
    helper(tmp_path, "here", json.dumps({"ServerURL": "registry:5000"} | answer))
    assert docker_login("registry:5000") == login


def test_a_helper_that_has_no_login(config: Callable[[object], None], tmp_path: Path) -> None:
    config({"credsStore": "here"})
    helper(tmp_path, "here", "credentials not found in native keychain", 1)
    assert docker_login("registry:5000") is None


@pytest.mark.parametrize("content", [{"credsStore": "gone"}, {"auths": {"registry:5000": {"auth": "no base64"}}}])
def test_a_login_that_cannot_be_read(config: Callable[[object], None], content: dict) -> None:
    config(content)
    with pytest.raises(AccessDenied, match="registry:5000") as failure:
        docker_login("registry:5000")
    assert "docker login registry:5000" in failure.value.hint


def test_an_identity_token_is_exchanged(config: Callable[[object], None]) -> None:
    """As docker login writes it for Azure's registries; RFC 6749, section 6."""
    asked: list[dict[str, list[str]]] = []

    async def token(request: Request) -> Response:
        asked.append(parse_qs((await request.body()).decode()))
        return JSONResponse({"access_token": "for an hour"})

    async def base(request: Request) -> Response:
        if request.headers.get("authorization") == "Bearer for an hour":
            return Response()
        challenge = f'Bearer realm="{request.base_url}token",service="here"'
        return Response(status_code=401, headers={"www-authenticate": challenge})

    app = Starlette(routes=[Route("/v2/", base), Route("/token", token, methods=["POST"])])
    with served(app) as url, closing(Registry(host := url.removeprefix("http://"))) as registry:
        config({"auths": {host: {"auth": "MDAwOg==", "identitytoken": "refresh-me"}}})
        registry.check("app")
    assert [each["refresh_token"] for each in asked] == [["refresh-me"]]
    assert asked[0]["grant_type"] == ["refresh_token"]
    assert (asked[0]["service"], asked[0]["scope"]) == (["here"], ["repository:app:pull,push"])


def test_proxies_of_builds(config: Callable[[object], None]) -> None:
    """Docker's manual, "Configure Docker to use a proxy server"."""
    assert proxy_arguments("unix:///var/run/docker.sock") == {}
    far = {"allProxy": "socks5://far:1080"}
    config({"proxies": {"default": {"httpProxy": "http://p:3128", "noProxy": "*.local"}, "tcp://far:2375": far}})
    assert proxy_arguments("unix:///var/run/docker.sock") == {
        "http_proxy": "http://p:3128",
        "HTTP_PROXY": "http://p:3128",
        "no_proxy": "*.local",
        "NO_PROXY": "*.local",
    }
    assert proxy_arguments("tcp://far:2375") == {"all_proxy": "socks5://far:1080", "ALL_PROXY": "socks5://far:1080"}
