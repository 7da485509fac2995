"""The two flows, one for each repository of the user's pipeline, and what goes around them."""

from flows.deploy_to_k8s import deploy_to_k8s
from flows.update_flowise_deployment import update_flowise_deployment
from flows.watch_source import watch_source

__all__ = ["deploy_to_k8s", "update_flowise_deployment", "watch_source"]
