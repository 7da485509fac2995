"""The board's pages, each from a template and one snapshot of what is known."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from jinja2 import Environment as Templates
from jinja2 import FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from tasks.core.gitops.ledger import Deployment
from tasks.core.gitops.rollback import choices
from tasks.core.gitops.status import Entry, EnvironmentStatus
from tasks.core.models import ENVIRONMENTS, IMAGES, Environment, ObjectChange
from tasks.core.report.board.figures import Figures, figures, waits
from tasks.core.report.board.source_history import SourceCommit, SourceHistory, arrived
from tasks.core.report.board.timeline import kind, timeline
from tasks.core.report.links import Web, application
from tasks.core.report.overview import Overview, age, arriving

HERE = Path(__file__).parent
STYLE = (HERE / "style.css").read_text()
SPANS = (7, 30, 90)
"""Days that the timeline and the figures can show."""

NEWEST = 12
"""Deployments on the first page."""


MARKDOWN = MarkdownIt("js-default", {"linkify": False})
"""Without HTML, which stays text."""

Effects = Callable[[Deployment], Sequence[ObjectChange]]


@dataclass(frozen=True)
class Board:
    """A snapshot, and the pages made of it.

    Args:
        view: what is where.
        web: addresses of commits and runs.
        history: the source commits, if the source repository is known and answers.
        problems: what couldn't be read, in words.
        root: the path below which the pages are, such as ``/board``; empty for a host of their own.
        effects: tells which objects a deployment changed, by rendering its commit and the one before.
    """

    view: Overview
    web: Web
    history: SourceHistory | None = None
    problems: Sequence[str] = ()
    root: str = ""
    effects: Effects | None = None

    def overview(self, days: int) -> str:
        """Return the first page: the pipeline, the timeline, the newest deployments."""
        drawn = timeline(
            [(each.environment, each.history) for each in self.view.status.environments], self.view.at, days
        )
        return self._page("overview", drawn=drawn, days=days, spans=SPANS, ledger=self.view.ledger()[:NEWEST])

    def deployments(self, environment: str) -> str:
        """Return all deployments, of one environment if it is named."""
        known = [each for each in self.view.ledger() if environment in ("", each.deployment.environment)]
        return self._page("deployments", ledger=known, chosen=environment)

    def deployment(self, commit: str) -> str | None:
        """Return the page of one deployment; ``None`` if no commit is called that."""
        for each in self.view.status.environments:
            for number, entry in enumerate(each.history):
                if entry.deployment.commit == commit:
                    return self._deployment(each, number, entry)
        return None

    def rollback(self, environment: Environment) -> str:
        """Return the page that shows what an environment can be rolled back to."""
        deployed = next((each.history for each in self.view.status.environments if each.environment == environment), ())
        known = choices([entry.deployment for entry in deployed])
        return self._page("rollback", environment=environment, choices=known)

    def figures(self, days: int) -> str:
        """Return the page of delivery figures."""
        return self._page("figures", figures=[self._figures(e, days) for e in self._reversed()], days=days, spans=SPANS)

    def where(self, words: str) -> str:
        """Return the page that says where a commit is."""
        commit = self._find(words) if words else None
        places = [(each, self._arrival(each, commit.sha)) for each in self.view.status.environments] if commit else []
        return self._page("where", words=words, commit=commit, places=places)

    def approval(self, run: str, title: str, text: str, *, person: str, token: str, answered: bool) -> str:
        """Return the page of a run's question.

        Args:
            run: the run's id.
            title: the run's name.
            text: what it asks, as Markdown; empty if it asks nothing.
            person: who is signed in; empty if that isn't known, and then there is nothing to press.
            token: proves, when it comes back, that this page was shown.
            answered: whether an answer has just been given.
        """
        shown = Markup(MARKDOWN.render(text))  # noqa: S704 - it escapes HTML
        return self._page("approval", run=run, title=title, text=shown, person=person, token=token, answered=answered)

    def error(self, title: str, words: str) -> str:
        """Return a page that says what is wrong."""
        return self._page("error", heading=title, words=words)

    def _page(self, name: str, **values: object) -> str:
        shared = {"board": self, "view": self.view, "web": self.web, "problems": self.problems, "page": name}
        return TEMPLATES.get_template(f"{name}.html").render(shared | values)

    def _deployment(self, there: EnvironmentStatus, number: int, entry: Entry) -> str:
        before = there.history[number + 1].deployment if number + 1 < len(there.history) else None
        commits = self._brings(before, entry.deployment)
        old, new = (each.digests if each else {} for each in (before, entry.deployment))
        images = [(image, old.get(image, ""), new.get(image, "")) for image in IMAGES]
        return self._page(
            "deployment",
            entry=entry,
            each=entry.deployment,
            before=before,
            after=_named(there.history, entry.fate),
            commits=commits,
            images=images,
            difference=self.effects(entry.deployment) if self.effects else (),
        )

    def _brings(self, before: Deployment | None, each: Deployment) -> list[SourceCommit] | None:
        if not (self.history and before and before.sha and each.sha):
            return None
        return self.history.between(before.sha, each.sha)

    def _reversed(self) -> list[EnvironmentStatus]:
        order = list(reversed(ENVIRONMENTS))
        return sorted(self.view.status.environments, key=lambda each: order.index(each.environment))

    def _figures(self, there: EnvironmentStatus, days: int) -> Figures:
        deployed = [entry.deployment for entry in there.history]
        waited = waits(self.history, deployed) if self.history else {}
        return figures(there.environment, deployed, waited, self.view.at, days)

    def _find(self, words: str) -> SourceCommit | None:
        if not self.history:
            return None
        known = (entry.deployment for entry in self.view.ledger())
        named = next((each.sha for each in known if each.sha and words in (each.tag, each.commit, each.commit[:7])), "")
        return self.history.find(named or words)

    def _arrival(self, there: EnvironmentStatus, sha: str) -> datetime | None:
        deployed = [(entry.deployment.sha, entry.deployment.at) for entry in there.history]
        return arrived(self.history, sha, deployed) if self.history else None

    def application(self, environment: Environment) -> str:
        """Return the address of an environment's page in Argo CD."""
        return application(environment, self.web.settings)


def _named(history: Sequence[Entry], fate: str) -> Deployment | None:
    """Return the deployment whose commit ends a fate, such as the one that superseded another."""
    return next((each.deployment for each in history if fate.endswith(f" by {each.deployment.commit[:7]}")), None)


def _percent(part: float | None) -> str:
    return "–" if part is None else f"{100 * part:.0f} %"


def _span(time: timedelta | None) -> str:
    """Say how long something takes, in two units at most."""
    if time is None:
        return "–"
    minutes = round(time.total_seconds() / 60)
    days, rest = divmod(minutes, 1440)
    hours, minutes = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    shown = [f"{number} {unit}" for number, unit in parts if number][:2]
    return " ".join(shown) or f"{time.total_seconds():.0f} s"


def _templates() -> Templates:
    made = Templates(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: Mapping[str, object] = {
        "ago": age,
        "arriving": arriving,
        "kind": kind,
        "percent": _percent,
        "span": _span,
        "when": lambda at: f"{at:%Y-%m-%d %H:%M}",
    }
    made.filters.update(filters)
    return made


TEMPLATES = _templates()
