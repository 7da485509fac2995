"""What is deployed where, how it came there, and what one environment has that another one has not yet."""

from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace

from tasks.core.errors import DeliveryError, InvalidInput, NotFound
from tasks.core.git.branch import Branch
from tasks.core.git.paths import look
from tasks.core.gitops import overlay, source_commits
from tasks.core.gitops.ledger import FAR, Deployment, fate
from tasks.core.gitops.repository import GitOps, on_branch
from tasks.core.manifests.objects import differences
from tasks.core.manifests.render import NotRendered, render
from tasks.core.manifests.sources import collect
from tasks.core.models import ENVIRONMENTS, Environment, ImageRef, ObjectChange, Value
from tasks.core.system.temp_dir import temp_dir


class Entry(Value):
    """A deployment, and what became of it: ``live``, superseded or rolled back."""

    deployment: Deployment
    fate: str


class EnvironmentStatus(Value):
    """An environment: its overlay's images, its newest deployments, and whether a person changed it since."""

    environment: Environment
    images: tuple[ImageRef, ...]
    history: tuple[Entry, ...]
    by_hand: bool


class Ahead(Value):
    """The source commits between two environments' deployments: ``+`` are those that ``behind`` has not got yet."""

    behind: Environment
    ahead: Environment
    commits: tuple[str, ...] = ()
    unknown: str = ""


class Status(Value):
    """All environments, at a commit of the GitOps branch."""

    commit: str
    environments: tuple[EnvironmentStatus, ...]
    differences: tuple[Ahead, ...]


def read(repository: GitOps, promotion: Mapping[Environment, Environment], shown: int = 10) -> Status:
    """Read everything from the GitOps repository, and the differences from the source repository.

    Args:
        repository: where the overlays are.
        promotion: which environment each one is promoted from.
        shown: deployments of each environment.

    Raises:
        NotFound, AccessDenied, Unavailable: as the GitOps repository's server answers.
    """
    places = {environment: repository.on(environment) for environment in ENVIRONMENTS}
    names = dict.fromkeys(place.branch for place in places.values())
    heads, found = list[str](), list[EnvironmentStatus | None]()
    for name in names:
        here = [environment for environment, place in places.items() if place.branch == name]
        absent = suppress(NotFound) if len(names) > 1 else nullcontext()  # not every environment has to be there
        with absent, on_branch(replace(repository, branch=name)) as branch:
            found += [_environment(branch, repository, environment, shown) for environment in here]
            heads.append(branch.head)
    if not heads:
        raise NotFound(f"{repository.where.url} has none of the branches {', '.join(names)}.", "Set GITOPS_BRANCH.")
    known = {each.environment: each for each in found if each}
    there = {environment: known[environment] for environment in ENVIRONMENTS if environment in known}
    pairs = [(behind, ahead) for behind, ahead in promotion.items() if behind in there and ahead in there]
    differences = [_ahead(repository, there[behind], there[ahead]) for behind, ahead in pairs]
    return Status(commit=", ".join(heads), environments=tuple(there.values()), differences=tuple(differences))


def _environment(branch: Branch, repository: GitOps, environment: Environment, shown: int) -> EnvironmentStatus | None:
    folder = overlay.overlay_of(repository.overlays, environment)
    try:
        images = overlay.images_at(branch, folder)
    except NotFound:
        return None
    deployed = repository.ledger(branch).newest(environment, shown)
    branch.prepare(
        overlay.kustomization_in(branch, folder), [each.arrived for each in deployed[:shown] if not _told(each)]
    )
    told = [_with_digests(branch, repository, folder, each) for each in deployed[:shown]]
    history = tuple(Entry(deployment=each, fate=fate(each, deployed[:at])) for at, each in enumerate(told))
    return EnvironmentStatus(
        environment=environment,
        images=images,
        history=history,
        by_hand=bool(told) and overlay.changed_by_hand(branch, folder, told[0].arrived, repository.images),
    )


def _with_digests(branch: Branch, repository: GitOps, folder: str, deployment: Deployment) -> Deployment:
    """Return a deployment with what the overlay said at its commit, where its message does not tell."""
    if _told(deployment):
        return deployment
    with suppress(NotFound, InvalidInput):
        there = {image.name: image.digest or "" for image in overlay.images_at(branch, folder, deployment.arrived)}
        digests = {image: there.get(spec.name, "") for image, spec in repository.images.specs.items()}
        return deployment.model_copy(update={"digests": digests})
    return deployment


def _told(deployment: Deployment) -> bool:
    return any(deployment.digests.values())


def _ahead(repository: GitOps, behind: EnvironmentStatus, ahead: EnvironmentStatus) -> Ahead:
    pair = Ahead(behind=behind.environment, ahead=ahead.environment)
    old, new = (each.history[0].deployment.sha if each.history else "" for each in (behind, ahead))
    if not (repository.source and old and new):
        return pair.model_copy(update={"unknown": "a source commit is not known"})
    try:
        commits = tuple(source_commits.between(old, new, repository.source, repository.work_dir))
    except DeliveryError as error:
        return pair.model_copy(update={"unknown": error.message})
    return pair.model_copy(update={"commits": commits})


def effect_at(repository: GitOps, deployment: Deployment) -> tuple[ObjectChange, ...]:
    """Return the objects that a deployment changed, by rendering its overlay with the images before and after.

    Raises:
        NotFound, AccessDenied, Unavailable: as the GitOps repository's server answers.
    """
    at = deployment.arrived or deployment.commit
    folder = overlay.overlay_of(repository.overlays, deployment.environment)
    with on_branch(repository) as branch, temp_dir(repository.work_dir) as temporary:
        branch.log(FAR)
        before = branch.parent(at)
        if not before:
            return ()
        path = overlay.kustomization_in(branch, folder)
        sources = collect(folder, lambda paths: look(branch, paths, at))
        try:
            now, earlier = render(sources, (path, branch.read(path, before)), temporary)
        except (NotRendered, InvalidInput):
            return ()
    return () if now is None else differences(earlier, now)
