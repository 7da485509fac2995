"""A stand-in for Argo CD: the calls of its API server that a rollout makes, and a controller that takes its time.

Follows Argo CD's ``assets/swagger.json`` (``/api/v1/applications/{name}``, ``?refresh=``, ``.../sync``) and its
``server/application/application.go``: a refresh is answered when the controller has compared; an unknown application
is 403 unless ``project`` is named, then 404; POST and DELETE need a content type, else 415; a sync is 403 in a closed
window and 400 while an operation is there, or with a ``revision`` under auto-sync; errors are ``{code, error,
message}``. ``argocd_recordings/errors.jsonl.gz`` is what a real one answers to what it refuses; so does this one.

Other than the real one: an answer has only the fields used here, and the controller (``argocd_controller``) moves only
when it is asked.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from tests.sandbox.argocd_controller import Application
from tests.sandbox.in_process import served

INVALID_ARGUMENT = (3, 400)
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

    @api.get("/api/v1/applications/{name}/resource-tree")
    async def tree(name: str, request: Request, project: str = "") -> Response:
        refused = _unknown(argo, request, name, project)
        return refused or JSONResponse({"nodes": argo.applications[name].tree()})

    @api.delete("/api/v1/applications/{name}/operation")
    async def end_operation(name: str, request: Request, project: str = "") -> Response:
        argo.calls.append("end")
        refused = _no_json(request) or _refused(argo, request, name, project)
        if refused:
            return refused
        if not argo.applications[name].end_operation():
            return error(INVALID_ARGUMENT, "Unable to terminate operation. No operation is in progress")
        return JSONResponse({})

    @api.post("/api/v1/applications/{name}/sync")
    async def sync(name: str, request: Request) -> Response:
        argo.calls.append("sync")
        if refused := _no_json(request):
            return refused
        body = await request.json() if await request.body() else {}
        refused = _refused(argo, request, name, body.get("project", ""), body.get("appNamespace", ""))
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


def _no_json(request: Request) -> Response | None:
    if request.headers.get("content-type") == "application/json":
        return None
    return PlainTextResponse("Invalid content type\n", 415)


def _refused(argo: ArgoCD, request: Request, name: str, project: str, namespace: str = "") -> Response | None:
    return argo.failures.pop(0) if argo.failures else _unknown(argo, request, name, project, namespace)


def _unknown(argo: ArgoCD, request: Request, name: str, project: str, namespace: str = "") -> Response | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or token.count(".") not in (0, 2):  # what is not made of three parts is no JWT
        return error(UNAUTHENTICATED, "no session information")
    if token != argo.token:
        said = "invalid session: token signature is invalid: signature is invalid"
        return error(UNAUTHENTICATED, said)
    known = argo.applications.get(name)
    asked = namespace or request.query_params.get("appNamespace", "argocd")
    if known and project in ("", known.project) and asked == known.namespace:
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
