"""The flows, two of them one for each repository of the user's pipeline, and what goes around them."""

from flows.deploy_to_k8s import deploy_to_k8s
from flows.promote import promote
from flows.rollback import rollback
from flows.status import status
from flows.update_flowise_deployment import update_flowise_deployment
from flows.watch_source import watch_source
from tasks.busy_server import retry_soon
from tasks.heartbeat import end_without_waiting

__all__ = ["deploy_to_k8s", "promote", "rollback", "status", "update_flowise_deployment", "watch_source"]

retry_soon()
end_without_waiting()
