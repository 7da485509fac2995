"""The state of all environments as a person reads it: one page, and the ledger as rows of a table."""

from collections.abc import Iterable

from tasks.core.gitops.ledger import Deployment
from tasks.core.gitops.status import Ahead, Entry, EnvironmentStatus
from tasks.core.models import IMAGES
from tasks.core.report.links import Web
from tasks.core.report.markdown import short
from tasks.core.report.overview import HAND, Health, Overview, age, arriving
from tasks.core.text import code, literal


def page(view: Overview, web: Web) -> str:
    """Return what runs where, what waits and what is on its way, as Markdown."""
    head = web.link(f"`{view.status.commit[:7]}`", web.gitops(view.status.commit))
    parts = [
        f"As of {view.at:%Y-%m-%d %H:%M} UTC, GitOps commit {head}.",
        _table(view, web),
        *(_waiting(view)),
        *(_difference(each, web) for each in view.status.differences),
        *(_images(each) for each in view.status.environments),
    ]
    return "\n\n".join(parts) + "\n"


def rows(view: Overview) -> list[dict[str, str]]:
    """Return the ledger, newest first."""
    return [_row(entry) for entry in view.ledger()]


def _table(view: Overview, web: Web) -> str:
    lines = (_line(view, each, web) for each in view.status.environments)
    return "\n".join(
        (
            "| environment | version | since | by | health | not yet here |",
            "| --- | --- | --- | --- | --- | --- |",
            *lines,
        )
    )


def _line(view: Overview, each: EnvironmentStatus, web: Web) -> str:
    newest, behind = view.newest(each.environment), view.missing(each.environment)
    if not newest:
        return f"| **{each.environment}** | never deployed to | | | | |"
    hand = f"<br>**{HAND}**" if each.by_hand else ""
    since = web.link(f"{newest.at:%Y-%m-%d %H:%M} ({age(newest.at, view.at)})", web.run(newest.run))
    cells = (
        f"**{each.environment}**",
        web.link(code(newest.tag), web.source(newest.sha)) + hand,
        since,
        literal(newest.actor),
        _health(view.health.get(each.environment, Health())),
        arriving(behind) if behind else "",
    )
    return f"| {' | '.join(cells)} |"


def _health(health: Health) -> str:
    said = f": {literal(health.words)}" if health.words else ""
    return f"{literal(health.status)}{said}" if health.status else "not asked"


def _waiting(view: Overview) -> Iterable[str]:
    if view.waiting:
        runs = (f"- **{each.environment}**: [{literal(each.run)}]({each.url})" for each in view.waiting)
        yield "## Waiting for approval\n\n" + "\n".join(runs)


def _images(each: EnvironmentStatus) -> str:
    images = "\n".join(f"- {short(str(image))}" for image in each.images) or "- no images"
    return f"## Images of {each.environment}\n\n{images}"


def _difference(pair: Ahead, web: Web) -> str:
    title = f"## In {pair.ahead} and not yet in {pair.behind}\n\n"
    if pair.unknown:
        return f"{title}Not known: {literal(pair.unknown)}"
    return title + ("\n".join(web.commits(pair.commits)) or "Nothing.")


def _row(entry: Entry) -> dict[str, str]:
    each = entry.deployment
    return {
        "when": f"{each.at:%Y-%m-%d %H:%M}",
        "environment": each.environment,
        "version": each.tag,
        "outcome": entry.fate,
        "by": each.actor,
        "approved by": each.approved_by,
        "what": what(each),
        "source": each.sha[:7],
        "commit": each.commit[:7],
        **{image: _short(each.digests.get(image, "")) for image in IMAGES},
        "run": each.run,
    }


def what(each: Deployment) -> str:
    """Say where a deployment's images came from if they weren't built for it."""
    if each.promoted_from:
        origin, _, commit = each.promoted_from.partition(" ")
        return f"promoted from {origin} {commit[:7]}".rstrip()
    why = f": {each.reason}" if each.reason else ""
    return f"restores {each.restores[:7]}{why}" if each.restores else ""


def _short(digest: str) -> str:
    return short(digest).strip("`")
