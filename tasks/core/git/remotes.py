"""Addresses of git repositories: what a setting may say, and whose credentials go there."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

from tasks.core.errors import InvalidInput

ON_GITHUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class Remote:
    """A repository somewhere else.

    Args:
        url: anything git fetches from, without credentials in it.
        token: the password for ``https``, or ``None``.
        user: the user name that goes with it.
        timeout: seconds that one command may take.
    """

    url: str
    token: SecretStr | None = None
    timeout: float = 600
    user: str = "x-access-token"


USERS = {"gitlab": "oauth2", "bitbucket": "x-token-auth"}
"""The user names for tokens, by a part of the host's name; other servers take any name, or want the account's own."""


def user_of(url: str) -> str:
    """Return the user name that a token's server wants with it, as far as its host tells."""
    host = (urlsplit(url).hostname or "").lower()
    return next((user for part, user in USERS.items() if part in host), Remote.user)


def remote(repository: str, token: SecretStr | None, api_url: str, timeout: float = 600) -> Remote:
    """Return the remote that a setting names: ``owner/name`` is on the GitHub of ``api_url``, the rest is git's own.

    Raises:
        InvalidInput: the text could be taken for an option, or carries a password.
    """
    _check_address(repository)
    if ON_GITHUB.fullmatch(repository):
        return Remote(f"{web_url(api_url)}/{repository}.git", token, timeout)
    return Remote(repository, token, timeout)


def github_name(repository: str, api_url: str) -> str:
    """Return ``owner/name`` for any address of a repository on the GitHub of ``api_url``, and other text as it is."""
    host = re.escape(urlsplit(web_url(api_url)).netloc)
    name = host.partition(":")[0]
    address = rf"(?:https?://{host}/|ssh://(?:git@)?(?:ssh\.)?{name}(?::\d+)?/|(?:git@)?{name}:)({ON_GITHUB.pattern}?)(?:\.git)?/?"
    found = re.fullmatch(address, repository)
    return found[1] if found else repository


def _check_address(repository: str) -> None:
    try:
        address = urlsplit(repository)
    except ValueError:  # its words may hold a password
        raise InvalidInput("The git repository's URL is not one.", "Look at its host, brackets included.") from None
    if address.password or (address.username and address.scheme in ("http", "https")):
        raise InvalidInput(
            f"The URL of {address.hostname}{address.path} carries credentials.",
            "Take them out of the URL and set GITOPS_TOKEN: URLs end up in logs and process lists.",
        )
    if not repository.isprintable() or repository.startswith("-"):
        raise InvalidInput(f"{repository!r:.100} is not a git repository.", "Use owner/name, a git URL or a path.")


def web_url(api_url: str) -> str:
    """Where people and git go: https://github.com for https://api.github.com, https://HOST for https://HOST/api/v3."""
    return api_url.rstrip("/").removesuffix("/api/v3").replace("://api.", "://", 1)
