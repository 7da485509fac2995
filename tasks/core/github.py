"""GitHub's API, as far as the first flow needs it: the repository dispatch event."""

import re
from urllib.parse import urlsplit

import requests
from github import Auth, BadCredentialsException, Github, GithubException, RateLimitExceededException
from pydantic import SecretStr

from tasks.core.errors import AccessDenied, DeliveryError, InvalidInput, NotFound, Unavailable
from tasks.core.git import ON_GITHUB
from tasks.core.models import EVENT, ImageUpdate

TIMEOUT = 30

TOKEN = re.compile("[!-~]+")
"""What fits into a header; libraries quote other values in their errors."""

BUSY = (requests.codes.request_timeout, requests.codes.too_many_requests)


def repository_dispatch(repository: str, update: ImageUpdate, token: SecretStr | None, api_url: str) -> None:
    """Send ``flowise-image-updated`` and its seven keys to ``owner/name``, as ``peter-evans/repository-dispatch`` does.

    Raises:
        InvalidInput: not a repository on GitHub, or no token.
        AccessDenied, NotFound, Unavailable: as GitHub answers.
    """
    if not ON_GITHUB.fullmatch(repository):
        raise InvalidInput(
            f"A repository dispatch goes to a repository on GitHub, not to {repository}.",
            "Set GITOPS_REPO to owner/name, or DISPATCH_VIA to inline.",
        )
    if token is None or not TOKEN.fullmatch(token.get_secret_value()):
        raise InvalidInput(
            "A repository dispatch needs a token: one word, without line breaks.",
            "Set GITOPS_TOKEN, or make a GitHubCredentials block.",
        )
    # Retries are Prefect's part.
    github = Github(auth=Auth.Token(token.get_secret_value()), base_url=api_url, timeout=TIMEOUT, retry=None)
    try:
        # Not Repository.create_repository_dispatch(): its answer to 401, 404 and 422 is False, without a reason.
        github.requester.requestJsonAndCheck(
            "POST",
            f"/repos/{repository}/dispatches",
            input={"event_type": EVENT, "client_payload": update.payload()},
        )
    except GithubException as error:
        raise _explain(error, repository) from None
    except requests.RequestException as error:
        raise Unavailable(
            f"GitHub at {urlsplit(api_url).netloc} cannot be reached: {error}.", "Check GITHUB_API_URL and the network."
        ) from None
    finally:
        github.close()


def _explain(error: GithubException, repository: str) -> DeliveryError:
    said = f"{error.status} {(error.data or {}).get('message', '') if isinstance(error.data, dict) else error.data}"
    if isinstance(error, RateLimitExceededException) or error.status in BUSY or error.status >= 500:
        return Unavailable(f"GitHub could not take the event for {repository}: {said}")
    if isinstance(error, BadCredentialsException) or error.status in (401, 403):
        return AccessDenied(
            f"GitHub refused the token for {repository}: {said}",
            "GITOPS_TOKEN must not be expired and needs `repo` (classic) or contents: write (fine-grained).",
        )
    if error.status == requests.codes.not_found:
        return NotFound(
            f"GitHub has no repository {repository} that this token may see: {said}",
            "Check GITOPS_REPO and the token's scopes; GitHub answers 404 for private repositories without access.",
        )
    return InvalidInput(f"GitHub refused the event for {repository}: {said}")
