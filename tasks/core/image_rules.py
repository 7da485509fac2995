"""What the description of an image may say: what is said elsewhere is rejected."""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

RUNS_ARGUMENT = "NODE_VERSION"
"""The build argument that each run gives by itself."""

PLATFORM = r"[a-z0-9]+(/[a-z0-9]+){1,2}"
PLATFORMS = rf"^{PLATFORM}(,{PLATFORM})*$"

SECRETS = "is no field of an image. Set BUILDER=buildx and BUILD_SECRETS: see docs/builders.md"
SSH = "is no field of an image. Set BUILDER=buildx and BUILD_SSH: see docs/builders.md"
SEVERAL = "is no field of an image. Write platform with commas, such as linux/amd64,linux/arm64, and set BUILDER=buildx"

UNSUPPORTED = {"secrets": SECRETS, "secret": SECRETS, "ssh": SSH, "platforms": SEVERAL}

SECRET = re.compile(r"(_|^)(apikey|auth|credentials?|key|password|pword|passwd|pwd|secret|token)(_|$)", re.IGNORECASE)
PUBLIC = re.compile(r"(_|^)public(_|$)", re.IGNORECASE)


def supported(fields: object) -> object:
    """Return the fields of a description as they are.

    Raises:
        ValueError: one of them asks for what is set elsewhere.
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
