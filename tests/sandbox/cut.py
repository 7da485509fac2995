"""A network that can be cut: a namespace with one way out, to one server of this machine (Linux, root)."""

import asyncio
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.sandbox.processes import free_port

NAME, HOST, INSIDE = "flowise-cut", "10.231.77.1", "10.231.77.2"


@dataclass(frozen=True)
class Network:
    """A namespace and what is reached from it at ``url``."""

    url: str

    def command(self, *command: str) -> list[str]:
        """Return a command that runs in the namespace."""
        return ["ip", "netns", "exec", NAME, *command]

    def cut(self) -> None:
        """Let packets vanish, in both directions."""
        _ip("link", "set", NAME, "down")

    def mend(self) -> None:
        """Let them pass again."""
        _ip("link", "set", NAME, "up")


@contextmanager
def network(port: int) -> Iterator[Network]:
    """Make a namespace from which a port of loopback is reached, until the block ends."""
    _ip("netns", "add", NAME)
    try:
        _ip("link", "add", NAME, "type", "veth", "peer", "name", "outside", "netns", NAME)
        _ip("addr", "add", f"{HOST}/30", "dev", NAME)
        _ip("link", "set", NAME, "up")
        for command in (["addr", "add", f"{INSIDE}/30", "dev", "outside"], ["link", "set", "outside", "up"]):
            _ip("-n", NAME, *command)
        _ip("-n", NAME, "link", "set", "lo", "up")
        with _relay(port) as own:
            yield Network(f"http://{HOST}:{own}")
    finally:
        _ip("netns", "del", NAME)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextmanager
def _relay(port: int) -> Iterator[int]:
    """Pass connections to ``HOST`` on to a port of loopback, and yield the port to connect to."""
    own, loop = free_port(), asyncio.new_event_loop()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, back), copy(there, writer))

    server = loop.run_until_complete(asyncio.start_server(serve, HOST, own))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield own
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
