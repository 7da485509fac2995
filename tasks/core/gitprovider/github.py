"""GitHub's API, as far as deployments need it: the repository dispatch, pull requests, statuses and deployments."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit

import requests
from github import Auth, BadCredentialsException, Github, GithubException, RateLimitExceededException
from github.GithubObject import NotSet
from github.PullRequest import PullRequest
from github.Repository import Repository
from pydantic import HttpUrl, SecretStr, TypeAdapter

from tasks.core.errors import AccessDenied, DeliveryError, InvalidInput, NotFound, Unavailable
from tasks.core.git import ON_GITHUB
from tasks.core.models import EVENT, Environment, ImageUpdate
from tasks.core.system.http import within

TIMEOUT = 30

TOKEN = re.compile("[!-~]+")
"""What fits into a header; libraries quote other values in their errors."""

URL = TypeAdapter(HttpUrl)

BUSY = (requests.codes.request_timeout, requests.codes.too_many_requests)

P = ParamSpec("P")
R = TypeVar("R")

ACCESS = "repo (classic) or contents, pull requests, statuses, deployments: write (fine-grained), as used"


def _exchanges(count: int) -> "Callable[[Callable[Concatenate[GitHub, P], R]], Callable[Concatenate[GitHub, P], R]]":
    """Give a method the time of so many exchanges: PyGithub's own timeout is for each step of one."""

    def limited(method: "Callable[Concatenate[GitHub, P], R]") -> "Callable[Concatenate[GitHub, P], R]":
        @wraps(method)
        def run(github: "GitHub", /, *args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return within(github.timeout * count, lambda: method(github, *args, **kwargs))
            except TimeoutError:
                raise Unavailable(f"GitHub did not answer in full within {github.timeout * count:g} seconds.") from None

        return run

    return limited


class GitHub:
    """A repository on GitHub.

    Args:
        repository: ``owner/name``.
        token: what the repository's owner allows it is in its scopes.
        api_url: GitHub's API.
        timeout: seconds GitHub has for each answer.

    Raises:
        InvalidInput: not a repository on GitHub, or no token.
    """

    def __init__(self, repository: str, token: SecretStr | None, api_url: str, timeout: int = TIMEOUT) -> None:
        if not ON_GITHUB.fullmatch(repository):
            raise InvalidInput(
                f"{repository} is not a repository on GitHub.",
                "Set it to owner/name, or leave out what only GitHub has: its dispatch, pull requests, statuses.",
            )
        if token is None or not TOKEN.fullmatch(token.get_secret_value()):
            raise InvalidInput(
                f"GitHub needs a token for {repository}: one word, without line breaks.",
                "Set GITOPS_TOKEN, or make a GitHubCredentials block.",
            )
        self._repository, self._token, self._api_url = repository, token.get_secret_value(), api_url
        self.timeout = timeout

    @_exchanges(1)
    def dispatch(self, update: ImageUpdate) -> None:
        """Send ``flowise-image-updated`` and its seven keys, as ``peter-evans/repository-dispatch`` does.

        Raises:
            InvalidInput, AccessDenied, NotFound, Unavailable: as GitHub answers.
        """
        with self._api() as api:
            # Not Repository.create_repository_dispatch(): its answer to 401, 404 and 422 is False, without a reason.
            event = {"event_type": EVENT, "client_payload": update.payload()}
            headers, _ = api.requester.requestJsonAndCheck("POST", f"/repos/{self._repository}/dispatches", input=event)
            if to := headers.get("location"):  # PyGithub takes a redirect of a POST for a success
                raise self._moved(str(to))

    @_exchanges(4)
    def propose(self, branch: str, base: str, title: str, body: str) -> str:
        """Open a pull request from a branch, or bring the open one up to date; returns its address.

        Raises:
            InvalidInput, AccessDenied, NotFound, Unavailable: as GitHub answers.
        """
        with self._api() as api:
            repository = api.get_repo(self._repository)
            pull = next(iter(self._open(repository, branch, base)), None)
            if pull:
                pull.edit(title=title, body=body)
            else:
                pull = repository.create_pull(base=base, head=branch, title=title, body=body)
            return str(URL.validate_python(pull.html_url))

    @_exchanges(2)
    def under_review(self, branch: str, base: str) -> bool:
        """Whether a pull request from a branch is open.

        Raises:
            InvalidInput, AccessDenied, NotFound, Unavailable: as GitHub answers.
        """
        with self._api() as api:
            return any(True for _ in self._open(api.get_repo(self._repository), branch, base))

    @_exchanges(4)
    def close(self, branch: str, base: str, why: str) -> str:
        """Close the open pull request from a branch with a comment; returns its address, empty if there is none.

        Raises:
            InvalidInput, AccessDenied, NotFound, Unavailable: as GitHub answers.
        """
        with self._api() as api:
            for pull in self._open(api.get_repo(self._repository), branch, base):
                comments = f"/repos/{self._repository}/issues/{pull.number}/comments"
                api.requester.requestJsonAndCheck("POST", comments, input={"body": why})
                pull.edit(state="closed")
                return pull.html_url
        return ""

    @_exchanges(2)
    def merged_as(self, url: str) -> str | None:
        """The commit on the base branch that a pull request was merged as; empty while it is open.

        Returns:
            ``None`` where it was closed without.

        Raises:
            InvalidInput, AccessDenied, NotFound, Unavailable: as GitHub answers.
        """
        with self._api() as api:
            pull = api.get_repo(self._repository).get_pull(int(url.rpartition("/")[2]))
            if pull.merged:
                return pull.merge_commit_sha
            return "" if pull.state == "open" else None

    def _open(self, repository: Repository, branch: str, base: str) -> Iterable[PullRequest]:
        return repository.get_pulls(state="open", base=base, head=f"{self._repository.partition('/')[0]}:{branch}")

    @_exchanges(6)
    def show(self, sha: str, environment: Environment, state: str, words: str, url: str) -> None:
        """Show a deployment of a commit: as the commit's status, and as a GitHub deployment with its states.

        Args:
            sha: the source commit.
            environment: where it goes.
            state: ``in_progress``, ``success``, ``failure``, or ``inactive`` for what a newer one replaced.
            words: for people, cut to GitHub's 140 characters.
            url: the run's page; empty where it has none.

        Raises:
            InvalidInput, AccessDenied, NotFound, Unavailable: as GitHub answers.
        """
        with self._api() as api:
            repository = api.get_repo(self._repository)
            status = {"in_progress": "pending", "inactive": "success"}.get(state, state)
            repository.get_commit(sha).create_status(
                status, target_url=url or NotSet, description=words[:140], context=f"flowise/{environment}"
            )
            known = repository.get_deployments(sha=sha, environment=environment)
            deployment = next(iter(known), None) or repository.create_deployment(
                sha, environment=environment, auto_merge=False, required_contexts=[], description=words[:140]
            )
            deployment.create_status(state, target_url=url or NotSet, description=words[:140])

    @contextmanager
    def _api(self) -> Iterator[Github]:
        # Retries are Prefect's part.
        api = Github(
            auth=Auth.Token(self._token),
            base_url=self._api_url,
            timeout=self.timeout,
            retry=None,
            verify=os.environ.get("SSL_CERT_FILE") or True,  # requests knows another variable only
        )
        try:
            yield api
        except GithubException as error:
            raise self._explain(error) from None
        except (TypeError, AttributeError, LookupError, ValueError, AssertionError) as error:  # of what is no JSON
            raise Unavailable(
                f"What answers at {urlsplit(self._api_url).netloc} isn't GitHub's API: {error!r:.200}.",
                "Check GITHUB_API_URL; a proxy or a login page may answer in its place.",
            ) from None
        except RuntimeError as error:  # PyGithub's, for a redirect to another host
            raise self._moved(str(error).partition(", please")[0]) from None
        except requests.RequestException as error:
            raise Unavailable(
                f"GitHub at {urlsplit(self._api_url).netloc} cannot be reached: {error}.",
                "Check GITHUB_API_URL and the network.",
            ) from None
        finally:
            api.close()

    def _moved(self, to: str) -> InvalidInput:
        return InvalidInput(
            f"GitHub redirects calls for {self._repository}: {to}.",
            "Set GITOPS_REPO to the repository's present name, and GITHUB_API_URL to the API's own address.",
        )

    def _explain(self, error: GithubException) -> DeliveryError:
        said = f"{error.status} {_reasons(error.data)}"
        if isinstance(error, RateLimitExceededException) or error.status in BUSY or error.status >= 500:
            return Unavailable(f"GitHub could not take a call for {self._repository}: {said}")
        if isinstance(error, BadCredentialsException) or error.status in (401, 403):
            return AccessDenied(
                f"GitHub refused the token for {self._repository}: {said}",
                f"GITOPS_TOKEN must not be expired and needs {ACCESS}.",
            )
        if error.status == requests.codes.not_found:
            return NotFound(
                f"GitHub has no repository {self._repository} that this token may see: {said}",
                "Check its name and the token's scopes; GitHub answers 404 for private repositories without access.",
            )
        return InvalidInput(f"GitHub refused a call for {self._repository}: {said}")


def _reasons(data: object) -> str:
    """The message of GitHub's answer, with its ``errors``, where the reason stands."""
    if not isinstance(data, dict):
        return str(data or "")
    listed = data.get("errors")
    errors = [_reason(each) for each in listed] if isinstance(listed, list) else [str(listed or "")]
    return ": ".join(filter(None, [str(data.get("message") or ""), "; ".join(filter(None, errors))]))


def _reason(error: object) -> str:
    """One of the ``errors``: its own words, else which field of what is wrong and how."""
    if not isinstance(error, dict):
        return str(error)
    field = ".".join(str(error[name]) for name in ("resource", "field") if error.get(name))
    return str(error.get("message") or f"{field} is {error.get('code') or 'wrong'}")
