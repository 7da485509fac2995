"""What a registry's rejection means, whether the registry itself reports it or the engine that pushes or pulls."""

import re
from typing import NamedTuple

from tasks.core.errors import (
    AccessDenied,
    Conflict,
    DeliveryError,
    LimitReached,
    LoginExpired,
    NotFound,
    Terminal,
    Unavailable,
)


class Cause(NamedTuple):
    """A kind of rejection: the words it is known by, what is said of it, and the way out.

    ``what`` is the image, ``host`` its registry, ``said`` the registry's own words, ``action`` what an AWS policy
    doesn't allow.
    """

    kind: type[DeliveryError]
    words: str
    message: str
    hint: str


CAUSES = (
    Cause(
        Conflict,
        "immutable",
        "{what} exists already, with another digest, and the repository's tags are immutable: {said}",
        "Deploy with a new tag_version, delete the tag, or make the repository's tags mutable.",
    ),
    Cause(
        LimitReached,
        r"number of tags per image|too many tags",
        "{what} can't get another tag, because the registry allows no more for one image: {said}",
        "Delete old tags of this image (ECR: aws ecr batch-delete-image --image-ids imageTag=TAG).",
    ),
    Cause(
        Unavailable,
        r"toomanyrequests|too many requests|rate limit|rate exceeded|throttl",
        "The registry limits how often it is asked for {what}: {said}",
        "Wait, then run again. Docker Hub allows more to those who log in: docker login.",
    ),
    Cause(
        LimitReached,
        r"quota|storage limit|limit.{0,20}exceeded|exceeds? the (maximum|limit)|payment required",
        "{what} doesn't fit into the registry's quota: {said}",
        "Delete old images there, or have the quota raised.",
    ),
    Cause(
        Terminal,
        r"no space left|disk full|disk is full|insufficient storage",
        "There is no space left for {what}: {said}",
        "Free some, then run again.",
    ),
    Cause(
        LoginExpired,
        r"token (has |is )?expired",
        "The login for {what} has expired: {said}",
        "Run again; where it is docker login's, log in again.",
    ),
    Cause(
        AccessDenied,
        r"not authorized to perform:? (?P<action>[\w-]+:\w+)",
        "AWS doesn't allow {action} for {what}: {said}",
        "Allow {action} in the IAM policy of these credentials, or in the repository's own policy.",
    ),
    Cause(
        AccessDenied,
        r"denied|unauthorized|not authorized|no basic auth|authentication required|forbidden|incorrect username",
        "The registry refused the credentials for {what}: {said}",
        "ECR: check the AWS credentials and their policy. Others: docker login {host} on the machine that runs this, as"
        " somebody who may pull and push there.",
    ),
    Cause(
        NotFound,
        r"name[ _]unknown|does not exist|repository not found",
        "The registry has no repository for {what}: {said}",
        "Create it first.",
    ),
)
"""In the order they are looked for."""

MAY_NOT_PULL = Cause(
    AccessDenied,
    "",
    "{host} accepts the login, but doesn't let it read {what}: {said}",
    "Let it pull as well as push: tags are looked up before a build, and the digest after it.",
)
"""What a rejected look-up means where the same login was accepted before."""

FAILED = Cause(Unavailable, "", "The registry failed on {what}: {said}", "")
"""Any other words are a registry's bad day."""


def cause(words: str) -> Cause:
    """Return what a rejection in these words is."""
    return next((each for each in CAUSES if re.search(each.words, words, re.IGNORECASE)), FAILED)


def of_kind(kind: type[DeliveryError]) -> Cause:
    """Return the general cause of a kind, for an answer whose status tells more than its words."""
    return next((each for each in reversed(CAUSES) if each.kind is kind), FAILED)


def rejection(why: Cause, what: str, said: str) -> DeliveryError:
    """Return a rejection as one of our errors; ``what`` begins with the registry's host."""
    found = re.search(why.words, said, re.IGNORECASE)
    names = {
        "what": what,
        "said": said,
        "host": what.partition("/")[0],
        "action": "",
        **(found.groupdict() if found else {}),
    }
    return why.kind(why.message.format(**names), why.hint.format(**names))


def push_error(reference: str, said: str) -> DeliveryError:
    """Return why a push of ``registry/repository:tag`` failed, from what the engine says of it."""
    # Without the image's own names, which may be made of any words.
    image, _, tag = reference.rpartition(":")
    host, _, repository = image.partition("/")
    names = "|".join(map(re.escape, (image, host, host.partition(":")[0], repository, tag)))
    words = re.sub(rf"https?://[^\s\"]+|(?<![\w.-])({names})(?![\w.-])", "", said)
    return rejection(cause(words), reference, said)
