"""From an update to a commit in the GitOps repository, and what that history tells.

The way in, ``GitOps`` and ``write``, is loaded when it is first asked for (PEP 562): the receiver of webhooks needs the
words of commit messages alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.core.gitops.repository import GitOps
    from tasks.core.gitops.writer import write

__all__ = ["GitOps", "write"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a class and a function
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.writer"), name)
