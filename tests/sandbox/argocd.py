"""A stand-in for Argo CD: the three calls of its API server a rollout makes, and a controller that takes its time.

Follows Argo CD's ``assets/swagger.json`` (``/api/v1/applications/{name}``, ``?refresh=``, ``.../sync``) and its
``server/application/application.go``: a refresh is answered when the controller has compared; an unknown application
is 403 unless ``project`` is named, then 404; a sync is 403 in a closed window and 400 while an operation is there, or
with a ``revision`` under auto-sync; errors are ``{code, error, message}``.

Other than the real one: an answer has only the fields used here, and the controller (``argocd_controller``) moves only
when it is asked.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from tests.sandbox.argocd_controller import Application
from tests.sandbox.in_process import served

UNAUTHENTICATED, DENIED, NOT_FOUND, FAILED_PRECONDITION = (16, 401), (7, 403), (5, 404), (9, 400)
INTERNAL, UNAVAILABLE = (13, 500), (14, 503)
"""gRPC's codes and what its HTTP gateway makes of them."""


@dataclass
class ArgoCD:
    """A running stand-in."""

    applications: dict[str, Application]
    token: str
    url: str = ""
    calls: list[str] = field(default_factory=list)
    """What was asked: ``get``, ``refresh``, ``sync``."""
    syncs: list[dict[str, Any]] = field(default_factory=list)
    """The bodies of the syncs that were accepted."""
    failures: list[Response] = field(default_factory=list)
    """Answers for the next calls, taken from the front: outages."""
    refusals: list[Response] = field(default_factory=list)
    """The same for syncs alone."""

    def reset(self, *applications: Application) -> None:
        """Begin anew, with other applications."""
        self.applications = {each.name: each for each in applications}
        for each in (self.calls, self.syncs, self.failures, self.refusals):
            each.clear()


def error(grpc: tuple[int, int], message: str) -> Response:
    """An error as the API server writes it."""
    code, status = grpc
    return JSONResponse({"code": code, "error": message, "message": message}, status)


@contextmanager
def argocd(*applications: Application, token: str = "sandbox-argocd-token", port: int = 0) -> Iterator[ArgoCD]:
    """Start the stand-in.

    Args:
        applications: what it manages.
        token: may get and sync all of them.
        port: where it listens on 127.0.0.1; a free port by default.
    """
    argo = ArgoCD({each.name: each for each in applications}, token)
    with served(_api(argo), port=port) as url:
        argo.url = url
        yield argo


def _api(argo: ArgoCD) -> FastAPI:
    api = FastAPI(openapi_url=None)

    @api.get("/api/v1/applications/{name}")
    async def get(name: str, request: Request, refresh: str = "", project: str = "") -> Response:
        argo.calls.append("refresh" if refresh else "get")
        refused = _refused(argo, request, name, project)
        if refused:
            return refused
        application = argo.applications[name]
        if refresh:
            application.refresh_asked = True
            while application.refresh_hangs and not await request.is_disconnected():
                await asyncio.sleep(0.01)
        application.step()
        return JSONResponse(application.answer())

    @api.post("/api/v1/applications/{name}/sync")
    async def sync(name: str, request: Request) -> Response:
        argo.calls.append("sync")
        body = await request.json()
        refused = _refused(argo, request, name, body.get("project", ""))
        refused = refused or (argo.refusals.pop(0) if argo.refusals else _no_sync(argo.applications[name], body))
        if refused:
            return refused
        application = argo.applications[name]
        application.operation = {
            "sync": {"revision": application.head(), "prune": body.get("prune", False)},
            "initiatedBy": {"username": "ci"},
        }
        argo.syncs.append(body)
        return JSONResponse(application.answer())

    return api


def _refused(argo: ArgoCD, request: Request, name: str, project: str) -> Response | None:
    if argo.failures:
        return argo.failures.pop(0)
    if "authorization" not in request.headers:
        return error(UNAUTHENTICATED, "no session information")
    if request.headers["authorization"] != f"Bearer {argo.token}":
        return error(UNAUTHENTICATED, "invalid session: signature is invalid")
    known = argo.applications.get(name)
    if known and project in ("", known.project):
        return None
    if not project:
        return error(DENIED, "permission denied")
    return error(NOT_FOUND, f'applications.argoproj.io "{name}" not found')


def _no_sync(application: Application, body: dict[str, Any]) -> Response | None:
    if application.window_closed:
        return error(DENIED, "cannot sync: blocked by sync window")
    if application.auto_sync and body.get("revision") not in (None, "", "main"):
        return error(FAILED_PRECONDITION, f"Cannot sync to {body['revision']}: auto-sync currently set to main")
    if application.operation:
        return error(FAILED_PRECONDITION, "another operation is already in progress")
    return None
