"""GitHub's API, as far as deployments need it: the repository dispatch, pull requests, statuses and deployments."""

import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit

import requests
from github import Auth, BadCredentialsException, Github, GithubException, RateLimitExceededException
from github.PullRequest import PullRequest
from github.Repository import Repository
from pydantic import HttpUrl, SecretStr, TypeAdapter

from tasks.core.errors import AccessDenied, DeliveryError, InvalidInput, NotFound, RateLimited, Unavailable
from tasks.core.git import ON_GITHUB
from tasks.core.models import NOT_SHOWN, Environment, ImageUpdate, ShownDeployment
from tasks.core.names import Names
from tasks.core.system.http import within
from tasks.core.text import one_line

TIMEOUT = 30

TOKEN = re.compile("[!-~]+")
"""What fits into a header; libraries quote other values in their errors."""

URL = TypeAdapter(HttpUrl)

WRAPPER = re.compile(r"^(HTTPS?Connection(Pool)?\([^)]*\)|<[^>]*>): ")
"""Objects that urllib3 names before its words."""

OURS = Names()

BUSY = (requests.codes.request_timeout, requests.codes.too_many_requests)

REDIRECTS = (requests.codes.temporary_redirect, requests.codes.permanent_redirect)
"""Those that keep a call's method; PyGithub follows 301 by itself, and no other."""

MOST_REDIRECTS, LONGEST_WAIT, SHA = 3, 2, 40
"""Redirects that are followed; how many answers' times GitHub may ask us to wait; a whole sha's length."""

UNTOLD, LONGEST_TOLD = 60.0, 86400.0
"""Seconds to wait at a secondary limit if GitHub doesn't say how long, by its page on rate limits; and the most that an
answer is believed."""

P = ParamSpec("P")
R = TypeVar("R")

ACCESS = "repo (classic) or contents, pull requests, statuses, deployments: write (fine-grained), as used"


