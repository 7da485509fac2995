"""What the board shows: a snapshot of the GitOps repository and of the source commits, made when somebody looks."""

import time
from pathlib import Path
from threading import Lock
from typing import Annotated

from fastapi import Depends, Request

from flows.overview import overview
from tasks.clients import source_repository
from tasks.core.errors import DeliveryError
from tasks.core.report.board.pages import Board
from tasks.core.report.board.source_history import SourceHistory
from tasks.core.settings import load
from tasks.read_status import effects_of, status_now
from tasks.runtime.web import web

FRESH = 15.0
"""Seconds for which a snapshot is shown before another one is made."""

SHOWN = 200
"""Deployments of each environment that the board knows."""


class Snapshots:
    """The current board, rebuilt when a page is asked for and it is no longer fresh.

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


def _fresh(request: Request) -> Board:
    snapshots: Snapshots = request.state.snapshots
    return snapshots.board()


FreshBoard = Annotated[Board, Depends(_fresh)]
"""The parameter of a page that shows the board as it is now."""
