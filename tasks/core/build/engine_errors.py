"""What the Docker Engine's words mean, when it does not build."""

import re

import requests

from tasks.core.build.buildkit import Step
from tasks.core.errors import BuildFailed, DeliveryError, InvalidInput, Terminal, Unavailable
from tasks.core.images import ImageSpec
from tasks.core.registry.errors import FAILED, cause, rejection

NETWORK = re.compile(
    r"(?<![\w./-])(client\.timeout|timeout|timed out|deadline exceeded|connection (refused|reset)|no such host|eof"
    r"|no route to host|network is unreachable|server misbehaving|temporary failure|too many requests|toomanyrequests"
    r"|server error|service unavailable|bad gateway|transport is closing)(?![\w./-])"
)
"""What a network or a busy server is known by; not as a part of a path or a name, such as ``src/timeout.ts``."""

NO_SPACE = "no space left"

BASE = re.compile(r"(?:source metadata for|pull access denied for|failed to authorize:|pulling from host) (\S+?)[:,]? ")
"""What BuildKit says when it can't have an image that the Dockerfile starts from."""

ITS_OWN = re.compile(
    r"dockerfile parse error|base name \(|failed to parse (stage|platform)|invalid reference format|circular dependency"
    r"|no build stage in current context|file with no instructions|dockerfile cannot be empty"
)
"""What BuildKit says of a Dockerfile that it can't read."""

NO_BASE = "base name ("
"""What it says of a ``FROM`` whose argument has no value."""

KILLED = re.compile(r"exit code: (137|134)\b")
"""How a step ends that the kernel killed, or Node.js itself, because there was no memory left."""

MEMORY = "Give the engine more memory, or the step less to do, such as NODE_OPTIONS=--max-old-space-size in build_args."

FOREIGN = "exec format error"
"""What a program of another platform ends with."""

EMULATION = "Register emulation for that platform where it is built (binfmt), or use a builder of that platform."


def build_error(image: ImageSpec, error: str, step: Step | None, line: int = 0) -> DeliveryError:
    """Why a build failed: ``error`` is what the engine said last, ``step`` what failed by itself, at ``line``."""
    said = error.lower()
    its_own = ITS_OWN.search(said) is not None or (step is not None and "exit code" in step.error)
    if not its_own and (base := BASE.search(f"{error} ")) and (why := cause(error)) is not FAILED:
        return rejection(why, _with_host(base[1]), error)
    if not its_own and NO_SPACE in said:
        return Terminal(f"The Docker Engine has no space left to build {image.name}.", "Run docker system prune there.")
    if not its_own and NETWORK.search(said):
        return Unavailable(
            f"The build of {image.name} could not get what it needs: {error}", "Can the engine reach it?"
        )
    path = image.dockerfile_path
    at_line = f"{path}:{line}, " if line else ""
    where = f" at {at_line}{step.name}" if step else ""
    tail = "".join(f"\n  {line}" for line in step.lines) if step else ""
    if its_own and step and KILLED.search(step.error):
        return BuildFailed(f"The build of {image.name} ran out of memory{where}: {error}{tail}", MEMORY)
    if NO_BASE in said:
        hint = f"Give the argument a default before the first FROM of {path}, or a value in the image's build_args."
        return BuildFailed(f"The build of {image.name} failed: {error}", hint)
    hint = f"Fix {path}." if step or its_own else ""
    if FOREIGN in f"{said}{tail}":
        hint = EMULATION
    return BuildFailed(f"The build of {image.name} failed{where}: {error}{tail}", hint)


def _with_host(image: str) -> str:
    """Return an image's name as it is with its registry; without one it is Docker Hub's."""
    first, slash, _ = image.partition("/")
    return image if slash and (set(".:") & set(first) or first == "localhost") else f"docker.io/{image}"


def refused(what: str, response: requests.Response) -> DeliveryError:
    """Why the engine did not even begin."""
    try:
        said = str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        said = response.text[:500]
    if NO_SPACE in said:
        return Terminal(f"{what}: {said}", "Run docker system prune there.")
    if response.status_code >= requests.codes.server_error and "dockerfile" not in said.lower():
        return Unavailable(f"{what}: {said}")
    return InvalidInput(f"{what}: {said}", "Check the Dockerfile's path and the platform.")
