"""Short-lived tokens of a GitHub App's installation, each for one repository alone."""

import time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from tasks.core.errors import AccessDenied, DeliveryError, InvalidInput, NotFound, Unavailable
from tasks.core.system.http import request_with_deadline

TIMEOUT = 30.0

LEFT = 2400
"""Seconds a token has to be good for: longer than any task that is given it. GitHub's last an hour."""

LARGEST = 1024 * 1024


class App(NamedTuple):
    """A GitHub App: its id, its key (PEM), its installation (empty: that of the repository), and GitHub's API."""

    id: str
    key: SecretStr
    installation: str
    api_url: str


_tokens: dict[tuple[str, str, str], tuple[float, SecretStr]] = {}


def installation_token(app: App, repository: str) -> SecretStr:
    """Return a token for a repository; the same one for about twenty minutes.

    Raises:
        InvalidInput: the key is not one.
        NotFound: the App is not installed there.
        AccessDenied, Unavailable: as GitHub answers.
    """
    known = (app.api_url, app.id, repository)
    until, token = _tokens.get(known, (0.0, SecretStr("")))
    if until < time.monotonic():
        token = _new_token(app, repository)
        _tokens[known] = (time.monotonic() + 3600 - LEFT, token)
    return token


def _new_token(app: App, repository: str) -> SecretStr:
    owner_and_name = f"repos/{repository}/installation"
    with httpx.Client(base_url=app.api_url, headers=_headers(app)) as client:
        installation = app.installation or _ask(client, "GET", owner_and_name, app, repository)["id"]
        body = {"repositories": [repository.partition("/")[2]]}
        made = _ask(client, "POST", f"app/installations/{installation}/access_tokens", app, repository, json=body)
    if not isinstance(made.get("token"), str):
        raise Unavailable(f"GitHub answered without a token for the App {app.id}.")
    return SecretStr(made["token"])


def _headers(app: App) -> dict[str, str]:
    from github import Auth  # noqa: PLC0415 - PyGithub is slow to load

    pem = app.key.get_secret_value().replace("\\n", "\n")
    try:
        jwt = Auth.AppAuth(app.id, pem).create_jwt()
    except Exception:  # whatever it is; it may quote the key
        raise InvalidInput(
            f"GITHUB_APP_PRIVATE_KEY is not a private key of the App {app.id}.", "Set it to the text of the PEM file."
        ) from None
    return {"Authorization": f"Bearer {jwt}", "Accept": "application/vnd.github+json"}


def _ask(client: httpx.Client, method: str, path: str, app: App, repository: str, **body: Any) -> dict[str, Any]:  # noqa: ANN401
    try:
        answer = request_with_deadline(client, method, path, TIMEOUT, LARGEST, **body)
    except httpx.HTTPError as error:
        raise Unavailable(f"GitHub at {urlsplit(app.api_url).netloc} cannot be reached: {error}.") from None
    try:
        said = answer.json()
    except ValueError:
        said = None
    if answer.is_success and isinstance(said, dict):
        return said
    raise _explain(answer, said.get("message", "") if isinstance(said, dict) else "no JSON", app, repository)


def _explain(answer: httpx.Response, words: str, app: App, repository: str) -> DeliveryError:
    said = f"{answer.status_code} {words}"
    if answer.has_redirect_location:
        return InvalidInput(
            f"GitHub redirects calls for {repository}: {said}",
            "Set SOURCE_REPO and GITOPS_REPO to the repositories' present names, GITHUB_API_URL to the API's address.",
        )
    if "rate limit" in words.lower():
        return Unavailable(f"GitHub gave no token for the App {app.id}: {said}")
    if answer.status_code in (401, 403):
        return AccessDenied(
            f"GitHub refused the key of the App {app.id}: {said}", "Check GITHUB_APP_ID, its key, and the clock."
        )
    if answer.status_code in (404, 422):
        return NotFound(
            f"The GitHub App {app.id} is not installed on {repository}: {said}",
            "Install it there, or correct GITHUB_APP_INSTALLATION_ID.",
        )
    return Unavailable(f"GitHub gave no token for the App {app.id}: {said}")
