"""Tokens of a GitHub App, by GitHub's page on authenticating as an installation; a stand-in checks the App's own."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI, Request
from pydantic import SecretStr
from starlette.responses import JSONResponse, PlainTextResponse, Response

from tasks.core.errors import AccessDenied, DeliveryError, InvalidInput, NotFound, Unavailable
from tasks.core.gitprovider import github_app
from tasks.core.gitprovider.github_app import App, installation_token
from tests.sandbox.in_process import served

KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
).decode()
NAME = "acme/devops"


@dataclass
class Hub:
    """What was asked, and answers to give instead."""

    url: str = ""
    asked: list[tuple[str, Any]] = field(default_factory=list)
    instead: list[Response] = field(default_factory=list)


@contextmanager
def apps() -> Iterator[Hub]:
    """A stand-in for GitHub with the App 7, whose installation 99 is on one repository."""
    hub, api = Hub(), FastAPI()

    @api.middleware("http")
    async def signed(request: Request, answer: Any) -> Response:
        if hub.instead:
            return hub.instead.pop(0)
        try:
            claims = jwt.decode(
                request.headers["authorization"].removeprefix("Bearer "), KEY.public_key(), algorithms=["RS256"]
            )
        except jwt.InvalidTokenError:
            return JSONResponse({"message": "A JSON web token could not be decoded"}, 401)
        assert claims["iss"] == "7"
        assert claims["exp"] - time.time() <= 600
        return await answer(request)

    @api.get("/repos/{owner}/{name}/installation")
    async def installation(owner: str, name: str) -> Response:
        hub.asked.append(("installation", f"{owner}/{name}"))
        return JSONResponse({"id": 99}) if f"{owner}/{name}" == NAME else JSONResponse({"message": "Not Found"}, 404)

    @api.post("/app/installations/{number}/access_tokens")
    async def token(number: int, request: Request) -> Response:
        sent = await request.json()
        hub.asked.append((f"token of {number}", sent))
        if number != 99 or sent["repositories"] != ["devops"]:
            return JSONResponse({"message": "There is at least one repository that does not exist"}, 422)
        return JSONResponse({"token": f"ghs_{len(hub.asked)}", "expires_at": "2026-01-01T00:00:00Z"}, 201)

    with served(api) as hub.url:
        yield hub


@pytest.fixture
def hub() -> Iterator[Hub]:
    github_app._tokens.clear()
    with apps() as running:
        yield running


def app(hub: Hub, key: str = PEM, installation: str = "") -> App:
    return App("7", SecretStr(key), installation, hub.url)


@pytest.mark.parametrize("key", [PEM, PEM.replace("\n", "\\n")], ids=["as it is", "in one line"])
def test_a_token_is_for_one_repository_and_kept_for_a_while(
    key: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = installation_token(app(hub, key), NAME)
    assert first.get_secret_value() == "ghs_2"
    assert hub.asked == [("installation", NAME), ("token of 99", {"repositories": ["devops"]})]
    assert installation_token(app(hub, key), NAME) == first
    github_app._tokens.clear()
    monkeypatch.setattr(github_app, "LEFT", 3601)  # what GitHub gives is good for too short a time to be kept
    second = installation_token(app(hub, key), NAME)
    assert second != first
    assert installation_token(app(hub, key), NAME) != second


def test_an_installation_that_is_known_is_not_asked_for(hub: Hub) -> None:
    installation_token(app(hub, installation="99"), NAME)
    assert [what for what, _ in hub.asked] == ["token of 99"]


@pytest.mark.parametrize(
    ("key", "installation", "repository", "kind", "words"),
    [
        ("no key", "", NAME, InvalidInput, "GITHUB_APP_PRIVATE_KEY"),
        (PEM, "", "acme/other", NotFound, "not installed on acme/other"),
        (PEM, "98", NAME, NotFound, "not installed on acme/devops"),
        (PEM, "99", "acme/other", NotFound, "not installed on acme/other"),
    ],
)
def test_what_is_wrong_is_named(
    key: str, installation: str, repository: str, kind: type[DeliveryError], words: str, hub: Hub
) -> None:
    with pytest.raises(kind, match=words) as caught:
        installation_token(app(hub, key, installation), repository)
    assert "PRIVATE KEY-----" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (JSONResponse({"message": "'Expiration time' claim ('exp') is too far in the future"}, 401), AccessDenied),
        (JSONResponse({"message": "You have exceeded a secondary rate limit."}, 403), Unavailable),
        (
            JSONResponse({"message": "Moved Permanently"}, 301, {"location": "/repositories/42/installation"}),
            InvalidInput,
        ),
        (PlainTextResponse("<html>", 200), Unavailable),
        (JSONResponse([], 200), Unavailable),
        (PlainTextResponse("Bad Gateway", 502), Unavailable),
        (JSONResponse({}, 201), Unavailable),
    ],
)
def test_each_answer_means_something(answer: Response, kind: type[DeliveryError], hub: Hub) -> None:
    hub.instead.append(answer)
    with pytest.raises(kind, match="GitHub"):
        installation_token(app(hub, installation="99"), NAME)
