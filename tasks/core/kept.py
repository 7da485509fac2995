"""Objects of git repositories that stay on this machine between runs: by its name, an object is never out of date.

An update reads the folders on the way to one file, with a fetch for each, and most of them are as the update before
has left them. They are kept in the user's cache (XDG Base Directory Specification), each in a file of its own that
appears as a whole; where there is no cache, or no home, nothing is.
"""

import hashlib
import os
import tempfile
import zlib
from contextlib import suppress
from pathlib import Path

from tasks.core.objects import Object

MOST = 200
"""Objects that are kept, the last used ones: an update makes about seven."""

LARGEST = 1 << 20
"""Bytes of the largest object that is kept."""


def lend(name: str, objects: Path) -> bool:
    """Put a kept object into a repository's folder of objects; whether there is one."""
    with suppress(OSError, RuntimeError, zlib.error):
        kept = _cache() / name
        packed = kept.read_bytes()
        if hashlib.sha1(zlib.decompress(packed)).hexdigest() == name:  # noqa: S324 - git's name for it
            place = objects / name[:2] / name[2:]
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(packed)
            os.utime(kept)
            return True
    return False


def keep(name: str, found: Object) -> None:
    """Keep an object for later runs, as git itself stores one (gitformat-loose(5))."""
    if len(found.content) > LARGEST:
        return
    with suppress(OSError, RuntimeError):
        cache = _cache()
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=cache, delete=False) as file:
            file.write(zlib.compress(b"%b %d\0%b" % (found.kind.encode(), len(found.content), found.content)))
        Path(file.name).replace(cache / name)
        for old in sorted(cache.iterdir(), key=lambda each: each.stat().st_mtime)[:-MOST]:
            old.unlink(missing_ok=True)


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"  # RuntimeError where there is no home
    return Path(home, "flowise-delivery", "objects")
