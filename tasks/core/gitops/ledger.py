"""Who deployed what, where and when, read from the GitOps branch's history.

A commit is a deployment if its message says so and it has set those images in that environment's overlay: anybody who
may push can write any message. Of what was merged, the branch's own commit counts that brought it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import takewhile
from typing import Any, TypeVar

from pydantic import AwareDatetime, Field

from tasks.core.errors import InvalidInput, NotFound
from tasks.core.git.branch import DEPTH, Branch
from tasks.core.git.commits import Commit
from tasks.core.gitops import commit_message
from tasks.core.gitops.overlay import Overlays, images_at, overlay_of
from tasks.core.images import Images
from tasks.core.manifests.sources import FILE_NAMES
from tasks.core.models import IMAGES, Environment, ImageRef, ImageUpdate, Value
from tasks.core.names import DEFAULT

FAR = 1000
"""Commits of the GitOps branch to look through where the newest ones do not tell."""

WHOLE = 0x7FFFFFFF
"""Commits that git takes for the whole history (git-fetch(1), ``--depth``)."""

MANY = 200
"""Deployments to check at once where an earlier one than the newest is wanted."""

T = TypeVar("T")


class Deployment(Value):
    """What one commit brought to an environment; empty is what its message does not tell.

    ``arrived`` is the commit of the branch itself that brought it, another one if it was merged. ``restores`` and
    ``rolls_back`` are GitOps commits, ``promoted_from`` an environment and a GitOps commit.
    """

    commit: str
    at: AwareDatetime
    environment: Environment
    tag: str
    arrived: str = ""
    actor: str = ""
    sha: str = ""
    digests: dict[str, str] = Field(default_factory=dict)
    run: str = ""
    approved_by: str = ""
    approval_note: str = ""
    promoted_from: str = ""
    restores: str = ""
    rolls_back: str = ""
    reason: str = ""

    @property
    def version(self) -> tuple[str, ...]:
        """What tells its images from those of another deployment."""
        return (self.tag, *(self.digests.get(image, "") for image in IMAGES))

    def brings(self, update: ImageUpdate) -> bool:
        """Whether these are an update's images."""
        return self.version == (update.tag, *update.digests.values())


