"""Only what takes effect is written: real kustomize renders each overlay before and after, on real repositories."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from tasks.core import git
from tasks.core.errors import InvalidInput, NotFound
from tasks.core.gitops import writer
from tasks.core.gitops.repository import GitOps
from tasks.core.manifests import render
from tasks.core.models import ImageUpdate, Render, UpdateResult
from tests.sandbox import repositories
from tests.sandbox.github import github
from tests.sandbox.gitops_files import APP, REGISTRY

OVERLAYS = f"{APP}/overlays"
DEV, BASE = f"{OVERLAYS}/dev/kustomization.yaml", f"{APP}/base/kustomization.yaml"
SERVER, UI = ("sha256:" + digit * 64 for digit in "12")
ENTRIES = f"""\
images:
- name: flowise-server
  newName: {REGISTRY}/flowise-server
  newTag: v1
- name: flowise-ui
  newName: {REGISTRY}/flowise-ui
  newTag: v1
"""
OVERLAY = f"resources: [../../base]\n{ENTRIES}"
BASE_IMAGES = f"""\
images:
- name: flowise-server
  newName: {REGISTRY}/flowise-server
  newTag: latest
- name: flowise-ui
  newName: registry.example.net/flowise-ui
  newTag: latest
"""


def workload(name: str, image: str, kind: str = "Deployment") -> str:
    template = f"{{metadata: {{labels: {{app: {name}}}}}, spec: {{containers: [{{name: {name}, image: '{image}'}}]}}}}"
    return f"apiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {{template: {template}}}\n---\n"


def manifests(server: str = "flowise-server", ui: str = "flowise-ui") -> str:
    return workload("server", server) + workload("ui", ui)


def repository(path: Path, **more: str) -> Path:
    """One overlay and its base; ``more`` by path below the app's folder, with ``__`` for a slash."""
    files = {DEV: OVERLAY, BASE: "resources: [all.yaml]\n", f"{APP}/base/all.yaml": manifests()}
    repositories.commit(
        repositories.init(path), "main", files | {f"{APP}/{name}": text for name, text in more.items()}, "start"
    )
    return path


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "work"
    folder.mkdir()
    yield folder
    assert not list(folder.iterdir())


def write(where: Path | git.Remote, work: Path, mode: Render = "require", **fields: object) -> UpdateResult:
    remote = where if isinstance(where, git.Remote) else git.Remote(str(where))
    place = GitOps(remote, "main", OVERLAYS, work, render=mode)
    asked = {"environment": "dev", "tag": "v2", "server_digest": SERVER, "ui_digest": UI} | fields
    dry_run = asked.pop("dry_run", False)
    return writer.write(place, ImageUpdate(**asked), REGISTRY, lambda _: None, dry_run=dry_run)


def refused(bare: Path, work: Path, mode: Render = "require") -> InvalidInput:
    head = repositories.head(bare)
    with pytest.raises(InvalidInput) as caught:
        write(bare, work, mode)
    assert repositories.head(bare) == head
    return caught.value


def test_a_base_that_renames_the_images_first_takes_all_effect_from_the_overlay(tmp_path: Path, work: Path) -> None:
    bare = repository(tmp_path / "g.git", **{"base/kustomization.yaml": f"resources: [all.yaml]\n{BASE_IMAGES}"})
    error = refused(bare, work)
    assert f"{DEV}: setting flowise-server and flowise-ui has no effect" in error.message
    assert f"no container has {REGISTRY}/flowise-server@{SERVER}" in error.message
    assert (
        f"the manifests use {REGISTRY}/flowise-server:latest, registry.example.net/flowise-ui:latest." in error.message
    )
    assert f"{BASE} has images of its own, which rename flowise-server" in error.message
    assert error.hint == f"Nothing was changed. Remove its entry from {BASE}."
    repositories.commit(bare, "main", {BASE: "resources: [all.yaml]\n"}, "remove images from base kustomization")
    result = write(bare, work)
    assert result.changed
    assert [(each.object, each.effect) for each in result.objects] == [
        ("Deployment server", "restarts"),
        ("Deployment ui", "restarts"),
    ]
    assert result.objects[0].images == ((f"{REGISTRY}/flowise-server:v1", f"{REGISTRY}/flowise-server@{SERVER}"),)
    assert result.warnings == ()


