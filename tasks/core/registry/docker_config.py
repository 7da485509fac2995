"""What ``docker login`` left on this machine."""

from tasks.core.errors import AccessDenied

DOCKER_HUB = "registry-1.docker.io"
"""What BuildKit calls the registry that docker login keeps under another name."""


def docker_login(host: str) -> tuple[str, str] | None:
    """User name and password for a registry, or ``None``.

    Raises:
        AccessDenied: there is something, but it cannot be read.
    """
    from docker.auth import load_config  # noqa: PLC0415 - slow to load, and warm runs do without
    from docker.errors import DockerException  # noqa: PLC0415

    try:
        found = load_config().resolve_authconfig(None if host == DOCKER_HUB else host) or {}
    except DockerException as error:
        raise AccessDenied(
            f"What docker login left for {host} cannot be read: {error}.", f"Run docker login {host} again."
        ) from None
    # A credential helper's answer has the names in capitals.
    user, password = (found.get(name) or found.get(name.title()) for name in ("username", "password"))
    return (user, password) if user and password else None
