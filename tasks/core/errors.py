"""The one family of exceptions. Whether a failure is worth another try is decided by its type.

``Terminal`` errors say the same thing however often they are asked; ``Retryable`` ones may heal by
themselves. Prefect's retry condition (``tasks.runtime.retries``) reads nothing else.
"""

from tasks.core.text import plain


class DeliveryError(Exception):
    """Something a person has to know: what went wrong with which thing, and the way out of it.

    Args:
        message: one sentence that names the thing.
        hint: what to do about it; empty when the message says it all.

    ``step`` is the task that failed, if it is known.
    """

    step = ""

    def __init__(self, message: str, hint: str = "") -> None:
        # Others' words may be among them; they are shown in terminals, pages and chats.
        message, hint = plain(message), plain(hint)
        # Both go to ``args``, so that the exception survives pickling between Prefect's processes.
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nHint: {self.hint}" if self.hint else self.message


class Terminal(DeliveryError):
    """Trying again gives the same answer."""


class Retryable(DeliveryError):
    """Another try may succeed: a network, a busy server, a lost race.

    ``after`` is how many seconds the server wants to be left alone first, if it said so.
    """

    after = 0.0


class InvalidInput(Terminal):
    """A parameter, a setting or a file that cannot be what it should be."""


class NotFound(Terminal):
    """The server answered, and said that the thing isn't there."""


class AccessDenied(Terminal):
    """The server answered, and rejected these credentials."""


class LoginExpired(AccessDenied):
    """The login has expired; a new one may work."""


class RateLimited(Terminal):
    """The server takes no more calls for a while; the message says until when."""


class BuildFailed(Terminal):
    """The Dockerfile's own build failed; the message ends with the build's last lines."""


class Conflict(Terminal):
    """The thing exists, is different, and must not be replaced."""


class LimitReached(Terminal):
    """The registry takes no more: of tags for one image, or of bytes."""


class Rejected(Terminal):
    """An operator rejected it, or didn't answer in time."""


class PushRefused(Terminal):
    """The git server refuses the commit: a protected branch, a hook, a missing permission."""


class RolloutFailed(Terminal):
    """A commit is refuted: its sync failed, it is Degraded, or its endpoint answers 5xx since; the message says why."""


class Inconclusive(Terminal):
    """Whether a commit is rolled out is not known; nothing is undone, and the same may be requested again."""


class NotSynced(Inconclusive):
    """Argo CD does not take the commit now: a sync window is closed, for example; the cluster is as it was."""


class RolledBack(RolloutFailed):
    """A rollout failed, and the deployment before it is back; the message has both facts."""


class NotProven(Terminal):
    """What is to be promoted does not run healthy where it comes from, or not for long enough."""


class UpdateFailed(Terminal):
    """The other repository's flow got the update, and failed."""


class Unavailable(Retryable):
    """The server can't be reached, is overloaded, or failed by itself."""


class LostRace(Retryable):
    """Another writer pushed first; the edit must be applied again on the new head."""
