"""What an overlay refers to is found, whatever the file looks like; what is elsewhere is named and not asked for."""

import time
from collections.abc import Collection, Mapping
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.manifests.sources import Sources, collect


class There(NamedTuple):
    path: str
    content: bytes | None
    names: Collection[str] = ()
    submodule: bool = False


class Tree:
    """A repository in memory; ``asked`` are the paths that were looked at, round by round."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files, self.asked = files, list[list[str]]()

    def __call__(self, paths: Collection[str]) -> dict[str, There]:
        self.asked.append(list(paths))
        return {path: found for path in paths if (found := self._at(path))}

    def _at(self, path: str) -> There | None:
        if path in self.files:
            return There(path, self.files[path].encode())
        inside = {name[len(path) :].lstrip("/").split("/")[0] for name in self.files if name.startswith(path)}
        return There(path, None, inside) if inside else None


def collected(text: str, **files: str) -> Sources:
    return collect("o", Tree({"o/kustomization.yaml": text} | {k.replace("__", "/"): v for k, v in files.items()}))


def test_references_of_one_level_are_looked_up_together() -> None:
    tree = Tree(
        {
            "o/kustomization.yaml": "resources: [a.yaml, ../b]\n",
            "o/a.yaml": "",
            "b/kustomization.yml": "resources: [c, ../../out.yaml, /etc/passwd]\ncomponents: [../..]\n",
            "b/c/Kustomization": "namePrefix: x-\n",
        }
    )
    sources = collect("o", tree)
    assert tree.asked == [
        ["o"],
        ["o/kustomization.yaml"],
        ["b", "o/a.yaml"],
        ["b/kustomization.yml"],
        ["b/c"],
        ["b/c/Kustomization"],
    ]
    assert sources.parts == {
        "o/kustomization.yaml": ["o/a.yaml", "b"],
        "b/kustomization.yml": ["b/c"],
        "b/c/Kustomization": [],
    }
    assert sources.kustomization("b") == "b/kustomization.yml"


def test_a_base_may_be_the_repository_itself() -> None:
    tree = Tree(
        {"o/kustomization.yaml": "resources: [../]\n", "kustomization.yaml": "resources: [x.yaml]\n", "x.yaml": ""}
    )
    assert sorted(collect("o", tree).files) == ["kustomization.yaml", "o/kustomization.yaml", "x.yaml"]


@pytest.mark.parametrize(
    "reference",
    [
        "https://example.com/x.yaml",
        "http://127.0.0.1/x",
        "github.com/a/b",
        "github.com/a/b//c?ref=v1",
        "git@github.com:a/b.git",
        "me@git.example:a",
        "git::https://e.example/a",
        "ssh://git@e.example/a",
        "file:///etc",
        "e.example/a//b?ref=1",
        "gh:a/b",
        "bitbucket.org/a/b",
    ],
)
@pytest.mark.parametrize("field", ["resources: ['%s']", "patches: [{path: '%s'}]", "openapi: {path: '%s'}"])
def test_what_is_elsewhere_is_named(reference: str, field: str) -> None:
    assert collected(field % reference).omitted == [f"{reference} in o/kustomization.yaml"]


@pytest.mark.parametrize(
    "text",
    [
        "resources: [base, a@b.yaml, 'c=d', github.community, '../x']\n",
        "configMapGenerator: [{name: c, literals: ['url=https://example.com']}]\n",
        "commonAnnotations: {docs: 'https://example.com'}\nlabels: [{pairs: {a: 'git@b:c'}}]\n",
        "images: [{name: github.com/a/b, newName: 'https://x'}]\nnamespace: github.com/a\n",
        "patches: [{patch: '- {op: add, path: /a, value: \"https://x\"}', target: {kind: 'github.com/a'}}]\n",
    ],
)
def test_what_only_looks_like_it_is_not(text: str) -> None:
    assert collected(text).omitted == []


def test_a_plugins_configuration_is_followed() -> None:
    tree = Tree(
        {
            "o/kustomization.yaml": "transformers:\n- t.yaml\n- |\n  kind: PatchTransformer\n  path: p.yaml\n",
            "o/t.yaml": "kind: PatchStrategicMergeTransformer\npaths: [q.yaml]\n",
            "o/p.yaml": "",
            "o/q.yaml": "",
        }
    )
    assert sorted(collect("o", tree).files) == ["o/kustomization.yaml", "o/p.yaml", "o/q.yaml", "o/t.yaml"]


def test_files_that_cannot_be_read_are_left_to_kustomize() -> None:
    for text in ("[", "- a\n", "resources: 1\n", "resources: {a: b}\n", "a: \x00", "patches: [[[[[a]]]]]", "\ufeff{}"):
        assert collected(text).omitted == []


def test_aliases_of_aliases_cost_nothing() -> None:
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40))]
    started = time.monotonic()
    collected("\n".join([*lines, "resources: *a39", "patches: [*a39]", "generators: *a39"]))
    assert time.monotonic() - started < 5


def test_what_is_read_is_bounded() -> None:
    many = {f"o/{number}.yaml": "" for number in range(2001)}
    tree = Tree({"o/kustomization.yaml": f"resources: [{', '.join(map(str, many))}]".replace("o/", "")} | many)
    assert collect("o", tree).omitted == ["more than 2000 files or 16 MB"]
    assert collected("#" * (1 << 18) + "\n").omitted == ["o/kustomization.yaml, which has more than 262,144 bytes"]


@given(
    st.recursive(
        st.text() | st.none(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["resources", "path", "files", "patches", "generators", "a"]), inner)
        ),
        max_leaves=20,
    )
)
def test_no_content_is_a_crash(value: object) -> None:
    collected(repr(value).replace("None", "~"))
