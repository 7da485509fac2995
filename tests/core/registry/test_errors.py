"""What registries, ECR and the engine say, and what it means: the cause, and whether another try makes sense."""

import pytest

from tasks.core.errors import (
    AccessDenied,
    Conflict,
    DeliveryError,
    LimitReached,
    LoginExpired,
    NotFound,
    Retryable,
    Terminal,
    Unavailable,
)
from tasks.core.registry.errors import push_error

IMAGE = "registry.example.com/team/flowise-server:v1"
SAID = {
    "tag invalid: The image tag 'v1' already exists in the 'team/flowise-server' repository and cannot be overwritten "
    "because the tag is immutable.": (Conflict, "tag_version"),
    "denied: Adding tag 'v1' to an image in the repository exceeds the maximum allowed number of tags per image which "
    "is '1000'": (LimitReached, "Delete old tags"),
    "denied: adding 10 MiB of storage will exceed the upper limit of 1 GiB: quota exceeded": (
        LimitReached,
        "quota raised",
    ),
    "toomanyrequests: You have reached your pull rate limit. You may increase the limit by authenticating": (
        Unavailable,
        "docker login",
    ),
    "Rate exceeded": (Unavailable, "Wait"),
    "received unexpected HTTP status: 500: write /var/lib/registry: no space left on device": (Terminal, "Free some"),
    "denied: Your authorization token has expired. Reauthenticate and try again.": (LoginExpired, "Run again"),
    "denied: User: arn:aws:iam::123456789012:user/ci is not authorized to perform: ecr:InitiateLayerUpload on "
    "resource: arn:aws:ecr:eu-west-1:123456789012:repository/x because no identity-based policy allows it": (
        AccessDenied,
        "Allow ecr:InitiateLayerUpload in the IAM policy",
    ),
    "unauthorized: authentication required": (AccessDenied, "docker login registry.example.com"),
    "no basic auth credentials": (AccessDenied, "docker login registry.example.com"),
    "name unknown: The repository with name 'x' does not exist in the registry": (NotFound, "Create it"),
    "received unexpected HTTP status: 502 Bad Gateway": (Unavailable, ""),
}


@pytest.mark.parametrize(("said", "wanted"), SAID.items(), ids=[said[:40] for said in SAID])
def test_the_cause(said: str, wanted: tuple[type[DeliveryError], str]) -> None:
    kind, hint = wanted
    failure = push_error(IMAGE, said)
    assert type(failure) is kind
    assert said in failure.message
    assert hint in failure.hint
    assert isinstance(failure, Retryable) == (kind is Unavailable)
