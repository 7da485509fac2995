"""The contract's name for editing ``kustomization.yaml``: see :mod:`tasks.core.manifests.kustomization`."""

from tasks.core.manifests.kustomization import read_images, set_images

__all__ = ["read_images", "set_images"]
