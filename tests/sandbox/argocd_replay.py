"""What a real Argo CD 3.5.1 answered, played again at the pace of a test's own clock.

The recordings in ``argocd_recordings`` are of a flowise-dev like the user's, on a real Kubernetes 1.36 API: one JSON
object a line, each time an answer changed. ``get`` is ``application`` or ``resource-tree`` (pods and jobs alone),
``t`` the second, ``status`` 0 means that nothing answered, ``note`` what was done at that second.

Other than the real one: an answer is what was recorded at that second, whatever was asked; a refresh is answered at
once, unless the controller was stopped.
"""

import copy
import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

RECORDINGS = Path(__file__).parent / "argocd_recordings"
APPLICATION = "/api/v1/applications/flowise-dev"

Line = dict[str, Any]


class Clock(Protocol):
    """Tells the seconds since the test began."""

    now: float


def load(name: str) -> list[Line]:
    """Read a recording."""
    with gzip.open(RECORDINGS / f"{name}.jsonl.gz", "rt") as file:
        return [json.loads(line) for line in file]


class Replay:
    """A recording that is asked.

    Args:
        name: the recording.
        clock: tells the second of it.
        until: from when on its lines are left out: the rollbacks that an older version of this project made.
    """

    def __init__(self, name: str, clock: Clock, until: float = 1e9) -> None:
        self.lines = [line for line in load(name) if line["t"] < until]
        self.calls: list[str] = []
        self._clock, self._offset = clock, 0.0
        self._held: Line | None = None

    def revision(self, short: str) -> str:
        """Find a commit of the recording by the beginning of its sha."""
        return next(each for each in self._revisions() if each.startswith(short))

    def images(self, short: str) -> list[str]:
        """List the images that the operation for a commit applied to Deployments, or that run after it."""
        for line in reversed(self._applications()):
            status = line["body"]["status"]
            result = status.get("operationState", {}).get("syncResult", {})
            if result.get("revision", "").startswith(short):
                applied = {image for each in result.get("resources", ()) for image in each.get("images", ())}
                for images in (applied, status["summary"].get("images", ())):
                    ours = sorted(image for image in images if "/flowise-" in image)
                    if len(ours) == 2:
                        return ours
        raise LookupError(short)

    def wait_for_sync(self, at: float) -> None:
        """Stand still before the operation that was recorded at this second, until somebody asks for a sync."""
        before = next(line for line in reversed(self._applications()) if line["t"] < at)
        after = copy.deepcopy(next(line for line in self._applications() if line["t"] >= at))
        del after["body"]["operation"]
        after["body"]["status"]["operationState"] = before["body"]["status"]["operationState"]
        self._held = {**after, "t": at}

    def append(self, at: float, change: Line) -> None:
        """Add an answer that was not recorded: the last one with another status."""
        last = copy.deepcopy(self._applications()[-1])
        last["body"]["status"].update(change)
        self.lines.append({**last, "t": at})

    def continue_with(self, name: str, at: float, replaced: dict[str, str]) -> None:
        """Go on with another recording, from a second of it, with the commits of this one."""
        text = json.dumps(load(name))
        for old, new in replaced.items():
            text = text.replace(old, new)
        self.lines = [line for line in json.loads(text) if "get" in line]
        self._offset = at - self._clock.now

    def answer(self, method: str, path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        """Answer a call; status 0 is no answer."""
        self.calls.append(f"{method} {path.removeprefix(APPLICATION).lstrip('/')}".strip())
        now = self._clock.now + self._offset
        if method == "POST" and self._held:
            self._offset -= max(now - self._held["t"], 0)
            self._held = None
            return 200, self._at("application", self._clock.now + self._offset)["body"]
        if method != "GET":
            return self.on_delete() if method == "DELETE" else (400, {"code": 9, "message": "not in the recording"})
        if "refresh" in query and self._stopped(now):
            return 504, {"code": 4, "message": "context deadline exceeded"}
        if path.endswith("/resource-tree"):
            line = self._at("resource-tree", now)
            return line["status"], line["body"]
        line = self._held if self._held and now >= self._held["t"] else self._at("application", now)
        return line["status"], line["body"]

    def on_delete(self) -> tuple[int, Any]:
        """Answer the end of an operation; tests replace it."""
        return 400, {"code": 3, "message": "Unable to terminate operation. No operation is in progress"}

    def _at(self, what: str, now: float) -> Line:
        lines = [line for line in self.lines if line.get("get") == what] or [
            {"t": 0, "status": 404, "body": {"code": 5, "message": "not recorded"}}
        ]
        return next((line for line in reversed(lines) if line["t"] <= now), lines[0])

    def _applications(self) -> list[Line]:
        return [line for line in self.lines if line.get("get") == "application" and line["status"] == 200]

    def _revisions(self) -> Iterator[str]:
        for line in self._applications():
            yield line["body"]["status"]["sync"]["revision"]

    def _stopped(self, now: float) -> bool:
        notes = [line["note"] for line in self.lines if "note" in line and line["t"] <= now]
        return bool(notes) and notes[-1] == "controller is stopped"


@contextmanager
def replayed(replay: Replay) -> Iterator[str]:
    """Serve a recording, and yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer in two parts would wait for an acknowledgement

        def _serve(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            where = urlsplit(self.path)
            status, body = replay.answer(self.command, where.path, parse_qs(where.query))
            if not status:
                self.close_connection = True
                return
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _serve

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
