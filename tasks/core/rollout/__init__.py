"""Argo CD and the endpoint: follow a commit until it runs in the cluster."""
