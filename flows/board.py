"""``flowise-board``: read-only pages about what was deployed where, for a browser.

Nothing here changes anything but an approval's answer, which needs a person whom the proxy has let in. The other pages
ask nobody who is there: it listens on loopback unless told otherwise, and belongs behind the proxy that guards the
Prefect UI.
"""

import argparse
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import uvicorn
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from prefect.logging import get_logger

from flows import board_approvals
from flows.board_snapshots import FreshBoard, Snapshots
from tasks.core.errors import DeliveryError
from tasks.core.models import Environment
from tasks.core.report.board.pages import SPANS, STYLE
from tasks.core.settings import load
from tasks.core.system.temp_dir import temp_dir

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

log = get_logger("board")


router = APIRouter()


@router.get("/", response_class=HTMLResponse)
def first(board: FreshBoard, days: int = SPANS[1]) -> str:
    """Show the environments, and the deployments of some days."""
    return board.overview(_span(days))


@router.get("/deployments", response_class=HTMLResponse)
def deployments(board: FreshBoard, environment: str = "") -> str:
    """List the deployments, of one environment perhaps."""
    return board.deployments(environment)


@router.get("/deployments/{commit}")
def deployment(board: FreshBoard, commit: str) -> Response:
    """Show one deployment."""
    page = board.deployment(commit)
    words = "No deployment has this commit, or it is older than those the board knows."
    return HTMLResponse(page) if page else HTMLResponse(board.error("Not found", words), 404)


@router.get("/figures", response_class=HTMLResponse)
def figures(board: FreshBoard, days: int = SPANS[1]) -> str:
    """Show how often and how well was delivered."""
    return board.figures(_span(days))


@router.get("/where", response_class=HTMLResponse)
def where(board: FreshBoard, q: str = "") -> str:
    """Say where a commit, tag or pull request is."""
    return board.where(q[:200].strip())


@router.get("/rollback/{environment}", response_class=HTMLResponse)
def rollback(board: FreshBoard, environment: Environment) -> str:
    """List what an environment could go back to."""
    return board.rollback(environment)


@router.get("/style.css")
def style() -> Response:
    """Return the pages' style."""
    return Response(STYLE, media_type="text/css", headers={"Cache-Control": "max-age=3600"})


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """Answer health checks."""
    return {"status": "ok"}


def application(root: str = "") -> FastAPI:
    """Make the web application.

    Args:
        root: the path below which a proxy has it, such as ``/board``.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Snapshots]]:
        load().require("gitops_repo")
        with temp_dir(load().work_dir) as folder:
            yield {"snapshots": Snapshots(folder, root)}

    app = FastAPI(title="flowise-board", lifespan=lifespan, openapi_url=None)
    app.middleware("http")(_guard)
    app.exception_handler(DeliveryError)(_failed)
    app.include_router(router)
    app.include_router(board_approvals.router)
    return app


async def _guard(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call(request)
    response.headers.update(HEADERS)
    return response


async def _failed(_: Request, error: DeliveryError) -> Response:
    log.warning("%s", error)
    return PlainTextResponse(str(error), 503)


def main() -> int:
    """Run the command until it is stopped."""
    options = argparse.ArgumentParser(prog="flowise-board", description="Pages about what was deployed where.")
    options.add_argument("--host", default="127.0.0.1", help="where it listens; loopback by default")
    options.add_argument("--port", type=int, default=4300)
    options.add_argument("--root", default="", help="path below which a proxy has it, such as /board")
    chosen = options.parse_args()
    app = application(chosen.root.rstrip("/"))
    uvicorn.run(app, host=chosen.host, port=chosen.port, log_level="warning", server_header=False)
    return 0


def _span(days: int) -> int:
    return days if days in SPANS else SPANS[1]


if __name__ == "__main__":
    raise SystemExit(main())
