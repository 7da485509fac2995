"""The board's approvals: the answer of the person whom the proxy's single sign-on has let in."""

from base64 import b64encode
from hmac import compare_digest
from typing import Annotated
from urllib.parse import parse_qsl
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from flows.board_snapshots import FreshBoard
from tasks.answer import Question, answer, question
from tasks.core.report.approval import APPROVE, REJECT, seal
from tasks.core.settings import load
from tasks.core.text import one_line
from tasks.runtime.server import password

LARGEST_FORM = 10_000
"""Bytes; two buttons, a note and a token are far less."""

STALE = "This run asks nothing, or something else by now. Open it again to see what it asks."
STRANGER = "The proxy in front of this page hasn't said who you are, so you can't answer here."

router = APIRouter(prefix="/approvals")


def signed_in(request: Request) -> str:
    """Name the person whom the proxy has let in; empty if the request isn't the proxy's.

    The header counts only with the password of Prefect's API, which the proxy adds and people never see.
    """
    header, secret = load().approver_header, password()
    wanted = f"Basic {b64encode(secret.encode()).decode()}"
    given = request.headers.get("authorization", "")
    names = request.headers.getlist(header) if header else []
    if not secret or len(names) != 1 or not compare_digest(given.encode(), wanted.encode()):
        return ""
    return one_line(names[0].encode("latin-1").decode(errors="replace"))


async def form(request: Request) -> dict[str, str]:
    """Read a form's fields; empty if it is larger than any of this page's."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM:
            return {}
    return dict(parse_qsl(body.decode(errors="replace")))


@router.get("/{run}", response_class=HTMLResponse)
def asks(request: Request, board: FreshBoard, run: UUID, answered: bool = False) -> str:
    """Show what a run asks, and to a person who is signed in the two buttons."""
    asked, name = question(run), signed_in(request)
    if not asked:
        return board.approval(str(run), "", "", person=name, token="", answered=answered)
    return board.approval(
        str(run), asked.name, asked.text, person=name, token=_token(asked, name) if name else "", answered=answered
    )


@router.post("/{run}")
def decide(
    request: Request, board: FreshBoard, run: UUID, fields: Annotated[dict[str, str], Depends(form)]
) -> Response:
    """Take the answer to the question that this person was shown, and to no other one.

    The token is bound to both: another site can't read it, and so can't send a signed-in person's answer.
    """
    name = signed_in(request)
    if not name:
        return HTMLResponse(board.error("Not signed in", STRANGER), 403)
    asked, decision = question(run), fields.get("decision", "")
    shown = asked is not None and compare_digest(fields.get("token", "").encode(), _token(asked, name).encode())
    known = asked if shown and decision in (APPROVE, REJECT) else None
    if not known or not answer(known, decision, name, one_line(fields.get("note", ""))):
        return HTMLResponse(board.error("Not answered", STALE), 409)
    return RedirectResponse(f"{board.root}/approvals/{run}?answered=1", 303)


def _token(asked: Question, name: str) -> str:
    return seal(password(), "form", asked.run, asked.key, name)
