"""Hosts that credentials are sent to, by the settings that name them."""

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

RECEIVERS = (
    "source_repo",
    "gitops_repo",
    "github_api_url",
    "argocd_server",
    "ecr_registry",
    "aws_endpoint_url",
    "buildx_builder",
)
"""Settings whose host gets a credential."""

BARE = ("argocd_server", "ecr_registry")
"""Those that may be a host without a scheme; in the others that is a path, a name on GitHub or SSH's notation."""

DEFAULT_PORTS = {"https": ":443", "http": ":80", "tcp": ""}


def hosts(values: Mapping[str, object]) -> dict[str, set[str]]:
    """Return the hosts that each setting names, as ``host[:port]``; a name on GitHub goes with GitHub's API.

    Args:
        values: the settings.
    """
    named = {name: _host(str(values.get(name) or ""), bare=name in BARE) for name in RECEIVERS}
    found = {name: {host} for name, host in named.items() if host}
    if api := named["github_api_url"]:
        found["github_api_url"].add(api.removeprefix("api."))  # where git goes
    return found


def strangers(values: Mapping[str, object], trusted: Iterable[str]) -> dict[str, str]:
    """Return the settings with a host that isn't trusted, each with that host; none if nothing is said of trust."""
    known = {each.lower() for each in trusted}
    each = ((name, sorted(named - known)) for name, named in hosts(values).items()) if known else ()
    return {name: unknown[0] for name, unknown in each if unknown}


def _host(address: str, *, bare: bool) -> str:
    """Return ``host[:port]``; empty for what no credential is sent to over a network."""
    separator = "://" in address
    if not separator and not bare:
        return ""
    try:
        url = urlsplit(address if separator else f"https://{address}")
    except ValueError:  # said where it is used
        return ""
    if url.scheme not in DEFAULT_PORTS:
        return ""
    return url.netloc.rpartition("@")[2].lower().removesuffix(DEFAULT_PORTS[url.scheme])
