"""What the description of an image may say: what cannot be done here, or would give a secret away, is refused."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

RUNS_ARGUMENT = "NODE_VERSION"
"""The build argument that each run gives by itself."""

NOTHING_PRIVATE = "is not supported: a build is handed no secrets and no SSH agent. Fetch what is private before it"
ONE_PLATFORM = "is not supported: an image is built for one platform. Use platform, such as linux/amd64"

UNSUPPORTED = {"secrets": NOTHING_PRIVATE, "secret": NOTHING_PRIVATE, "ssh": NOTHING_PRIVATE, "platforms": ONE_PLATFORM}

SECRET = re.compile(r"(_|^)(apikey|auth|credentials?|key|password|pword|passwd|pwd|secret|token)(_|$)", re.IGNORECASE)
"""Names that BuildKit's own check ``SecretsUsedInArgOrEnv`` takes for secrets."""

MOUNT = re.compile(
    r"^[ \t]*(?:ONBUILD\s+)?RUN\s+(?:--\S+\s+)*?--mount=(?:[^\s,]+,)*type=(secret|ssh)\b", re.IGNORECASE | re.MULTILINE
)
"""A step that wants something of the one who builds (Dockerfile reference, "RUN --mount")."""


def supported(fields: object) -> object:
    """The fields of a description as they are.

    Raises:
        ValueError: one of them asks for what is not done here.
    """
    asked = UNSUPPORTED.keys() & fields.keys() if isinstance(fields, Mapping) else set[str]()
    for name in sorted(asked):
        raise ValueError(f"{name} {UNSUPPORTED[name]}")
    return fields


def inside(path: str) -> str:
    """A path below the folder it is relative to, in its shortest form.

    Raises:
        ValueError: it leads out of there.
    """
    short = PurePosixPath(path)
    if short.is_absolute() or ".." in short.parts or not path.isprintable():
        raise ValueError(f"{path!r:.80} is not a path inside of the repository")
    return str(short)


def public(build_args: dict[str, str]) -> dict[str, str]:
    """Build arguments as they are.

    Raises:
        ValueError: one of them is called like a secret, or is the run's own.
    """
    for name in build_args:
        if SECRET.search(name):
            raise ValueError(f"{name} is called like a secret: build arguments stay readable in the image's history")
        if name == RUNS_ARGUMENT:
            raise ValueError(f"{name} is given by each run")
    return build_args


def unsupported_mount(dockerfile: str) -> str | None:
    """The kind of the first ``RUN --mount`` that no build is given, ``secret`` or ``ssh``; ``None`` without one."""
    # Comments go first: they may stand between the lines of one instruction.
    lines = "\n".join(line for line in dockerfile.splitlines() if not line.lstrip().startswith("#"))
    found = MOUNT.search(re.sub(r"\\[ \t]*\n", " ", lines))
    return found[1].lower() if found else None
