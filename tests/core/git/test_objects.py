"""Objects are read once, and none that is too large."""

from pathlib import Path

import pytest

from tasks.core.errors import InvalidInput, Unavailable
from tasks.core.git import objects
from tasks.core.git.objects import Objects
from tests.sandbox import repositories


def test_an_object_is_read_once_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = repositories.init(tmp_path / "g.git")
    small, large = (
        repositories.git(bare, "hash-object", "-w", "--stdin", stdin=text).decode().strip()
        for text in (b"small", b"x" * (3 << 20))
    )
    monkeypatch.setattr(objects, "LARGEST", 2 << 20)
    reader = Objects(bare)
    assert reader.read("1" * 40) is None
    first = reader.read(small)
    assert first and first.content == b"small"
    assert reader.read(small) is first
    with pytest.raises(InvalidInput, match=f"Object {large[:12]} has 3 MB"):
        reader.read(large)
    assert reader.read(small) is first
    with pytest.raises((Unavailable, ValueError)):
        reader.read("2" * 40)
    reader.close()
