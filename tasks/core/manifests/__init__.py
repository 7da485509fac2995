"""Exact edits of ``kustomization.yaml``."""