def test_an_overlay_that_says_so_already_without_effect_is_rejected_too(tmp_path: Path, work: Path) -> None:
    bare = repository(tmp_path / "g.git")
    assert write(bare, work).changed
    assert not write(bare, work).changed
    repositories.commit(bare, "main", {BASE: f"resources: [all.yaml]\n{BASE_IMAGES}"}, "break it")
    assert "has no effect" in refused(bare, work).message


@pytest.mark.parametrize(
    ("manifest", "said", "hint"),
    [
        (
            manifests("docker.io/acme/flowise-server:v0"),
            "Deployment server spells it docker.io/acme/f",
            "Write image: f",
        ),
        (manifests("flowise/server"), "No manifest of the overlay names flowise-server.", "Set IMAGES"),
        (
            "apiVersion: x/v1\nkind: Flowise\nmetadata: {name: f}\nspec: {image: flowise-server}\n---\n"
            + workload("ui", "flowise-ui"),
            "Flowise f names it in spec.image, which kustomize doesn't transform by itself.",
            "Add a file with the images fieldSpec",
        ),
    ],
)
def test_the_reason_is_named(manifest: str, said: str, hint: str, tmp_path: Path, work: Path) -> None:
    error = refused(repository(tmp_path / "g.git", **{"base/all.yaml": manifest}), work)
    assert "setting flowise-server has no effect" in error.message
    assert said in error.message
    assert hint in error.hint


def test_a_patch_that_comes_after_is_named(tmp_path: Path, work: Path) -> None:
    config = "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: p}\npath: pin.yaml\n"
    patch = f"""
        kind: Deployment
        apiVersion: apps/v1
        metadata: {{name: ui}}
        spec: {{template: {{spec: {{containers: [{{name: ui, image: "{REGISTRY}/flowise-ui:pinned"}}]}}}}}}
    """
    more = {"overlays/dev/pin.yaml": patch, "overlays/dev/last.yaml": config}
    more["overlays/dev/kustomization.yaml"] = f"{OVERLAY}transformers: [last.yaml]\n"
    error = refused(repository(tmp_path / "g.git", **more), work)
    assert f"A patch, a replacement or a later entry makes it {REGISTRY}/flowise-ui:pinned in Deploy" in error.message


def test_a_custom_resource_that_kustomize_is_told_of_counts(tmp_path: Path, work: Path) -> None:
    more = {
        "base/all.yaml": "apiVersion: x/v1\nkind: Flowise\nmetadata: {name: f}\nspec: {image: flowise-server}\n---\n"
        + workload("ui", "flowise-ui", "Rollout"),
        "overlays/dev/fields.yaml": "images: [{path: spec/image, kind: Flowise}]\n",
    }
    more["overlays/dev/kustomization.yaml"] = f"{OVERLAY}configurations: [fields.yaml]\n"
    result = write(repository(tmp_path / "g.git", **more), work)
    assert [(each.object, each.effect) for each in result.objects] == [
        ("Rollout ui", "restarts"),
        ("Flowise f", "changes"),
    ]


def test_every_kind_of_reference_is_followed(tmp_path: Path, work: Path) -> None:
    patch = "- {op: add, path: /metadata/labels, value: {by: patch}}\n"
    more = {
        "overlays/dev/kustomization.yaml": "RESOURCES: [../../base]\ncomponents: [../../part]\n"
        "patches: [{path: p.yaml, target: {kind: Deployment, name: ui}}]\n"
        "configMapGenerator: [{name: c, files: [key=one.txt, two.txt], envs: [e.env]}]\n"
        "replacements: [{path: r.yaml}]\nvalidators: []\n" + ENTRIES,
        "overlays/dev/p.yaml": patch,
        "overlays/dev/one.txt": "1",
        "overlays/dev/two.txt": "2",
        "overlays/dev/e.env": "A=b\n",
        "overlays/dev/r.yaml": "source: {kind: ConfigMap, name: c, fieldPath: data.A}\n"
        "targets: [{select: {kind: Deployment}, fieldPaths: [metadata.annotations.a], options: {create: true}}]\n",
        "part/kustomization.yaml": "kind: Component\nresources: [w.yaml]\n",
        "part/w.yaml": workload("worker", "flowise-server"),
        "never/reached.yaml": "nothing",
    }
    result = write(repository(tmp_path / "g.git", **more), work)
    assert sorted(each.object for each in result.objects) == ["Deployment server", "Deployment ui", "Deployment worker"]