def _exchanges(count: int) -> "Callable[[Callable[Concatenate[GitHub, P], R]], Callable[Concatenate[GitHub, P], R]]":
    """Give a method the time of so many exchanges: PyGithub's own timeout is for each step of one.

    If GitHub says how soon it takes calls again, the method is tried once more then.
    """

    def limited(method: "Callable[Concatenate[GitHub, P], R]") -> "Callable[Concatenate[GitHub, P], R]":
        @wraps(method)
        def run(github: "GitHub", /, *args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return once(github, *args, **kwargs)
            except Unavailable as busy:
                if not busy.after:
                    raise
                time.sleep(busy.after)
            return once(github, *args, **kwargs)

        def once(github: "GitHub", /, *args: P.args, **kwargs: P.kwargs) -> R:
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
        names: what this application's events and statuses are called.

    Raises:
        InvalidInput: not a repository on GitHub, or no token.
    """

    def __init__(
        self, repository: str, token: SecretStr | None, api_url: str, timeout: int = TIMEOUT, names: Names = OURS
    ) -> None:
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
        self.timeout, self._names = timeout, names

    @_exchanges(3)
    def dispatch(self, update: ImageUpdate) -> None:
        """Send the event and its seven keys, as ``peter-evans/repository-dispatch`` does.

        Raises:
            InvalidInput, AccessDenied, NotFound, RateLimited, Unavailable: as GitHub answers.
        """
        with self._api() as api:
            self._call(
                api,
                "POST",
                "dispatches",
                {"event_type": self._names.event, "client_payload": update.payload()},
                wanted=204,
            )

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
        """Return the commit on the base branch that a pull request was merged as; empty while it is open.

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
    def show(
        self, sha: str, environment: Environment, state: str, words: str, url: str, shown: ShownDeployment = NOT_SHOWN
    ) -> int:
        """Show a delivery of a commit: as the commit's status, and as a GitHub deployment with its states.

        Args:
            sha: the source commit.
            environment: where it goes.
            state: ``in_progress``, ``success``, ``failure``, or ``inactive`` for what a newer one replaced.
            words: for people, cut to GitHub's 140 characters.
            url: the run's page; empty where it has none.
            shown: where the environment answers, and what was shown of this delivery so far.

        Returns:
            The GitHub deployment's id, for this delivery's next state.

        Raises:
            InvalidInput, AccessDenied, NotFound, RateLimited, Unavailable: as GitHub answers.
        """
        described = {"description": words[:140]}
        link, log = ({"target_url": url}, {"log_url": url}) if url else ({}, {})
        status = {"in_progress": "pending", "inactive": "success"}.get(state, state)
        with self._api() as api:
            commit = sha if len(sha) == SHA else self._call(api, "GET", f"commits/{sha}", wanted=200)["sha"]
            context = {"state": status, "context": self._names.proposal(environment)}
            self._call(api, "POST", f"statuses/{commit}", context | described | link, wanted=201)
            number = shown.id or self._deployment(api, commit, environment, described)
            site = {"environment_url": shown.endpoint} if shown.endpoint.startswith("http") else {}
            states = f"deployments/{number}/statuses"
            self._call(api, "POST", states, {"state": state} | described | log | site, wanted=201)
        return number

    def _deployment(self, api: Github, commit: str, environment: Environment, described: dict[str, str]) -> int:
        # One for each delivery: GitHub takes the newest one for what is deployed, also if its commit was there before.
        wanted = {"ref": commit, "environment": environment, "auto_merge": False, "required_contexts": []}
        return int(self._call(api, "POST", "deployments", wanted | described, wanted=201)["id"])

    def _call(self, api: Github, verb: str, path: str, body: object = None, *, wanted: int) -> Any:  # noqa: ANN401 - JSON
        """Send a call and follow redirects on the same host; a status other than the wanted one is no success."""
        url = f"/repos/{self._repository}/{path}"
        for _ in range(MOST_REDIRECTS):
            status, headers, text = api.requester.requestJson(verb, url, input=body)
            if status not in REDIRECTS:
                break
            url = self._on_this_host(str(headers.get("location", "")))
        if status == wanted:
            return json.loads(text) if text else None
        if status >= requests.codes.bad_request:
            raise api.requester.createException(status, headers, _message(text))
        if to := headers.get("location"):
            raise self._moved(str(to))
        raise ValueError(f"the status {status}")

    def _on_this_host(self, location: str) -> str:
        here, there = urlsplit(self._api_url), urlsplit(location)
        if (here.scheme, here.netloc) != (there.scheme, there.netloc):
            raise self._moved(location)
        return location

    @contextmanager
    def _api(self) -> Iterator[Github]:
        # Retries are Prefect's part, and a delivery is three or four calls: no pauses of PyGithub's between them.
        pauses: dict[str, Any] = {"seconds_between_requests": None, "seconds_between_writes": None}
        api = Github(
            auth=Auth.Token(self._token),
            base_url=self._api_url,
            timeout=self.timeout,
            retry=None,
            verify=os.environ.get("SSL_CERT_FILE") or True,  # requests knows another variable only
            **pauses,
        )
        try:
            yield api
        except GithubException as error:
            raise self._explain(error) from None
        except (TypeError, AttributeError, LookupError, ValueError, AssertionError) as error:  # of what is no JSON
            raise Unavailable(
                f"What answers at {urlsplit(self._api_url).netloc} isn't GitHub's API: {one_line(str(error)):.200}.",
                "Check GITHUB_API_URL; a proxy or a login page may answer in its place.",
            ) from None
        except RuntimeError as error:  # PyGithub's, for a redirect to another host
            raise self._moved(str(error).partition(", please")[0]) from None
        except requests.RequestException as error:
            raise Unavailable(
                f"GitHub at {urlsplit(self._api_url).netloc} cannot be reached: {_cause(error)}.",
                "Check GITHUB_API_URL and the network.",
            ) from None
        finally:
            api.close()

    def _busy(self, said: str, wait: float) -> DeliveryError:
        message = f"GitHub could not take a call for {self._repository}: {said}"
        if wait > LONGEST_WAIT * self.timeout:
            until = datetime.now(UTC) + timedelta(seconds=wait)
            return RateLimited(message, f"GitHub takes calls with these credentials again at {until:%H:%M:%S} UTC.")
        busy = Unavailable(message)
        busy.after = wait
        return busy

    def _moved(self, to: str) -> InvalidInput:
        return InvalidInput(
            f"GitHub redirects calls for {self._repository}: {to}.",
            "Set GITOPS_REPO to the repository's present name, and GITHUB_API_URL to the API's own address.",
        )

    def _explain(self, error: GithubException) -> DeliveryError:
        said = f"{error.status} {_reasons(error.data)}"
        wait, limited = _seconds_to_wait(error.headers or {}), isinstance(error, RateLimitExceededException)
        if limited or error.status in BUSY or error.status >= 500 or (error.status == 403 and wait):
            return self._busy(said, wait or (UNTOLD if "secondary rate limit" in said else 0))
        if error.status == requests.codes.unprocessable and "already exists" in said:
            return Unavailable(f"Somebody else was faster at GitHub for {self._repository}: {said}")
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


def _cause(error: requests.RequestException) -> str:
    """Return the words of what lies at the bottom; requests and urllib3 wrap it in their own objects' names."""
    cause: object = error
    while isinstance(cause, BaseException) and cause.args:
        inner = getattr(cause, "reason", None) or cause.args[-1]
        if not isinstance(inner, (BaseException, str)):
            break
        cause = inner
    return WRAPPER.sub("", one_line(str(cause))).rstrip(".")


def _reasons(data: object) -> str:
    """Return the message of GitHub's answer, with its ``errors``, where the reason stands."""
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


def _seconds_to_wait(headers: Mapping[str, Any]) -> float:
    """Return how long GitHub wants to be left alone, by its page on best practices; 0 if it doesn't say."""
    told = str(headers.get("retry-after", ""))
    if told.isdecimal():
        return min(float(told), LONGEST_TOLD)
    reset = str(headers.get("x-ratelimit-reset", ""))
    if headers.get("x-ratelimit-remaining") == "0" and reset.isdecimal():
        return min(max(float(reset) - time.time(), 1.0), LONGEST_TOLD)
    return 0.0


def _message(text: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(text)
    except ValueError:
        return {"message": "an answer that isn't JSON"}
