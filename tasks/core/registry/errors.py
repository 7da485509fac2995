"""What a registry's refusal means, be it told by the registry itself or by the engine that pushed to it."""

import re

from tasks.core.errors import AccessDenied, Conflict, DeliveryError, LoginExpired, NotFound, Terminal, Unavailable

MEANINGS: dict[type[DeliveryError], tuple[str, ...]] = {
    Conflict: ("immutable",),
    LoginExpired: ("token has expired", "token is expired", "token expired"),
    AccessDenied: (
        "denied",
        "not authorized to perform",
        "unauthorized",
        "no basic auth",
        "authentication required",
        "forbidden",
        "incorrect username",
    ),
    Terminal: ("no space left",),
    NotFound: ("name unknown", "name_unknown", "does not exist", "repository not found"),
}
"""The words that mean one thing, in the order they are looked for; any others are a registry's bad day."""

SAID: dict[type[DeliveryError], tuple[str, str]] = {
    Conflict: (
        "{what} exists already, with another digest, and the repository's tags are immutable: {said}",
        "Deploy with a new tag_version, delete the tag, or make the repository's tags mutable.",
    ),
    LoginExpired: ("The login for {what} has expired: {said}", "Run again; where it is docker login's, log in again."),
    AccessDenied: (
        "The registry refused the credentials for {what}: {said}",
        "ECR: check the AWS credentials and their policy. Others: docker login {host} on the machine that runs this.",
    ),
    Terminal: ("There is no space left for {what}: {said}", "Free some, then run again."),
    NotFound: ("The registry has no repository for {what}: {said}", "Create it first."),
    Unavailable: ("The registry failed on {what}: {said}", ""),
}
"""What is said of each, and the way out; ``host`` is the registry's."""


def meaning(words: str) -> type[DeliveryError]:
    """What a refusal in these words is."""
    lower = words.lower()
    return next((kind for kind, known in MEANINGS.items() if any(each in lower for each in known)), Unavailable)


def refusal(kind: type[DeliveryError], what: str, said: str) -> DeliveryError:
    """A refusal as one of ours; ``what`` begins with the registry's host, ``said`` are its own words."""
    message, hint = SAID[kind]
    return kind(message.format(what=what, said=said), hint.format(host=what.partition("/")[0]))


def push_error(reference: str, said: str) -> DeliveryError:
    """Why a push of ``registry/repository:tag`` failed, from what the engine says of it."""
    # Without the image's own names, which may be made of any words.
    image, _, tag = reference.rpartition(":")
    host, _, repository = image.partition("/")
    names = "|".join(map(re.escape, (image, host, host.partition(":")[0], repository, tag)))
    words = re.sub(rf"https?://[^\s\"]+|(?<![\w.-])({names})(?![\w.-])", "", said)
    return refusal(meaning(words), reference, said)
