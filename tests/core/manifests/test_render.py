"""How kustomize is run, with scripts in its place where it would have to misbehave."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.core.errors import InvalidInput, Unavailable
from tasks.core.manifests import render
from tasks.core.manifests.sources import Sources

FILES = {
    "o/kustomization.yaml": b"resources: [d.yaml]\n",
    "o/d.yaml": b"kind: A\napiVersion: v1\nmetadata: {name: a}\n",
}
CHANGE = ("o/kustomization.yaml", b"resources: [d.yaml]\nnamePrefix: b-\n")

Script = Callable[[str], None]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Have a shell script in the place of kustomize."""

    def installed(text: str) -> None:
        monkeypatch.setattr(render, "kustomize", lambda: ["/bin/sh", "-c", text])

    return installed


def rendered(tmp_path: Path) -> tuple[str | None, str]:
    return render.render(Sources("o", dict(FILES)), CHANGE, tmp_path / "files")


def test_both_versions_are_rendered(tmp_path: Path) -> None:
    before, after = rendered(tmp_path)
    assert before == "apiVersion: v1\nkind: A\nmetadata:\n  name: a\n"
    assert after == "apiVersion: v1\nkind: A\nmetadata:\n  name: b-a\n"


def test_it_knows_nothing_of_this_process(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITOPS_TOKEN", "secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    script("set; ls -A $HOME | /usr/bin/wc -l")
    said, _ = rendered(tmp_path)
    assert "secret" not in said
    assert "proxy.example" not in said
    assert f"HOME='{tmp_path}/files/as-it-is/.home'" in said
    assert "PATH=''" in said


@pytest.mark.parametrize("text", ["while :; do echo endless; done", "while :; do echo endless >&2; done"])
def test_what_it_prints_is_bounded(text: str, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "MOST_OUTPUT", 100_000)
    script(text)
    with pytest.raises(Unavailable, match="didn't render o: more than 100,000 bytes of output"):
        rendered(tmp_path)


def test_its_time_is_bounded(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "TIMEOUT", 0.3)
    script("while :; do :; done")
    with pytest.raises(Unavailable, match=r"didn't render o: no end after 0\.3 seconds"):
        rendered(tmp_path)


BAD = 'echo "error: in $HOME/../o:" >&2; echo "  bad" >&2; exit 1'


def test_its_words_are_one_line_without_paths_of_this_machine(script: Script, tmp_path: Path) -> None:
    script(f'case "$HOME" in */changed/*) {BAD};; esac')
    with pytest.raises(InvalidInput) as caught:
        rendered(tmp_path)
    assert caught.value.message == "kustomize can't render o: in .home/../o: bad"
    assert str(tmp_path) not in str(caught.value)


def test_what_a_change_mends_has_no_rendering_before(script: Script, tmp_path: Path) -> None:
    script(f'case "$HOME" in */as-it-is/*) {BAD};; esac; echo good')
    before, after = rendered(tmp_path)
    assert (before, after.strip()) == (None, "good")


def test_what_it_cannot_read_either_way_is_refused(script: Script, tmp_path: Path) -> None:
    script(BAD)
    with pytest.raises(InvalidInput, match=r"^kustomize can't render o: in \.home/\.\./o: bad"):
        rendered(tmp_path)


def test_the_wheel_goes_before_kubectl_and_kustomize_before_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel, path = tmp_path / "wheel", tmp_path / "path"
    monkeypatch.setattr(render.sysconfig, "get_path", lambda _: str(wheel))
    monkeypatch.setenv("PATH", str(path))
    with pytest.raises(render.NotRendered, match="neither kustomize nor kubectl is installed"):
        render.kustomize()
    for program, command in (
        (path / "kubectl", "kustomize"),
        (wheel / "kubectl", "kustomize"),
        (path / "kustomize", "build"),
    ):
        program.parent.mkdir(exist_ok=True)
        program.touch(mode=0o755)
        assert render.kustomize() == [str(program), command]
