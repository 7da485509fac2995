"""The GitOps repository: which overlays it has, on which branch, and how they are written."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tasks.core import git
from tasks.core.errors import NotFound, Unavailable
from tasks.core.git import Remote
from tasks.core.git.branch import Branch, Identity
from tasks.core.gitops import overlay
from tasks.core.gitops.commit_message import MessageStyle
from tasks.core.gitops.ledger import Ledger
from tasks.core.images import Images
from tasks.core.models import ENVIRONMENTS, Environment, ImageRef, Render
from tasks.core.system.temp_dir import temp_dir
from tasks.core.text import listed


@dataclass(frozen=True)
class GitOps:
    """Where the overlays are.

    Args:
        where: the repository.
        branch: the branch that Argo CD watches.
        overlays: the folder with one overlay for each environment, or the folder of each.
        work_dir: where fetched objects may live meanwhile.
        source: the source repository, which knows what is newer; ``None`` where only GitOps history may tell.
        images: what the two images are called.
        propose: whether a commit goes to a branch of its own, for a pull request, instead of to ``branch``.
        under_review: whether a pull request is open there.
        render: whether kustomize renders the overlay before a commit.
        branches: the branch of each environment, if there isn't one for all.
        style: what is added to commit messages.
        identity: who commits.
        registries: registries, or folders in them, that images may come from besides the update's own.
        check_image: raises if an image that would be written is not in its registry.
    """

    where: Remote
    branch: str
    overlays: overlay.Overlays
    work_dir: Path
    source: Remote | None = None
    images: Images = field(default_factory=Images)
    propose: bool = False
    under_review: bool = False
    render: Render = "off"
    branches: Mapping[Environment, str] = field(default_factory=dict)
    style: MessageStyle = field(default_factory=MessageStyle)
    identity: Identity = field(default_factory=Identity)
    registries: tuple[str, ...] = ()
    check_image: Callable[[ImageRef], None] = lambda _: None

    def on(self, environment: Environment) -> "GitOps":
        """Return the same, on the branch of an environment."""
        return replace(self, branch=self.branches.get(environment, self.branch))

    def others(self, environment: Environment) -> dict[Environment, str]:
        """Return the overlays of other environments on the same branch."""
        others = (each for each in ENVIRONMENTS if each != environment and self.on(each).branch == self.branch)
        return {each: overlay.overlay_of(self.overlays, each) for each in others}

    def branch_named(self, name: str, folder: Path) -> Branch:
        """Return a branch of this repository, with its objects in a folder below ``folder``."""
        return Branch(self.where, name, folder / f"{name.replace('/', '-')}.git")

    def ledger(self, branch: Branch) -> Ledger:
        """Return the deployments on a branch of this repository."""
        return Ledger(branch, self.overlays, self.images, self.style.application)


@contextmanager
def on_branch(repository: GitOps) -> Iterator[Branch]:
    """Yield the branch's newest head, to read from.

    Raises:
        NotFound, AccessDenied, Unavailable: as the git server answers.
    """
    with temp_dir(repository.work_dir) as folder, repository.branch_named(repository.branch, folder) as branch:
        fetch(branch)
        yield branch


def fetch(branch: Branch) -> str:
    """Fetch the branch's newest commit and return its sha.

    Raises:
        NotFound: there is no such repository, or no such branch: the message names those there are.
        AccessDenied, Unavailable: as the git server answers.
    """
    try:
        return branch.fetch()
    except NotFound:
        there = git.branches(branch.where)
        if branch.name in there:  # a page that was there for a moment has no branches
            problem = f"{branch.where.url} has a branch {branch.name}, and could not fetch it."
            raise Unavailable(problem, "If this stays so, fetch it by hand to see why.") from None
        names = listed(there, 10) or "none"
        problem = f"{branch.where.url} has no branch {branch.name}."
        raise NotFound(problem, f"Branches there: {names}. Set GITOPS_BRANCH.") from None
