"""The state of all environments as a person reads it: one page, and the ledger as rows of a table."""

from tasks.core.gitops.status import Ahead, Entry, EnvironmentStatus, Status
from tasks.core.report.markdown import short
from tasks.core.text import code, fenced, literal

SHORT = len("sha256:") + 12
"""Characters of a digest that tell it from another one."""


def page(status: Status) -> str:
    """The page: what runs where, and what is on its way, as Markdown."""
    environments = "\n".join(_environment(each) for each in status.environments)
    differences = "\n".join(_difference(each) for each in status.differences)
    return f"GitOps commit `{status.commit}`\n\n{environments}\n{differences}"


def rows(status: Status) -> list[dict[str, str]]:
    """The ledger, environment by environment, newest first."""
    return [_row(entry) for each in status.environments for entry in each.history]


def _environment(status: EnvironmentStatus) -> str:
    images = "\n".join(f"- {short(image)}" for image in status.images) or "- no images"
    newest = f": {literal(status.history[0].deployment.tag)}" if status.history else ""
    hand = "\n\n**Changed by hand since.**" if status.by_hand else ""
    return f"## {status.environment}{newest}\n\n{_how(status)}{images}{hand}\n"


def _how(status: EnvironmentStatus) -> str:
    if not status.history:
        return "Never deployed to.\n\n"
    newest = status.history[0].deployment
    by = f" by {literal(newest.actor)}" if newest.actor else ""
    source = f", source commit {code(newest.sha)}" if newest.sha else ""
    return f"Since {newest.at:%Y-%m-%d %H:%M} UTC{by}, commit `{newest.commit[:7]}`{source}.\n\n"


def _difference(pair: Ahead) -> str:
    title = f"## In {pair.ahead} and not yet in {pair.behind}\n\n"
    if pair.unknown:
        return f"{title}Not known: {literal(pair.unknown)}\n"
    return title + (fenced("\n".join(pair.commits)) if pair.commits else "Nothing.\n")


def _row(entry: Entry) -> dict[str, str]:
    each = entry.deployment
    return {
        "environment": each.environment,
        "when": f"{each.at:%Y-%m-%d %H:%M:%S}",
        "tag": each.tag,
        "source": each.sha,
        "commit": each.commit,
        "fate": entry.fate,
        "server": each.server_digest[:SHORT],
        "ui": each.ui_digest[:SHORT],
        "by": each.actor,
        "run": each.run,
        "approved by": each.approved_by,
        "from": each.promoted_from or (f"restores {each.restores[:7]}" if each.restores else ""),
        "reason": each.reason,
    }
