"""The summary of a run that failed: what, in which step, what was last seen, and the way out."""

from tasks.core.errors import DeliveryError
from tasks.core.text import fenced, literal

LAST = 30
"""Lines of output that are shown, the last ones."""


def page(title: str, error: Exception, run_url: str = "") -> str:
    """Return the summary as Markdown."""
    if not isinstance(error, DeliveryError):
        error = DeliveryError(f"{type(error).__name__}: {error}")
    first, _, rest = error.message.partition("\n")
    step = f" in `{error.step}`" if error.step else ""
    parts = [f"# {title}: failed{step}", literal(first)]
    if rest.strip():
        parts.append(fenced("\n".join(rest.strip("\n").splitlines()[-LAST:]), "text").rstrip())
    if error.hint:
        parts.append(f"**What to do:** {literal(error.hint)}")
    if run_url:
        parts.append(f"[Log of this run]({run_url})")
    return "\n\n".join(parts) + "\n"
