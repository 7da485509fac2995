"""Images that Argo CD itself gives to kustomize, after those of the files: they go before what a commit says.

They stand in the application (``spec.source.kustomize.images``) or in a file beside the kustomization, which Argo CD
reads with it (https://argo-cd.readthedocs.io/en/stable/user-guide/parameters/). Argo CD Image Updater writes both.
"""

import re
from collections.abc import Iterable

from tasks.core.manifests.objects import split
from tasks.core.manifests.sources import documents
from tasks.core.manifests.yaml_tree import LARGEST
from tasks.core.models import ImageRef

FILE = re.compile(r"\.argocd-source(-.+)?\.yaml")
"""The file, of all applications of the folder or of one."""


def of_file(content: bytes) -> list[str]:
    """Return the images of such a file, each as ``name=new-name:tag``; those that Argo CD can't read are left out."""
    document = next(iter(documents(content[:LARGEST])), None)
    kustomize = document.get("kustomize") if isinstance(document, dict) else None
    images = kustomize.get("images") if isinstance(kustomize, dict) else None
    return [each for each in images if isinstance(each, str)] if isinstance(images, list) else []


def override(parameters: Iterable[str], images: Iterable[ImageRef]) -> str:
    """Return the first parameter that sets another version of one of these images; empty if none does."""
    images = list(images)
    return next((each for each in parameters for image in images if _sets_another(each, image)), "")


def _sets_another(parameter: str, image: ImageRef) -> bool:
    name, _, new = parameter.rpartition("=")
    repository, tag, digest = split(new)
    if image.name not in (name, repository) and repository != image.new_name:
        return False
    if image.digest:
        return bool(tag or digest) and digest != image.digest
    return bool(tag or digest) and (tag != image.tag or bool(digest))
