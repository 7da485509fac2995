"""Objects of a git repository that stay on this machine between runs: by its name, an object is never out of date.

An update reads the folders on the way to one file, with a fetch for each, and most of them are as the update before
has left them. They stay in the user's cache (XDG Base Directory Specification), each in a file of its own that appears
as a whole; where there is no cache, or no home, none does.
"""

import hashlib
import os
import tempfile
import zlib
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

from tasks.core.git.objects import Object

MOST = 1000
"""Objects of a repository that stay, the last used ones: an update makes about seven, and reads what overlays reach."""

LARGEST = 1 << 20
"""Bytes of the largest object that stays."""


class ObjectCache:
    """The objects of one repository, for any number of runs at once; a broken one is as good as none.

    Args:
        url: the repository.
    """

    def __init__(self, url: str) -> None:
        self._name = hashlib.sha256(url.encode(errors="surrogateescape")).hexdigest()[:16]

    def copy(self, name: str, objects: Path) -> bool:
        """Put an object into another repository's folder of objects; whether there is one."""
        with suppress(OSError, zlib.error):
            file = self._folder() / name
            stored = zlib.decompress(file.read_bytes())
            if hashlib.sha1(stored).hexdigest() == name:  # noqa: S324 - git's name for it
                (objects / name[:2]).mkdir(exist_ok=True)
                _write(stored, objects / name[:2] / name[2:])
                with suppress(OSError):  # it can be read, and not be changed
                    os.utime(file)
                return True
        return False

    def add(self, name: str, found: Object) -> None:
        """Have an object stay."""
        if len(found.content) > LARGEST:
            return
        with suppress(OSError):
            folder = self._folder()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(b"%b %d\0%b" % (found.kind.encode(), len(found.content), found.content), folder / name)
            there = list(folder.iterdir())
            for old in sorted(there, key=lambda each: each.stat().st_mtime)[:-MOST] if len(there) > MOST else ():
                with suppress(OSError):
                    old.unlink()

    def _folder(self) -> Path:
        return user_cache_path("flowise-delivery") / "objects" / self._name


def _write(stored: bytes, place: Path) -> None:
    """Write an object as git itself stores one (gitformat-loose(5))."""
    with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as file:
        file.write(zlib.compress(stored))
    try:
        Path(file.name).replace(place)
    except OSError:
        Path(file.name).unlink()
        raise
