"""What an environment can be rolled back to, as rows of a table."""

from collections.abc import Sequence

from tasks.core.gitops.rollback import Choice
from tasks.core.report.overview import age
from tasks.core.report.status_page import what


def rows(choices: Sequence[Choice]) -> list[dict[str, str]]:
    """Return the choices, newest first: the value of ``steps`` or ``to`` for each, and its record."""
    return [
        {
            "steps": str(steps),
            "to": each.commit[:7],
            "version": each.tag,
            "deployed": f"{each.at:%Y-%m-%d %H:%M}",
            "in place for": age(each.at, until),
            "by": each.actor,
            "approved by": each.approved_by,
            "what": what(each),
            "source": each.sha[:7],
        }
        for steps, (each, until) in enumerate(choices, 1)
    ]
