"""The part of the GitHub stand-in that people look at: pull requests, commit statuses, deployments.

Follows https://docs.github.com/en/rest/pulls/pulls (422 where the head's branch is missing or has a pull request
already, or is merged), .../rest/commits/statuses and .../rest/deployments (states; 422 for others). Nothing is merged
here: a test does that in git and says ``closed``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.sandbox import repositories

STATUS_STATES = ("error", "failure", "pending", "success")
DEPLOYMENT_STATES = ("error", "failure", "inactive", "in_progress", "queued", "pending", "success")
LONGEST = 140
"""Characters of a status's description."""


class Changes:
    """What was proposed and shown so far.

    Args:
        folder: the bare repository of an ``owner/name``.
        url: where the stand-in answers; known when it runs.
        refused: the answer to a request that may not write, if it may not.
    """

    def __init__(
        self, folder: Callable[[str], Path], url: Callable[[], str], refused: Callable[[Request], Response | None]
    ) -> None:
        self.pulls: list[dict[str, Any]] = []
        self.comments: list[dict[str, Any]] = []
        self.statuses: list[dict[str, Any]] = []
        self.deployments: list[dict[str, Any]] = []
        self._folder, self._url, self._refused = folder, url, refused

    def routes(self) -> list[Route]:
        """The paths below ``/repos/{owner}/{name}``."""
        here = "/repos/{owner}/{name}"
        return [
            Route(f"{here}/pulls", self.list_pulls),
            Route(f"{here}/pulls", self.open_pull, methods=["POST"]),
            Route(f"{here}/pulls/{{number:int}}", self.pull),
            Route(f"{here}/pulls/{{number:int}}", self.edit_pull, methods=["PATCH"]),
            Route(f"{here}/issues/{{number:int}}/comments", self.comment, methods=["POST"]),
            Route(f"{here}/statuses/{{sha}}", self.set_status, methods=["POST"]),
            Route(f"{here}/deployments", self.deploy, methods=["POST"]),
            Route(f"{here}/deployments/{{number:int}}/statuses", self.set_deployment, methods=["POST"]),
        ]

    async def list_pulls(self, request: Request) -> Response:
        """The pull requests of a head, by their state."""
        owner, wanted = request.path_params["owner"], request.query_params
        found = [
            pull
            for pull in self.pulls
            if pull["state"] == wanted.get("state", "open")
            and wanted.get("head") in (None, f"{owner}:{pull['head']['ref']}")
            and wanted.get("base") in (None, pull["base"]["ref"])
        ]
        return self._refused(request) or JSONResponse(found)

    async def open_pull(self, request: Request) -> Response:
        """A new one."""
        sent = await request.json()
        if refused := self._refused(request):
            return refused
        bare = self._folder(_name(request))
        if not await run_in_threadpool(repositories.head, bare, sent["head"]):
            return _invalid("head")
        if any(pull["head"]["ref"] == sent["head"] and pull["state"] == "open" for pull in self.pulls):
            return _invalid(f"A pull request already exists for {request.path_params['owner']}:{sent['head']}.")
        if not await run_in_threadpool(repositories.git, bare, "rev-list", "-1", f"{sent['base']}..{sent['head']}"):
            return _invalid(f"No commits between {sent['base']} and {sent['head']}")
        number = len(self.pulls) + 1
        pull = {
            "number": number,
            "state": "open",
            "title": sent["title"],
            "body": sent["body"],
            "head": {"ref": sent["head"]},
            "base": {"ref": sent["base"]},
            "url": f"{self._url()}/repos/{_name(request)}/pulls/{number}",
            "html_url": f"{self._url()}/{_name(request)}/pull/{number}",
        }
        self.pulls.append(pull)
        return JSONResponse(pull, 201)

    async def pull(self, request: Request) -> Response:
        """One pull request."""
        pull = self.pulls[request.path_params["number"] - 1]
        return self._refused(request) or JSONResponse({"merged": False, **pull})

    async def comment(self, request: Request) -> Response:
        """A comment on a pull request."""
        sent = await request.json()
        if not (refused := self._refused(request)):
            self.comments.append({"number": request.path_params["number"], **sent})
        return refused or JSONResponse(sent, 201)

    async def edit_pull(self, request: Request) -> Response:
        """Another title or text."""
        pull = self.pulls[request.path_params["number"] - 1]
        pull.update(await request.json())
        return self._refused(request) or JSONResponse(pull)

    async def set_status(self, request: Request) -> Response:
        """A commit's status."""
        sent = await request.json()
        if sent["state"] not in STATUS_STATES or len(sent.get("description", "")) > LONGEST:
            return _invalid("state or description")
        if not (refused := self._refused(request)):
            self.statuses.append({"sha": request.path_params["sha"], **sent})
        return refused or JSONResponse(sent, 201)

    async def deploy(self, request: Request) -> Response:
        """A new one."""
        sent = await request.json()
        if refused := self._refused(request):
            return refused
        number = len(self.deployments) + 1
        self.deployments.append(
            {
                "id": number,
                "url": f"{self._url()}/repos/{_name(request)}/deployments/{number}",
                "sha": sent["ref"],
                "environment": sent["environment"],
                "states": [],
                "statuses": [],
            }
        )
        return JSONResponse(self.deployments[-1], 201)

    async def set_deployment(self, request: Request) -> Response:
        """How it goes."""
        sent = await request.json()
        if sent["state"] not in DEPLOYMENT_STATES or len(sent.get("description", "")) > LONGEST:
            return _invalid("state or description")
        if not (refused := self._refused(request)):
            deployment = self.deployments[request.path_params["number"] - 1]
            deployment["states"].append(sent["state"])
            deployment["statuses"].append(sent)
        return refused or JSONResponse(sent, 201)


def _name(request: Request) -> str:
    return f"{request.path_params['owner']}/{request.path_params['name']}"


def _invalid(why: str) -> Response:
    return JSONResponse({"message": f"Validation Failed: {why}"}, 422)
