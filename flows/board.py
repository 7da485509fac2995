"""``flowise-board``: read-only pages about what was deployed where, for a browser.

Nothing here changes anything but an approval's answer, which needs a person whom the proxy has let in. The other pages
ask nobody who is there: it listens on loopback unless told otherwise, and belongs behind the proxy that guards the
Prefect UI.
"""

import argparse
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Lock

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from prefect.logging import get_logger

from flows import board_approvals
from flows.overview import overview
from tasks.clients import source_repository
from tasks.core.errors import DeliveryError
from tasks.core.models import Environment
from tasks.core.report.board.pages import SPANS, STYLE, Board
from tasks.core.report.board.source_history import SourceHistory
from tasks.core.settings import load
from tasks.core.system.temp_dir import temp_dir
from tasks.read_status import effects_of, status_now
from tasks.runtime.web import web

FRESH = 15.0
"""Seconds for which a snapshot is shown before another one is made."""

SHOWN = 200
"""Deployments of each environment that the board knows."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

log = get_logger("board")


class Snapshots:
    """The newest board, made anew when somebody looks and it is no longer fresh.

    Args:
        folder: for a copy of the source commits.
        root: the path below which the pages are.
    """

    def __init__(self, folder: Path, root: str) -> None:
        self._folder, self._root = folder, root
        self._lock, self._made = Lock(), 0.0
        self._board: Board | None = None
        self._history: SourceHistory | None = None

    def board(self) -> Board:
        """Return a fresh board; if the GitOps repository doesn't answer, the last one, which says so.

        Raises:
            DeliveryError: there is no last one.
        """
        with self._lock:
            if self._board and time.monotonic() - self._made < FRESH:
                return self._board
            self._board = self._look()
            self._made = time.monotonic()
            return self._board

    def _look(self) -> Board:
        history, problems = self._source()
        try:
            view = overview(status_now(SHOWN))
        except DeliveryError as error:
            if not self._board:
                raise
            return Board(self._board.view, web(), history, (error.message,), self._root, effects_of)
        return Board(view, web(), history, problems, self._root, effects_of)

    def _source(self) -> tuple[SourceHistory | None, tuple[str, ...]]:
        settings = load()
        if not settings.source_repo:
            return None, ()
        try:
            self._history = self._history or SourceHistory(source_repository(settings), self._folder / "source.git")
            self._history.refresh()
        except DeliveryError as error:
            return None, (f"Source commits: {error.message}",)
        return self._history, ()


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

    def board_for(request: Request) -> Board:
        snapshots: Snapshots = request.state.snapshots
        return snapshots.board()

    @app.middleware("http")
    async def guard(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call(request)
        response.headers.update(HEADERS)
        return response

    @app.exception_handler(DeliveryError)
    async def failed(_: Request, error: DeliveryError) -> Response:
        log.warning("%s", error)
        return PlainTextResponse(str(error), 503)

    @app.get("/", response_class=HTMLResponse)
    def first(request: Request, days: int = SPANS[1]) -> str:
        return board_for(request).overview(_span(days))

    @app.get("/deployments", response_class=HTMLResponse)
    def deployments(request: Request, environment: str = "") -> str:
        return board_for(request).deployments(environment)

    @app.get("/deployments/{commit}")
    def deployment(request: Request, commit: str) -> Response:
        board = board_for(request)
        page = board.deployment(commit)
        words = "No deployment has this commit, or it is older than those the board knows."
        return HTMLResponse(page) if page else HTMLResponse(board.error("Not found", words), 404)

    @app.get("/figures", response_class=HTMLResponse)
    def figures(request: Request, days: int = SPANS[1]) -> str:
        return board_for(request).figures(_span(days))

    @app.get("/where", response_class=HTMLResponse)
    def where(request: Request, q: str = "") -> str:
        return board_for(request).where(q[:200].strip())

    @app.get("/rollback/{environment}", response_class=HTMLResponse)
    def rollback(request: Request, environment: Environment) -> str:
        return board_for(request).rollback(environment)

    app.include_router(board_approvals.router)

    @app.get("/style.css")
    def style() -> Response:
        return Response(STYLE, media_type="text/css", headers={"Cache-Control": "max-age=3600"})

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return app


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