class Ledger:
    """The deployments on a branch.

    Args:
        branch: the GitOps branch, fetched.
        overlays: where the overlays are.
        images: the two images.
        application: what the messages call it.
    """

    def __init__(self, branch: Branch, overlays: Overlays, images: Images, application: str = DEFAULT) -> None:
        self._branch, self._overlays, self._two, self._application = branch, overlays, images, application
        self._images = dict[tuple[str, str], dict[str, ImageRef]]()

    def prepare(self, environment: Environment) -> None:
        """Fetch at once what the head and the newest deployment's check need: each costs as many requests as both."""
        newest = next(iter(self._by_arrival(self._branch.log(DEPTH), environment)), None)
        self._fetch(environment, [self._branch.head, *self._compared(newest or ())])

    def search(self, pick: Callable[[list[Deployment]], T], environment: Environment, at_once: int = MANY) -> T:
        """Return what ``pick`` finds among an environment's deployments, newest first, in ever more of the history.

        Returns:
            The first answer that is not empty; else that for the whole history.
        """
        for depth in (DEPTH, FAR, WHOLE):
            commits, found = self._branch.log(depth), list[Deployment]()
            for some in self._deployments(commits, environment, at_once):
                found += some
                if picked := pick(found):
                    return picked
            if len(commits) < depth:
                break
        return pick(found)

    def newest(self, environment: Environment, at_least: int = 1) -> list[Deployment]:
        """Return the newest deployments, newest first, and among them those that the newest took back.

        So many at least, unless the whole history has fewer.
        """
        everything: list[Deployment] = []

        def enough(found: list[Deployment]) -> bool:
            everything[:] = found
            taken_back = {each.rolls_back for each in takewhile(lambda each: each.rolls_back, found)}
            return len(found) >= at_least and taken_back <= {each.commit for each in found}

        self.search(enough, environment, at_once=at_least)
        return everything

    def near(self, environment: Environment) -> Iterator[Deployment]:
        """Yield the deployments among the branch's newest commits, newest first; the first costs next to nothing."""
        for some in self._deployments(self._branch.log(DEPTH), environment, at_once=1):
            yield from some

    def _deployments(
        self, commits: Sequence[Commit], environment: Environment, at_once: int
    ) -> Iterator[list[Deployment]]:
        left = self._by_arrival(commits, environment)
        while left:
            some, left, at_once = left[:at_once], left[at_once:], MANY
            self._fetch(environment, [commit for each in some for commit in self._compared(each)])
            yield [found for each in some if (found := self._checked(each))]

    def _compared(self, told: Sequence[Deployment]) -> list[str]:
        commits = {each.arrived for each in told}
        return [name for commit in commits for name in (commit, self._branch.parent(commit)) if name]

    def _fetch(self, environment: Environment, commits: Sequence[str]) -> None:
        with suppress(NotFound, InvalidInput):
            overlay = overlay_of(self._overlays, environment)
            self._branch.prepare(f"{overlay}/{FILE_NAMES[0]}", commits)

    def _checked(self, told: Sequence[Deployment]) -> Deployment | None:
        """Return the deployment that a commit of the branch itself is, by one of the messages that came with it."""
        first = told[0]
        parent = self._branch.parent(first.arrived)
        if parent is None:  # the history ends here for now
            return None
        now = self._images_at(first.environment, first.arrived)
        if not now or now == self._images_at(first.environment, parent):
            return None
        # A merge's own message may have the title alone; what was merged tells more.
        fullest = sorted(told, key=lambda each: (not each.digests, not each.sha))
        return next((each for each in fullest if self._agrees(each, now)), None)

    def _agrees(self, told: Deployment, images: Mapping[str, ImageRef]) -> bool:
        digests = zip(self._two.entries(images), (told.digests.get(image) for image in IMAGES), strict=True)
        return all(not digest or (name in images and images[name].digest == digest) for name, digest in digests)

    def _images_at(self, environment: Environment, commit: str) -> dict[str, ImageRef]:
        """Return the two images of an overlay at a commit, as far as it names them."""
        if not commit:
            return {}
        overlay = overlay_of(self._overlays, environment)
        if (overlay, commit) not in self._images:
            found: Sequence[ImageRef] = ()
            with suppress(NotFound, InvalidInput):
                found = images_at(self._branch, overlay, commit)
            names = self._two.entries({each.name for each in found})
            self._images[overlay, commit] = {each.name: each for each in found if each.name in names}
        return self._images[overlay, commit]

    def _by_arrival(self, commits: Sequence[Commit], environment: Environment) -> list[list[Deployment]]:
        """Return what the messages say, newest first: a list for each of the branch's own commits that brought some."""
        found: dict[str, list[Deployment]] = {commit.sha: [] for commit in commits}
        older = list[Deployment]()
        for commit in reversed(commits):
            made = self._told(commit, environment) or _reverted(commit, environment, older, self._application)
            if made:
                older.append(made)
                found[commit.arrived].insert(0, made)
        return [some for some in found.values() if some]

    def _told(self, commit: Commit, environment: Environment) -> Deployment | None:
        told = commit_message.parse(commit.message, self._application)
        if not told or told["environment"] != environment:
            return None
        known: dict[str, Any] = {"commit": commit.sha, "at": commit.at, "arrived": commit.arrived, **told}
        return Deployment(**known)


def _reverted(
    commit: Commit, environment: Environment, older: Sequence[Deployment], application: str
) -> Deployment | None:
    """Return the deployment that a git revert restores, of those before it, oldest first; its images have to agree."""
    place, tag = commit_message.reverted(commit.message, application) or ("", "")
    at = next((at for at in reversed(range(len(older))) if older[at].tag == tag), 0) if place == environment else 0
    restored = next((each for each in reversed(older[:at]) if each.version != older[at].version), None)
    if not restored or not restored.digests:
        return None
    return restored.model_copy(
        update={
            "commit": commit.sha,
            "at": commit.at,
            "arrived": commit.arrived,
            "restores": restored.commit,
            "rolls_back": older[at].commit,
            "reason": "reverted in git",
            "run": "",
        }
    )


def fate(deployment: Deployment, later: Sequence[Deployment]) -> str:
    """Return what became of a deployment, by the later ones to its environment, newest first: in a person's words."""
    back = next((each for each in later if each.rolls_back == deployment.commit), None)
    if back:
        return f"rolled back by {back.commit[:7]}"
    return f"superseded by {later[-1].commit[:7]}" if later else "live"