def test_what_stays_as_it_is_is_warned_of(tmp_path: Path, work: Path) -> None:
    others = workload("worker", f"{REGISTRY}/flowise-server:v0") + workload("redis", "redis:7")
    pinned = workload("proxy", "proxy@sha256:" + "3" * 64)
    bare = repository(tmp_path / "g.git", **{"base/all.yaml": manifests() + others + pinned})
    stays, unset = write(bare, work).warnings
    assert stays == (
        f"Other versions stay beside those of this update: {REGISTRY}/flowise-server:v0 "
        "(Deployment worker, spec.template.spec.containers[worker].image)."
    )
    assert unset == "No entry of images sets redis:7."


def test_an_added_entry_is_warned_of(tmp_path: Path, work: Path) -> None:
    text = "resources: [../../base]\nimages:\n- name: flowise-ui\n  newTag: v1\n"
    bare = repository(tmp_path / "g.git", **{"overlays/dev/kustomization.yaml": text})
    assert write(bare, work, "off", dry_run=True).warnings == (
        f"{DEV} had no entry of the name flowise-server: it is added.",
    )


@pytest.mark.parametrize(
    ("field", "why"),
    [
        ("resources: ['https://127.0.0.1:9/x.yaml']", "https://127.0.0.1:9/x.yaml in"),
        ("resources: ['github.com/acme/base//dev?ref=v1']", "github.com/acme/base//dev?ref=v1 in"),
        ("resources: ['git@github.com:acme/base.git']", "git@github.com:acme/base.git in"),
        ("resources: ['ssh://git@127.0.0.1:9/base']", "ssh://git@127.0.0.1:9/base in"),
        ("patches: [{path: 'http://127.0.0.1:9/p.yaml'}]", "http://127.0.0.1:9/p.yaml in"),
        ("openapi: {path: 'http://127.0.0.1:9/'}", "http://127.0.0.1:9/ in"),
        ("configMapGenerator: [{name: c, files: ['k=http://127.0.0.1:9/f']}]", "http://127.0.0.1:9/f in"),
        ("helmCharts: [{name: redis, repo: 'https://127.0.0.1:9'}]", "a Helm chart in"),
        ("transformers: [run.yaml]", "external plugins disabled"),
        ("generators:\n- |\n  kind: X\n  apiVersion: x/v1\n  metadata: {name: a}", "external plugins disabled"),
        ("resources: [../elsewhere.yaml]", "a file outside its kustomization's folder"),
    ],
)
def test_what_would_be_fetched_or_run_is_not(field: str, why: str, tmp_path: Path, work: Path) -> None:
    """Nothing listens at port 9, and a test that reaches for another machine is slow; this one is done at once."""
    ran = tmp_path / "ran"
    function = f"config.kubernetes.io/function: 'exec: {{path: \"touch {ran}\"}}'"
    text = f"{ENTRIES}{field.replace('resources: [', 'resources: [../../base, ', 1)}\n"
    text += "" if field.startswith("resources") else "resources: [../../base]\n"
    more = {
        "overlays/dev/kustomization.yaml": text,
        "overlays/dev/run.yaml": f"kind: X\napiVersion: x/v1\nmetadata: {{name: a, annotations: {{{function}}}}}\n",
        "overlays/elsewhere.yaml": "",
    }
    bare = repository(tmp_path / "g.git", **more)
    error = refused(bare, work)
    assert error.message.startswith(f"{DEV} isn't rendered: it needs ")
    assert why in error.message
    assert "RENDER=auto" in error.hint
    result = write(bare, work, "auto")
    assert result.changed
    assert result.warnings[0].startswith("Not rendered: it needs ")
    assert (result.objects, ran.exists()) == ((), False)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"base/kustomization.yaml": "resources: [all.yaml, gone.yaml]\n"}, "no such file"),
        ({"base/kustomization.yaml": "resources: [all.yaml, ../overlays/dev]\n"}, "cycle"),
        ({"base/all.yaml": "a: [\n"}, "MalformedYAMLError"),
        ({"base/all.yaml": manifests() * 2}, "already registered id"),
        ({"overlays/dev/kustomization.yaml": f"{OVERLAY}patches: [{{path: gone.yaml}}]\n"}, "no such file"),
    ],
    ids=["missing", "circle", "broken", "twice", "patch"],
)
def test_an_overlay_that_nobody_can_build_is_refused(
    more: dict[str, str], said: str, tmp_path: Path, work: Path
) -> None:
    """Argo CD can't deploy it either: a commit would be green and without effect."""
    error = refused(repository(tmp_path / "g.git", **more), work, "auto")
    assert error.message.startswith(f"kustomize can't render {OVERLAYS}/dev: ")
    assert said in error.message
    assert str(work) not in error.message
    assert "RENDER=off" in error.hint


