"""The ``images:`` of a kustomization.yaml, read and set without touching any other byte of the file."""

import re
from collections.abc import Sequence

from tasks.core.errors import InvalidInput
from tasks.core.manifests.image_entries import Overlay, check_fields, field, image, is_key, names_same_image, own
from tasks.core.manifests.yaml_edit import (
    Field,
    Pair,
    Splice,
    Style,
    block_item,
    end_of_comments,
    flow_mapping,
    insert_flow,
    insert_lines,
    insert_pairs,
    quoted,
    remove_pair,
    rename_key,
    replace_value,
    spliced,
)
from tasks.core.manifests.yaml_tree import BLOCK_HEADER, BLOCK_STYLES, BREAK, Document, Node, parse
from tasks.core.models import DIGEST_PATTERN, TAG_PATTERN, ImageRef

UNCHANGED = "Nothing was changed."


def set_images(text: str, images: Sequence[ImageRef], *, where: str = "kustomization.yaml") -> str:
    """Make a kustomization say these images, and change nothing else in it.

    An image with a digest gets ``digest`` and loses ``newTag``, because kustomize renders both where both are set;
    one with a tag alone the reverse. ``new_name`` is set where given and left alone where not. Every entry of the
    name is set, because kustomize applies them all in order; a missing one is appended, in the file's own style.
    The same edit twice is no edit.

    Args:
        text: the file's content, line breaks as they are.
        images: what each image shall be.
        where: the file's name, for messages.

    Returns:
        The new text; the very same one if it says all this already.

    Raises:
        InvalidInput: an image is not well-formed, or has neither tag nor digest; the text isn't a kustomization; or
            an anchor, an alias or a merge key ties the entry to something that would change with it; or a later
            entry, for the new name, would override this one.
    """
    _check(images)
    overlay = Overlay.of(parse(text, where))
    for each in _in_order(overlay, images):
        overlay = _set_image(overlay, each, images)
    for each in images:
        if entry := overlay.override(each):
            problem = f"the later entry of {image(entry).name} overrides that of {each.name}; remove one of them"
            raise overlay.document.refusal(problem)
    return overlay.document.text


def check(text: str, *, where: str = "kustomization.yaml") -> None:
    """Make sure that kustomize takes a file for a kustomization, as far as its fields tell.

    Raises:
        InvalidInput: the text isn't a kustomization, or has a field that kustomize doesn't know.
    """
    check_fields(Overlay.of(parse(text, where)).document)


def read_images(text: str, *, where: str = "kustomization.yaml") -> list[ImageRef]:
    """Return what a kustomization says of its images, in its order; numbers and the like come back as they are written.

    Raises:
        InvalidInput: the text isn't a kustomization.
    """
    return [image(entry) for entry in Overlay.of(parse(text, where)).entries]


def _in_order(overlay: Overlay, images: Sequence[ImageRef]) -> list[ImageRef]:
    """From the end of the list to its beginning: an alias goes before its anchor, unless it is to follow it."""
    places = {image(entry).name: place for place, entry in enumerate(overlay.entries)}
    return sorted(images, key=lambda ref: (_follows(overlay, ref, images), -places.get(ref.name, -1)))


def _follows(overlay: Overlay, ref: ImageRef, images: Sequence[ImageRef]) -> bool:
    """Whether an image's version is an alias of another one's, and both are to be the same."""
    same = [other for other in images if _version(other) == _version(ref) and other.name != ref.name]
    anchors = [pair[1] for other in same for pair in _versions(overlay, other)]
    return any(pair[1].target in anchors for pair in _versions(overlay, ref) if pair[1].target)


def _versions(overlay: Overlay, ref: ImageRef) -> list[Pair]:
    """Return what an image's entries say of the version that is to be set, in their own words."""
    return [pair for entry in overlay.named(ref.name) if (pair := own(entry, _version(ref)[0]))]


def _check(images: Sequence[ImageRef]) -> None:
    names = [ref.name for ref in images]
    for ref in images:
        for what, value in (("name", ref.name), ("new name", ref.new_name)):
            if value is not None and not (value and value.isprintable() and " " not in value):
                raise InvalidInput(f"{value!r:.100} is not the {what} of an image.", UNCHANGED)
        if names.count(ref.name) > 1:
            raise InvalidInput(f"The image {ref.name} is given twice.", UNCHANGED)
        _check_version(ref)


