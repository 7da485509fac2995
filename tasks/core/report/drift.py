"""What no deployment explains: edits by hand, lost images, and other versions in the cluster than in git."""

from collections.abc import Iterator, Sequence

from tasks.core.gitops.status import EnvironmentStatus
from tasks.core.images import Images
from tasks.core.models import IMAGES, Environment, ImageRef, Value
from tasks.core.report.overview import Health, Overview
from tasks.core.text import literal


class Drift(Value):
    """One thing that differs."""

    environment: Environment
    words: str


def find(view: Overview, images: Images) -> list[Drift]:
    """List what differs in the environments that were deployed to.

    Args:
        view: what git and Argo CD say.
        images: what the two images are called.
    """
    return [
        Drift(environment=each.environment, words=words)
        for each in view.status.environments
        if each.history
        for words in _environment(each, images, view.health.get(each.environment, Health()))
    ]


def page(found: Sequence[Drift]) -> str:
    """Return the findings as Markdown."""
    lines = "\n".join(f"- **{each.environment}**: {literal(each.words)}" for each in found)
    return f"# Drift\n\n{lines or 'None: every overlay is as the last deployment left it.'}\n"


def _environment(each: EnvironmentStatus, images: Images, health: Health) -> Iterator[str]:
    newest = each.history[0].deployment
    if each.by_hand:
        yield f"the overlay was changed by hand since commit {newest.commit[:7]} deployed {newest.tag}"
    there = {image.name: image for image in each.images}
    for name, part in zip(images.entries(there), IMAGES, strict=True):
        digest = newest.digests.get(part, "")
        image = there.get(name)
        if not image or not (image.tag or image.digest):
            yield f"{name} has no version in the overlay: what runs is the manifests' own choice"
        elif digest and image.digest != digest and not each.by_hand:
            yield f"{name} is {image.digest or image.tag} in the overlay, and {digest} was deployed"
        else:
            yield from _running(image, health.images)


def _running(image: ImageRef, running: Sequence[str]) -> Iterator[str]:
    """Compare with the cluster; images that Argo CD doesn't list are no evidence."""
    repository = image.new_name or image.name
    ours = [each for each in running if each.startswith((f"{repository}@", f"{repository}:"))]
    if ours and not any(each == str(image) or (image.digest and each.endswith(image.digest)) for each in ours):
        yield f"{image.name} runs as {', '.join(ours)}, and git has {image}"
