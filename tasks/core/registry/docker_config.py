"""What the docker command keeps on this machine: logins, proxies, and which engine it uses."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.core.errors import AccessDenied

DOCKER_HUB = "registry-1.docker.io"
"""What BuildKit calls the registry that docker login keeps under another name."""

IDENTITY = "<token>"
"""In place of a user name: the password is an identity token, as credential helpers have it."""

PROXIES = ("httpProxy", "httpsProxy", "ftpProxy", "noProxy", "allProxy")


def docker_folder() -> Path:
    """Return the folder with ``config.json``, contexts and certificates."""
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")


def docker_config() -> Mapping[str, Any]:
    """Read ``config.json``; what can't be read is empty, as for the docker command."""
    try:
        found = json.loads((docker_folder() / "config.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def docker_login(host: str) -> tuple[str, str] | None:
    """Return user name and password for a registry, or ``None``; for an identity token the user is :data:`IDENTITY`.

    Raises:
        AccessDenied: there is a login, but it can't be read.
    """
    from docker.auth import load_config  # noqa: PLC0415 - slow to load, and warm runs do without
    from docker.errors import DockerException  # noqa: PLC0415

    try:
        found = load_config().resolve_authconfig(None if host == DOCKER_HUB else host) or {}
    except (DockerException, ValueError, OSError, AttributeError, TypeError) as error:  # it trusts the file's shape
        raise AccessDenied(
            f"The docker login for {host} can't be read: {error}.",
            f"Run docker login {host} again, or remove its credential helper from docker's config.json.",
        ) from None
    # A credential helper's answer has the names in capitals.
    if token := found.get("IdentityToken"):
        return IDENTITY, token
    user, password = (found.get(name) or found.get(name.title()) for name in ("username", "password"))
    return (user, password) if user and password else None


def proxy_arguments(engine: str) -> dict[str, str]:
    """Return the build arguments that ``docker build`` makes from ``proxies``, for the engine at this address."""
    proxies = docker_config().get("proxies") or {}
    chosen = proxies.get(engine) or proxies.get("default") or {}
    named = {key.replace("Proxy", "_proxy"): str(chosen[key]) for key in PROXIES if chosen.get(key)}
    return named | {name.upper(): value for name, value in named.items()}