def _check_version(ref: ImageRef) -> None:
    what, value, pattern = "digest", ref.digest, DIGEST_PATTERN
    if value is None:
        what, value, pattern = "tag", ref.tag, TAG_PATTERN
    if value is None:
        raise InvalidInput(f"The image {ref.name} has neither digest nor tag.", UNCHANGED)
    if not re.fullmatch(pattern, value):
        raise InvalidInput(f"{value!r:.100} is not a {what} (image {ref.name}).", UNCHANGED)


def _version(ref: ImageRef) -> Field:
    return ("digest", ref.digest) if ref.digest else ("newTag", ref.tag or "")


def _other_version(ref: ImageRef) -> str:
    return "newTag" if ref.digest else "digest"


def _wanted(ref: ImageRef) -> list[Field]:
    """Return what an entry of this name must say, in the order of a new one."""
    return [*([] if ref.new_name is None else [("newName", ref.new_name)]), _version(ref)]


def _check_append(overlay: Overlay, ref: ImageRef) -> None:
    """Make sure that no entry names an image in another way: beside it, one of ours could be without effect."""
    for entry in overlay.entries:
        said = image(entry)
        if names_same_image(said.name, ref.name) or said.new_name == (ref.new_name or ref.name):
            problem = f"there is no entry of the name {ref.name}, and {said.name!r:.200} means the same image"
            hint = f"{UNCHANGED} Write name: {ref.name} there, and image: {ref.name} in the manifests."
            raise overlay.document.refusal(problem, entry, hint)


def _set_image(before: Overlay, ref: ImageRef, images: Sequence[ImageRef]) -> Overlay:
    if not before.named(ref.name):
        _check_append(before, ref)
    after = before
    try:
        for edit in (_settle_version, _assign):
            splices = [splice for entry in after.named(ref.name) for splice in edit(after.document, entry, ref)]
            after = _spliced(after, splices)
        if not before.named(ref.name):
            after = _spliced(after, _append(after, [("name", ref.name), *_wanted(ref)]))
    except InvalidInput:  # the result isn't a kustomization any more
        raise _tied(before, ref) from None
    if after is not before:
        _verify(before, after, ref, images)
    return after


def _spliced(overlay: Overlay, splices: Sequence[Splice]) -> Overlay:
    document = overlay.document
    return Overlay.of(parse(spliced(document.text, splices), document.where)) if splices else overlay


def _settle_version(document: Document, entry: Node, ref: ImageRef) -> list[Splice]:
    """Leave at most one of ``newTag`` and ``digest``: the one that is asked for."""
    version, _ = _version(ref)
    kept, dropped = own(entry, version), own(entry, _other_version(ref))
    if dropped is None:
        return []
    if kept and (entry.flow or dropped != entry.pairs[0]):
        return remove_pair(document, entry, dropped)
    # In the place of the other, so that a comment beside it stays, and a dash keeps its key.
    return [rename_key(dropped[0], version), *(remove_pair(document, entry, kept) if kept else [])]


def _assign(document: Document, entry: Node, ref: ImageRef) -> list[Splice]:
    """Set values where they stand; those that don't, behind the entry's name."""
    splices, missing = [], []
    for key, value in _wanted(ref):
        node, pair = field(entry, key), own(entry, key)
        if node and node.reads_as(value):
            continue
        if pair:
            splices += replace_value(document, pair[1], value)
        else:
            missing.append((key, value))
    after = own(entry, "newName") or own(entry, "name") or entry.pairs[-1]
    return splices + (insert_pairs(document, entry, after, missing) if missing else [])


def _append(overlay: Overlay, fields: Sequence[Field]) -> list[Splice]:
    document, root = overlay.document, overlay.document.root
    if overlay.images:
        append = _append_to_list if overlay.entries else _fill
        return append(document, overlay.images, fields)
    if root.flow:
        key, value = root.pairs[-1]
        style = Style(key.style, key.style)
        item = flow_mapping(fields, style)
        return insert_flow(document, key.start, value.end, f"{quoted('images', style.key)}: [{item}]")
    lines = [" " * root.column + "images:", *_first_item(root, fields)]
    return [insert_lines(document, _end(document), lines)]