@pytest.mark.parametrize("name", [".argocd-source.yaml", ".argocd-source-flowise-dev.yaml"])
def test_parameters_beside_the_overlay_go_before_it(name: str, tmp_path: Path, work: Path) -> None:
    """Argo CD Image Updater writes such a file, and Argo CD hands it to kustomize after everything else."""
    image = f"{REGISTRY}/flowise-server:v0"
    text = f"kustomize:\n  images: [redis:8, flowise-ui={REGISTRY}/flowise-ui@{UI}, '{image}']\n"
    bare = repository(tmp_path / "g.git", **{f"overlays/dev/{name}": text})
    error = refused(bare, work, "auto")
    assert error.message.startswith(f"{OVERLAYS}/dev/{name} has Argo CD set {image}, whatever")
    repositories.commit(bare, "main", {f"{OVERLAYS}/dev/{name}": text.replace(image, "nginx:1")}, "mend")
    assert write(bare, work).changed


def test_an_update_may_mend_an_overlay(tmp_path: Path, work: Path) -> None:
    """kustomize takes 1.10 for a number, and a number for no tag."""
    broken = OVERLAY.replace("newTag: v1", "newTag: 1.10")
    bare = repository(tmp_path / "g.git", **{"overlays/dev/kustomization.yaml": broken})
    result = write(bare, work)
    assert (result.changed, result.objects) == (True, ())
    assert "As it was, kustomize couldn't render the overlay" in result.warnings[0]


def test_what_stands_in_a_submodule_or_in_lfs_is_not_fetched(tmp_path: Path, work: Path) -> None:
    """Argo CD fetches submodules, and Git LFS where it is told to: what is missing here is no evidence."""
    pointer = f"version https://git-lfs.github.com/spec/v1\noid {SERVER}\nsize 9\n"
    overlay = OVERLAY.replace("[../../base]", "[../../base, ../../sub, large.yaml]")
    more = {"overlays/dev/kustomization.yaml": overlay, "overlays/dev/large.yaml": pointer}
    bare = repository(tmp_path / "g.git", **more)
    stream = "commit refs/heads/main\ncommitter A <a@b> 1767300000 +0000\ndata 1\nm\nfrom refs/heads/main^0\n"
    stream += f"M 160000 {'1' * 40} {APP}/sub\n"
    repositories.git(bare, "fast-import", "--quiet", stdin=stream.encode())
    message = refused(bare, work).message
    assert f"the submodule {APP}/sub" in message
    assert f"{OVERLAYS}/dev/large.yaml from Git LFS" in message
    assert write(bare, work, "auto").changed


@pytest.mark.parametrize("kind", ["Kustomization", "Component"])
def test_an_overlay_without_resources_has_no_effect_of_its_own(kind: str, tmp_path: Path, work: Path) -> None:
    text = f"kind: {kind}\n{ENTRIES}"
    bare = repository(tmp_path / "g.git", **{"overlays/dev/kustomization.yaml": text})
    assert "it has no resources, so its effect depends on what includes it" in refused(bare, work).message
    (warning,) = write(bare, work, "auto").warnings
    assert warning.startswith("Not rendered: it has no resources")


