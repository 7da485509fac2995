"""What the description of an image may say: what can't be done here is rejected."""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

RUNS_ARGUMENT = "NODE_VERSION"
"""The build argument that each run gives by itself."""

NOTHING_PRIVATE = "is not supported: a build is handed no secrets and no SSH agent. Fetch what is private before it"
ONE_PLATFORM = "is not supported: an image is built for one platform. Use platform, such as linux/amd64"

UNSUPPORTED = {"secrets": NOTHING_PRIVATE, "secret": NOTHING_PRIVATE, "ssh": NOTHING_PRIVATE, "platforms": ONE_PLATFORM}

SECRET = re.compile(r"(_|^)(apikey|auth|credentials?|key|password|pword|passwd|pwd|secret|token)(_|$)", re.IGNORECASE)
PUBLIC = re.compile(r"(_|^)public(_|$)", re.IGNORECASE)


def supported(fields: object) -> object:
    """Return the fields of a description as they are.

    Raises:
        ValueError: one of them asks for what is not done here.
    """
    asked = UNSUPPORTED.keys() & fields.keys() if isinstance(fields, Mapping) else set[str]()
    for name in sorted(asked):
        raise ValueError(f"{name} {UNSUPPORTED[name]}")
    return fields


def inside(path: str) -> str:
    """Return a path below the folder it is relative to, in its shortest form.

    Raises:
        ValueError: it leads out of there.
    """
    short = PurePosixPath(path)
    if short.is_absolute() or ".." in short.parts or not path.isprintable():
        raise ValueError(f"{path!r:.80} is not a path inside of the repository")
    return str(short)


def relative(path: str) -> str:
    """Return a path from a folder, in its shortest form.

    Raises:
        ValueError: it begins at the root, or has what no path needs.
    """
    if path.startswith("/") or not path.isprintable():
        raise ValueError(f"{path!r:.80} is not a relative path")
    return str(PurePosixPath(path))


def for_each_image(build_args: dict[str, str]) -> dict[str, str]:
    """Build arguments as they are.

    Raises:
        ValueError: one of them is the run's own.
    """
    if RUNS_ARGUMENT in build_args:
        raise ValueError(f"{RUNS_ARGUMENT} is given by each run")
    return build_args


def like_secrets(build_args: Iterable[str]) -> list[str]:
    """Those of these names that look like a secret's, by the rule of BuildKit's check ``SecretsUsedInArgOrEnv``."""
    return [name for name in build_args if SECRET.search(name) and not PUBLIC.search(name)]