def _end(document: Document) -> int:
    """Where a key goes that is added to the root."""
    text, root, leaf = document.text, document.root, document.root
    while leaf.children:
        leaf = leaf.children[-1]
    header = BLOCK_HEADER.match(text, leaf.content) if leaf.style in BLOCK_STYLES else None
    finished = BREAK.search(text, len(text[: leaf.end].rstrip(" \t\r\n")))
    if header and "-" not in header[0] and not finished and len(root.pairs) > 1:
        # The file ends within a block scalar, without a break: a line below would add one to the scalar's text.
        return end_of_comments(document, root.pairs[-2][1].end, root.column + 1)
    return max(root.end, len(text[: document.end].rstrip(" \t\r\n")))


def _append_to_list(document: Document, images: Pair, fields: Sequence[Field]) -> list[Splice]:
    listing = images[1].data
    last, entry = listing.children[-1], listing.children[-1].data
    style = Style.of(own(entry, "name") or entry.pairs[0])
    if listing.flow:
        return insert_flow(document, last.start, last.end, flow_mapping(fields, style))
    end = end_of_comments(document, last.end, document.root.column + 1)
    if entry.flow:
        return [insert_lines(document, end, [" " * listing.column + "- " + flow_mapping(fields, style)])]
    offset = max(2, entry.column - listing.column) if entry is last else 2
    return [insert_lines(document, end, block_item(fields, style, listing.column, offset))]


def _fill(document: Document, images: Pair, fields: Sequence[Field]) -> list[Splice]:
    """Give an ``images:`` that is null or an empty list its first entry."""
    (key, value), root = images, document.root
    if not root.flow and not BREAK.search(document.text, value.content, value.end):
        start = len(document.text[: value.content].rstrip(" \t"))
        end = end_of_comments(document, value.end, root.column + 1)
        return [Splice(start, value.end), insert_lines(document, end, _first_item(root, fields))]
    item = flow_mapping(fields, Style(key.style, key.style))
    if value.kind == "sequence":
        return [Splice(value.content + 1, value.content + 1, item)]
    return [Splice(value.start, value.end, f" [{item}]" if value.start == value.end else f"[{item}]")]


def _first_item(root: Node, fields: Sequence[Field]) -> list[str]:
    """Return an item of a list under the root, indented like the first list there."""
    lists = [value for _, value in root.pairs if value.kind == "sequence" and not value.flow]
    column = lists[0].column if lists else root.column
    offset = max(2, lists[0].children[0].column - column) if lists else 2
    return block_item(fields, Style(), column, offset)


def _verify(before: Overlay, after: Overlay, ref: ImageRef, images: Sequence[ImageRef]) -> None:
    """Hold the result against the request: it must say what was asked, and everything else as before."""
    entries, other = after.named(ref.name), _other_version(ref)
    values = [(field(entry, key), value) for entry in entries for key, value in _wanted(ref)]
    says = all(node and node.reads_as(value) for node, value in values)
    count = len(before.entries) + (0 if before.named(ref.name) else 1)
    if not (says and entries and len(after.entries) == count):
        raise _tied(before, ref)
    if _others(before, images) != _others(after, images) or any(field(entry, other) for entry in entries):
        raise _tied(before, ref)
    # Elsewhere in the file, an alias of a tag follows it: that is what it was written for.
    tags = [pair[1] for pair in _versions(before, ref) if ref.digest is None and pair[1].anchor]
    expected = _spliced(
        before, [splice for tag in tags for splice in replace_value(before.document, tag, ref.tag or "")]
    )
    if _outside(expected) != _outside(after):
        raise _tied(before, ref)


def _outside(overlay: Overlay) -> list[tuple[str, str]]:
    """Return the meaning of all but the images."""
    return [(key.meaning, value.meaning) for key, value in overlay.document.root.pairs if not is_key(key, "images")]


def _others(overlay: Overlay, images: Sequence[ImageRef]) -> list[object]:
    """Return the meaning of what an edit must leave alone among the images: other entries, and other keys of these."""
    edited = {ref.name: {key for key, _ in _wanted(ref)} | {"name", _other_version(ref)} for ref in images}
    found = list[object]()
    for entry in overlay.entries:
        keys = edited.get(image(entry).name)
        kept = [pair for pair in entry.pairs if not any(is_key(pair[0], key) for key in keys or ())]
        if keys is None or kept:
            found.append([(key.meaning, value.meaning) for key, value in kept])
    return found


def _tied(overlay: Overlay, ref: ImageRef) -> InvalidInput:
    named = overlay.named(ref.name)
    return overlay.document.refusal(
        f"the entry of {ref.name} cannot be set without changing something else",
        named[0] if named else None,
        f"{UNCHANGED} Write it without anchors, aliases, merge keys and other rarities of YAML.",
    )