@pytest.fixture
def no_kustomize(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def none() -> list[str]:
        raise render.NotRendered("neither kustomize nor kubectl is installed")

    monkeypatch.setattr(render, "kustomize", none)


@pytest.mark.usefixtures("no_kustomize")
def test_without_kustomize_names_are_compared(tmp_path: Path, work: Path) -> None:
    bare = repository(tmp_path / "g.git")
    assert "neither kustomize nor kubectl is installed" in refused(bare, work).message
    said = "Not rendered: neither kustomize nor kubectl is installed. Only names were compared."
    assert write(bare, work, "auto", dry_run=True).warnings == (said,)
    repositories.commit(bare, "main", {BASE: f"resources: [all.yaml]\n{BASE_IMAGES}"}, "rename")
    first, second = write(bare, work, "auto", dry_run=True).warnings
    assert first == said
    assert f"{BASE} has images of its own, which rename flowise-server" in second
    assert "It may have no effect." in second


def test_only_what_the_overlay_reaches_is_fetched(tmp_path: Path, work: Path) -> None:
    bare = repository(tmp_path / "g.git", **{f"other/{number}/big.yaml": f"{number}\n" * 50_000 for number in range(9)})
    with github({"a/b": bare}) as hub:
        remote = git.Remote(hub.clone_url("a/b"), SecretStr(hub.token))
        write(remote, work, dry_run=True)
        sent, fetches = sum(each.sent for each in hub.requests), len(hub.requests)
        write(remote, work, dry_run=True)
        again = len(hub.requests) - fetches
    assert sent < 20_000
    assert again <= 3  # what the overlay reaches has stayed; the head alone is asked for


def link(bare: Path, path: str, target: str) -> None:
    stream = "commit refs/heads/main\ncommitter A <a@b> 1767300000 +0000\ndata 1\nm\nfrom refs/heads/main^0\n"
    stream += f"D {path}\nM 120000 inline {path}\ndata {len(target)}\n{target}\n"
    repositories.git(bare, "fast-import", "--quiet", stdin=stream.encode())


def test_linked_folders_and_files_are_followed_inside_the_repository(tmp_path: Path, work: Path) -> None:
    overlay = OVERLAY.replace("../../base", "../../linked")
    bare = repository(tmp_path / "g.git", **{"shared/dev/kustomization.yaml": overlay})
    link(bare, f"{OVERLAYS}/dev", "../shared/dev")
    link(bare, f"{APP}/linked", "base")
    result = write(bare, work)
    assert (result.changed, result.overlay_path) == (True, f"{APP}/shared/dev")
    assert SERVER in repositories.show(bare, "main", f"{APP}/shared/dev/kustomization.yaml")
    assert repositories.git(bare, "ls-tree", "main", f"{OVERLAYS}/dev").startswith(b"120000 ")


def test_a_folder_that_environments_share_is_not_written(tmp_path: Path, work: Path) -> None:
    bare = repository(tmp_path / "g.git")
    link(bare, f"{OVERLAYS}/production", "dev")
    error = refused(bare, work)
    assert error.message == f"{OVERLAYS}/dev leads to {OVERLAYS}/dev, and so does the overlay of production."
    assert "Replace the link by a folder for each environment" in error.hint


@pytest.mark.parametrize("target", ["/etc", "../../../../../../etc", "dev", "gone"])
def test_a_link_that_leads_nowhere_is_no_overlay(target: str, tmp_path: Path, work: Path) -> None:
    bare = repository(tmp_path / "g.git")
    link(bare, f"{OVERLAYS}/dev", target)
    with pytest.raises(NotFound, match=r"has no .*overlays/dev/kustomization\.yaml"):
        write(bare, work)


def test_real_kustomize_agrees(tmp_path: Path, work: Path) -> None:
    bare = repository(tmp_path / "g.git")
    write(bare, work)
    subprocess.run(["git", "clone", "-q", bare, tmp_path / "out"], check=True, env=os.environ | {"HOME": str(tmp_path)})
    out = subprocess.run([*render.kustomize(), tmp_path / "out" / OVERLAYS / "dev"], check=True, capture_output=True)
    assert f"image: {REGISTRY}/flowise-server@{SERVER}".encode() in out.stdout
