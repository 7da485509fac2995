"""The flows, each loaded when it is first asked for (PEP 562): importing this package loads nothing else."""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flows.deploy_to_k8s import deploy_to_k8s
    from flows.drift import drift
    from flows.promote import promote
    from flows.rollback import rollback
    from flows.status import status
    from flows.update_flowise_deployment import update_flowise_deployment
    from flows.watch_source import watch_source

__all__ = ["deploy_to_k8s", "drift", "promote", "rollback", "status", "update_flowise_deployment", "watch_source"]


class _Flows(ModuleType):
    """Keeps each flow's name for the flow: Python would bind it to the module of that name once it is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        """The whole namespace, as ``vars`` and ``dir`` ask for it: with every flow."""
        for name in __all__:
            getattr(self, name)
        return globals()


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the flows differ in their parameters
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    flow = globals()[name] = getattr(import_module(f"{__name__}.{name}"), name)
    return flow


sys.modules[__name__].__class__ = _Flows
