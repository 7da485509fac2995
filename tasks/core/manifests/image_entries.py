"""What a kustomization.yaml says of its images, as entries that know their place in the text.

The rules are kustomize's (https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/images/). Observed
with kustomize 5.5, and the reason for some refusals: it matches keys without regard to case, takes ``imageTags`` for
``images``, lets the second of two equal keys win and a merge key (``<<``) override what stands before it, and applies
an entry to what earlier entries have renamed.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.core.manifests.yaml_edit import Pair
from tasks.core.manifests.yaml_tree import Document, Node
from tasks.core.models import ImageRef

KEYS = ("name", "newName", "newTag", "digest")
"""The keys of an entry that an ``ImageRef`` stands for, in its order."""

API_VERSIONS = {
    "Kustomization": "kustomize.config.k8s.io/v1beta1",
    "Component": "kustomize.config.k8s.io/v1alpha1",
}
"""The kinds that kustomize reads, each with its only apiVersion; either may be left out."""

FIELDS = (
    *("apiVersion", "kind", "metadata", "resources", "components", "bases", "crds", "configurations", "openapi"),
    *("namespace", "namePrefix", "nameSuffix", "labels", "commonLabels", "commonAnnotations", "buildMetadata"),
    *("patches", "patchesStrategicMerge", "patchesJson6902", "replacements", "replicas", "images", "vars"),
    *("configMapGenerator", "secretGenerator", "generatorOptions", "generators", "transformers", "validators"),
    *("helmCharts", "helmGlobals", "helmChartInflationGenerator", "sortOptions"),
)
"""The fields of a kustomization (kustomize's api/types/kustomization.go); it rejects a file that has another one."""

_META = re.compile(r"[*+?()\[\]{}|\\^$]")

LFS = "version https://git-lfs.github.com/spec/"
"""What a Git LFS pointer begins with."""

LFS_HINT = "Nothing was changed. Take kustomizations out of Git LFS: Argo CD reads them from git."


@dataclass(frozen=True)
class Overlay:
    """A kustomization's document, the pair that is its ``images:``, and the mappings listed there."""

    document: Document
    images: Pair | None
    entries: list[Node]

    @classmethod
    def of(cls, document: Document) -> "Overlay":
        """Find the images in a document.

        Raises:
            InvalidInput: this isn't a kustomization, or kustomize reads it differently from how it looks.
        """
        root = document.root
        if document.text.startswith(LFS):
            raise document.refusal("this is a Git LFS pointer, not the file itself", root, LFS_HINT)
        if root.kind != "mapping":
            raise document.refusal(f"a kustomization is a mapping, but this is a {root.kind}", root)
        if not root.pairs:
            raise document.refusal("the file is empty", root)
        _check_kind(document)
        _check_keys(document, root, ("images",))
        for key, _ in root.pairs:
            if is_key(key, "imageTags") or _is_merge(key):
                raise document.refusal(f"{key.data.value} may bring images in; write them as images", key)
        images = own(root, "images")
        return cls(document, images, [_entry(document, item) for item in _items(document, images)])

    def named(self, name: str) -> list[Node]:
        """Return the entries for one image; one that is listed again by an alias counts once."""
        return list(dict.fromkeys(entry for entry in self.entries if _text(entry, "name") == name))

    def override(self, ref: ImageRef) -> Node | None:
        """Find a later entry for an image's new name that says something else: kustomize would follow it."""
        renamed = None
        for entry in self.entries:
            said = image(entry)
            if said.name == ref.name:
                renamed = said.new_name
            elif said.name == renamed:
                same = (said.tag, said.digest) in ((None, None), (None if ref.digest else ref.tag, ref.digest))
                if not same or said.new_name not in (None, renamed):
                    return entry
        return None


def check_fields(document: Document) -> None:
    """Make sure that kustomize knows every field of a kustomization.

    Raises:
        InvalidInput: names one it doesn't know, and the one it resembles.
    """
    known = {name.casefold(): name for name in FIELDS}
    for key, _ in document.root.pairs:
        if (name := key.data.value).casefold() not in known:
            close = difflib.get_close_matches(name, FIELDS, 1)
            meant = f"Did you mean {close[0]}?" if close else "Remove it, or set OVERLAYS_PATH if this is another file."
            raise document.refusal(
                f"{name!r:.80} isn't a field of a kustomization", key, f"Nothing was changed. {meant}"
            )


def _check_kind(document: Document) -> None:
    kind, version = (_text(document.root, key) for key in ("kind", "apiVersion"))
    wanted = API_VERSIONS.get(kind or "Kustomization")
    if wanted is None or version not in (None, wanted):
        found = " ".join(each for each in (version, kind) if each)
        node = field(document.root, "kind" if wanted is None else "apiVersion")
        hint = "Nothing was changed. Set OVERLAYS_PATH to the folder of kustomize's own overlays."
        if version and version.startswith("kustomize.config.k8s.io/"):
            hint = f"Nothing was changed. Write apiVersion: {wanted or API_VERSIONS['Kustomization']}."
        raise document.refusal(f"this is {found!r:.120}, which kustomize doesn't build", node, hint)


def is_pattern(name: str) -> bool:
    """Whether an entry's name is meant as the regular expression that kustomize takes it for."""
    return _META.search(name) is not None


def names_same_image(entry: str, name: str) -> bool:
    """Whether an entry's name means an image's, too: with a registry or a version, or as a pattern.

    A pattern is judged by the text around its operators, never run: it comes from the repository.
    """
    last = name.rpartition("/")[2]
    if not is_pattern(entry):
        return last == entry.partition("@")[0].rpartition("/")[2].partition(":")[0]
    texts = _META.split(entry.removeprefix("^").removesuffix("$"))
    head, tail = texts[0].removesuffix("."), texts[-1].partition(":")[0]
    if "/" in tail:
        return last == tail.rpartition("/")[2]
    return last.startswith(head.rpartition("/")[2]) and last.endswith(tail)


def is_key(key: Node, name: str) -> bool:
    """Whether a key is this one, in whatever quotes."""
    return key.data.kind == "scalar" and key.data.value == name


def own(mapping: Node, name: str) -> Pair | None:
    """Return the pair of a key that stands in the mapping itself."""
    return next((pair for pair in mapping.pairs if is_key(pair[0], name)), None)


def field(mapping: Node, name: str) -> Node | None:
    """Return the value of a key, also one that comes in by a merge key."""
    if pair := own(mapping, name):
        return pair[1].data
    for source in _merged(mapping):
        if value := field(source, name):
            return value
    return None


def image(entry: Node) -> ImageRef:
    """Return what an entry says; numbers and the like as they are written."""
    name, new_name, tag, digest = (_text(entry, key) for key in KEYS)
    return ImageRef(name=name or "", new_name=new_name, tag=tag, digest=digest)


def _items(document: Document, images: Pair | None) -> list[Node]:
    if images is None or images[1].data.is_null:
        return []
    listing = images[1].data
    if listing.kind != "sequence":
        raise document.refusal(f"images is not a list but a {listing.kind}", images[0])
    return listing.children


def _entry(document: Document, item: Node) -> Node:
    entry = item.data
    if entry.kind != "mapping":
        raise document.refusal(f"an entry of images is not a mapping but a {entry.kind}", item)
    _check_keys(document, entry, KEYS)
    if any(_is_merge(key) for key, _ in entry.pairs[1:]):
        raise document.refusal("kustomize lets << override the keys before it; write it first", item)
    for name in KEYS:
        value = field(entry, name)
        if value and value.kind != "scalar":
            raise document.refusal(f"{name} of an image is not a string but a {value.kind}", item)
    if not _text(entry, "name"):
        raise document.refusal("an entry of images has no name", item)
    return entry


def _check_keys(document: Document, mapping: Node, known: Sequence[str]) -> None:
    for name in known:
        alike = [key for key, _ in mapping.pairs if key.data.value.casefold() == name.casefold()]
        for key in alike:
            if not is_key(key, name):
                raise document.refusal(f"kustomize reads {key.data.value} as {name}; write it so", key)
        if len(alike) > 1:
            raise document.refusal(f"{name} stands here a second time", alike[1])


def _is_merge(key: Node) -> bool:
    return is_key(key, "<<") and not key.data.style


def _merged(mapping: Node) -> list[Node]:
    """Return the mappings that merge keys bring in, the strongest first."""
    values = [value.data for key, value in mapping.pairs if _is_merge(key)]
    each = [source.data for value in values for source in (value.children if value.kind == "sequence" else [value])]
    return [source for source in each if source.kind == "mapping"]


def _text(entry: Node, name: str) -> str | None:
    node = field(entry, name)
    return None if node is None or node.is_null else node.value or None
