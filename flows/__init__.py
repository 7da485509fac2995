"""The flows, two of them one for each repository of the user's pipeline, and what goes around them."""

import gc

collecting = gc.isenabled()
gc.disable()  # loading makes no garbage, and looking for it takes a fifth of the time
try:
    from flows.deploy_to_k8s import deploy_to_k8s
    from flows.promote import promote
    from flows.rollback import rollback
    from flows.status import status
    from flows.update_flowise_deployment import update_flowise_deployment
    from flows.watch_source import watch_source
    from tasks.heartbeat import end_without_waiting
    from tasks.prefect_client import retry_soon, share_certificates
finally:
    gc.freeze()  # what is loaded stays, and is not looked through again, not even at the end
    if collecting:
        gc.enable()

__all__ = ["deploy_to_k8s", "promote", "rollback", "status", "update_flowise_deployment", "watch_source"]

retry_soon()
share_certificates()
end_without_waiting()
