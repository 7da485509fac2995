"""Why a build failed: the Dockerfile is to be fixed only if one of its steps is at fault."""

import pytest

from tasks.core.build.buildkit import Step
from tasks.core.build.engine_errors import build_error
from tasks.core.errors import AccessDenied, BuildFailed, DeliveryError, Terminal, Unavailable
from tasks.core.images import ImageSpec

APP = ImageSpec(name="app", dockerfile="build/Dockerfile")
RUN = "[build 4/5] RUN pnpm build"
FROM = "failed to solve: node:20: failed to resolve source metadata for docker.io/library/node:20: "

STEPS = {
    'process "/bin/sh -c pnpm build" did not complete successfully: exit code: 137': "more memory",
    'process "/bin/sh -c pnpm build" did not complete successfully: exit code: 134': "more memory",
    'process "/bin/sh -c pnpm build" did not complete successfully: exit code: 1': "build/Dockerfile",
    'failed to compute cache key: "/denied": not found': "build/Dockerfile",
}


@pytest.mark.parametrize(("error", "hint"), STEPS.items())
def test_a_step_that_fails(error: str, hint: str) -> None:
    failure = build_error(APP, error, Step(9, RUN, error=error))
    assert type(failure) is BuildFailed
    assert hint in failure.hint
    assert RUN in failure.message


GRAMMAR = (
    "dockerfile parse error on line 3: unknown instruction: RUNN",
    "failed to create LLB definition: base name (${B}) should not be blank",
    'failed to parse stage name "node::20": invalid reference format',
    "circular dependency detected on stage: a",
)


@pytest.mark.parametrize("error", GRAMMAR)
def test_a_dockerfile_that_cannot_be_read(error: str) -> None:
    failure = build_error(APP, error, None)
    assert type(failure) is BuildFailed
    assert "build/Dockerfile" in failure.hint


def test_a_step_of_another_platform_needs_emulation() -> None:
    error = 'process "/bin/sh -c pnpm build" did not complete successfully: exit code: 255'
    step = Step(9, RUN, error=error)
    step.lines.append("exec /bin/sh: exec format error")
    assert "emulation" in build_error(APP, error, step).hint


ELSEWHERE: dict[str, tuple[type[DeliveryError], str]] = {
    f"{FROM}429 Too Many Requests - toomanyrequests: You have reached your unauthenticated pull rate limit": (
        Unavailable,
        "docker login",
    ),
    "pull access denied for acme/base, repository does not exist or may require 'docker login'": (
        AccessDenied,
        "docker login docker.io",
    ),
    f"{FROM}failed to authorize: 401 Unauthorized": (AccessDenied, "docker login docker.io"),
    f"{FROM}dial tcp: lookup registry-1.docker.io: no such host": (Unavailable, "reach"),
    "failed to copy: write /var/lib/docker/x: no space left on device": (Terminal, "docker system prune"),
}


@pytest.mark.parametrize(("error", "wanted"), ELSEWHERE.items())
def test_what_is_not_the_dockerfiles_fault(error: str, wanted: tuple[type[DeliveryError], str]) -> None:
    kind, hint = wanted
    failure = build_error(APP, error, Step(2, "[internal] load metadata", error=error))
    assert type(failure) is kind
    assert hint in failure.hint
    assert "build/Dockerfile" not in failure.hint
