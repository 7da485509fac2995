"""Edits of kustomization.yaml, judged by golden files byte for byte, by properties, and by kustomize itself."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.core.errors import InvalidInput
from tasks.core.manifests.image_entries import FIELDS
from tasks.core.manifests.kustomization import check, read_images, set_images
from tasks.core.manifests.render import kustomize
from tasks.core.models import ImageRef
from tests.sandbox.examples import examples

GOLDEN = Path(__file__).parent / "golden" / "kustomization"
NAMES = sorted(path.name.removesuffix(".before.yaml") for path in GOLDEN.glob("*.before.yaml"))

SERVER_DIGEST = "sha256:" + "a1" * 32
UI_DIGEST = "sha256:" + "b2" * 32
REGISTRY = "registry.example.com"
SERVER = ImageRef("flowise-server", f"{REGISTRY}/flowise-server", digest=SERVER_DIGEST)
UI = ImageRef("flowise-ui", f"{REGISTRY}/flowise-ui", digest=UI_DIGEST)
PLAIN = (ImageRef("flowise-server", digest=SERVER_DIGEST), ImageRef("flowise-ui", digest=UI_DIGEST))

# What is asked for, where it is not both images with new names and digests.
REQUESTS = {
    "digest-to-tag": [ImageRef(image.name, image.new_name, tag="v1.2.3-0a1b2c3") for image in (SERVER, UI)],
    "new-name-left-alone": PLAIN,
    "number-like-tags": [
        ImageRef("flowise-server", tag="1234567"),
        ImageRef("flowise-ui", tag="12e4567"),
        ImageRef("flowise-worker", tag="0123456"),
    ],
    "realistic-overlay": PLAIN,
    "word-like-tags": [ImageRef("flowise-server", tag="on"), ImageRef("flowise-ui", tag="null")],
}

# kustomize refuses tags that are numbers.
NOT_RENDERED_BEFORE = ("number-like-tags", "tagged-values")

KUSTOMIZE = kustomize()

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: flowise
spec:
  selector: {matchLabels: {app: flowise}}
  template:
    metadata: {labels: {app: flowise}}
    spec:
      containers:
        - {name: server, image: flowise-server}
        - {name: ui, image: "flowise-ui:old"}
        - {name: worker, image: flowise-worker}
"""
INGRESS = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: flowise}\nspec: {}\n"


def golden(name: str, kind: str) -> str:
    return (GOLDEN / f"{name}.{kind}.yaml").read_bytes().decode()


def request_of(name: str):
    return REQUESTS.get(name, (SERVER, UI))


def rendered(text: str, folder: Path) -> tuple[dict[str, str], list[object]]:
    """What kustomize makes of a kustomization: the images by container, and everything but the images."""
    (folder / "deployment.yaml").write_text(DEPLOYMENT)
    (folder / "ingress.yaml").write_text(INGRESS)
    (folder / "kustomization.yaml").write_bytes(text.encode())
    done = subprocess.run([*KUSTOMIZE, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stderr}\n{text}"
    resources = list(yaml.safe_load_all(done.stdout))
    deployment = next(each for each in resources if each["kind"] == "Deployment")
    containers = deployment["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each.pop("image") for each in containers}, resources


def assert_renders(text: str, images, folder: Path) -> list[object]:
    """kustomize must render the images as asked; what it renders besides is returned."""
    actual, others = rendered(text, folder)
    for image in images:
        got = actual[image.name.removeprefix("flowise-")]
        name, version = re.fullmatch(r"(.+?)((?:@sha256:|:)[^:/]+)", got).groups()
        assert version == (f"@{image.digest}" if image.digest else f":{image.tag}")
        assert image.new_name in (None, name)
    return others


class TestGolden:
    def test_every_request_has_its_files(self):
        assert len(NAMES) >= 30
        assert set(REQUESTS) <= set(NAMES)
        after = [path.name.removesuffix(".after.yaml") for path in GOLDEN.glob("*.after.yaml")]
        assert sorted(after) == NAMES

    @pytest.mark.parametrize("name", NAMES)
    def test_edit(self, name):
        assert set_images(golden(name, "before"), request_of(name)) == golden(name, "after")

    @pytest.mark.parametrize("name", NAMES)
    def test_same_edit_again_is_no_edit(self, name):
        assert set_images(golden(name, "after"), request_of(name)) == golden(name, "after")

    @pytest.mark.parametrize("name", NAMES)
    def test_reads_back_what_was_asked(self, name):
        images = read_images(golden(name, "after"))
        for asked in request_of(name):
            for image in (each for each in images if each.name == asked.name):
                assert (image.digest, image.tag) == (asked.digest, asked.tag)
                assert asked.new_name in (None, image.new_name)

    @pytest.mark.parametrize("name", NAMES)
    def test_kustomize_renders_what_was_asked_and_nothing_else(self, name, tmp_path):
        # Left alone by the edit, and rendered in front of the digest.
        before, after = (golden(name, kind).replace("  tagSuffix: -alpine\n", "") for kind in ("before", "after"))
        others = assert_renders(after, request_of(name), tmp_path)
        if name not in NOT_RENDERED_BEFORE:
            assert others == rendered(before, tmp_path)[1]


class TestRefusal:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "the file is empty"),
            ("# only a comment\n", "the file is empty"),
            ("---\n", "the file is empty"),
            ("{}\n", "the file is empty"),
            ("null\n", "the file is empty"),
            ("- resources\n", "line 1: a kustomization is a mapping, but this is a sequence"),
            ("\n\nresources\n", "line 3: a kustomization is a mapping, but this is a scalar"),
            ("a: b\n---\nc: d\n", "line 2: a second YAML document"),
            ("a: b\n...\n---\nc", "line 3: a second YAML document"),
            ("a: b\n---\n---\n{}\n", "line 3: a second YAML document"),
            ("---\n---\na: b\n", "line 2: a second YAML document"),
            ("a: [b\nc: d\n", "line 2: not valid YAML"),
            ("a: b\n  c: d\n", "line 2: not valid YAML"),
            ("images:\n\t- name: a\n", "line 2: not valid YAML: found character '\\t'"),
            ("images:\n-\tname: a\n", "line 2: not valid YAML: found character '\\t'"),
            ("a: b\nc: \x00\n", "line 2: not valid YAML"),
            ("a: b\nc: \x07\n", "line 2: not valid YAML"),
            ("a: *b\n", "line 1: the alias *b has no anchor"),
            ("a: &a [*a]\n", "line 1: the alias *a has no anchor"),
            ("a: b\nimages: {}\n", "line 2: images is not a list but a mapping"),
            ("images: flowise-server\n", "line 1: images is not a list but a scalar"),
            ("images: ''\n", "line 1: images is not a list but a scalar"),
            ("images:\n- flowise-server\n", "line 2: an entry of images is not a mapping but a scalar"),
            ("images:\n- name: a\n-\n", "an entry of images is not a mapping but a scalar"),
            ("images: [[{name: a}]]\n", "an entry of images is not a mapping but a sequence"),
            ("images:\n- newTag: v1\n", "line 2: an entry of images has no name"),
            ("images: [{}]\n", "line 1: an entry of images has no name"),
            ("images:\n- name:\n  newTag: v1\n", "line 2: an entry of images has no name"),
            ("images:\n- name: [a]\n", "line 2: name of an image is not a string but a sequence"),
            ("images:\n- name: a\n  digest: {}\n", "digest of an image is not a string but a mapping"),
            ("images:\n- name: a\n  newTag: v1\n  newTag: v2\n", "line 4: newTag stands here a second time"),
            ("images: []\nimages: []\n", "line 2: images stands here a second time"),
            ("images:\n- name: a\n  newtag: v1\n", "line 3: kustomize reads newtag as newTag"),
            ("Images: []\n", "line 1: kustomize reads Images as images"),
            ("imageTags: []\n", "line 1: imageTags may bring images in"),
            ("x: &x {}\n<<: *x\n", "line 2: << may bring images in"),
            ("images:\n- name: a\n  <<: {newTag: v1}\n", "line 2: kustomize lets << override"),
        ],
    )
    def test_no_kustomization(self, text, message):
        for act in (read_images, lambda *args, **named: set_images(*args, [SERVER], **named)):
            with pytest.raises(InvalidInput, match=r"^overlays/dev/kustomization\.yaml") as caught:
                act(text, where="overlays/dev/kustomization.yaml")
            assert message in caught.value.message
            assert "\n" not in caught.value.message

    @pytest.mark.parametrize(
        "text",
        [
            # The value is used elsewhere, and would change there.
            "images:\n- name: flowise-server\n  newTag: &v v1\ncommonAnnotations: {version: *v}\n",
            "images:\n- name: flowise-server\n  digest: x\n  newTag: &v v1\n- {name: a, newTag: *v}\n",
            "images:\n- &e {name: flowise-server, newTag: v1}\n- <<: *e\n  name: flowise-ui\n",
            "x: &x [{name: flowise-server}]\nimages: *x\n",
            "x: &x [{name: flowise-ui}]\nimages: *x\n",
            "images: &x\ny: *x\n",
            # The tag comes in from elsewhere, and could only be overridden, not removed.
            "x: &x {newTag: v1}\nimages:\n- <<: *x\n  name: flowise-server\n",
            "x: &x {name: flowise-server, newTag: v1}\nimages:\n- <<: [*x]\n",
            # One pair without braces cannot become two.
            "images: [name: flowise-server]\n",
        ],
    )
    def test_entry_tied_to_something_else(self, text):
        with pytest.raises(InvalidInput, match="flowise-server cannot be set without changing something else"):
            set_images(text, [SERVER])

    @pytest.mark.parametrize(
        ("says", "refused"),
        [
            ("newTag: v1", True),
            (f"digest: {UI_DIGEST}", True),
            ("newName: elsewhere", True),
            (f"digest: {SERVER_DIGEST}", False),
            ("newTag: ~", False),
            (f"newName: {REGISTRY}/flowise-server", False),
        ],
    )
    @pytest.mark.parametrize("ours", ["newTag: v0", f"newName: {REGISTRY}/flowise-server"])
    def test_a_later_entry_for_the_new_name(self, says, refused, ours):
        entry = f"- name: flowise-server\n  {ours}\n"
        other = f"- name: {REGISTRY}/flowise-server\n  {says}\n"
        if refused:
            with pytest.raises(InvalidInput, match=r"later entry .* overrides that of flowise-server"):
                set_images(f"images:\n{entry}{other}", [SERVER])
        else:
            assert set_images(f"images:\n{entry}{other}", [SERVER]).endswith(other)
        assert set_images(f"images:\n{other}{entry}", [SERVER]).startswith(f"images:\n{other}")

    def test_block_scalar_that_no_line_may_follow(self):
        with pytest.raises(InvalidInput, match="flowise-server cannot be set"):
            set_images("patches:\n- patch: |\n    x", [SERVER])

    @pytest.mark.parametrize(
        "image",
        [
            ImageRef("flowise-server"),
            ImageRef("flowise-server", "registry.example.com/flowise-server"),
            ImageRef("flowise-server", tag=""),
            ImageRef("flowise-server", digest=""),
            ImageRef("flowise-server", tag="v1", digest=""),
            ImageRef("flowise-server", tag="v1\n"),
            ImageRef("flowise-server", tag="-v1"),
            ImageRef("flowise-server", tag="v" * 129),
            ImageRef("flowise-server", tag="phiên-bản"),
            ImageRef("flowise-server", digest=SERVER_DIGEST + "\n"),
            ImageRef("flowise-server", digest=SERVER_DIGEST.upper()),
            ImageRef("flowise-server", digest=SERVER_DIGEST[:-1]),
            ImageRef("", tag="v1"),
            ImageRef("flowise server", tag="v1"),
            ImageRef("flowise-server\n", tag="v1"),
            ImageRef("flowise-server", "", tag="v1"),
            ImageRef("flowise-server", "a b", tag="v1"),
            ImageRef("flowise-server", "a\tb", tag="v1"),
            ImageRef("flowise-server", "a\u2028b", tag="v1"),
            ImageRef("flowise-server", "a\x00", tag="v1"),
        ],
    )
    def test_image_not_well_formed(self, image):
        with pytest.raises(InvalidInput):
            set_images("images: []\n", [image])

    def test_image_given_twice(self):
        with pytest.raises(InvalidInput, match="given twice"):
            set_images("images: []\n", [SERVER, SERVER])

    def test_a_bad_second_image_refuses_both(self):
        with pytest.raises(InvalidInput, match="flowise-ui has neither"):
            set_images("images: []\n", [SERVER, ImageRef("flowise-ui")])

    def test_deep_nesting_is_not_a_crash(self):
        with pytest.raises(InvalidInput):
            set_images("a: " + "[" * 500, [SERVER])
        deep = "a:\n  " + "- " * 1200 + "[]\n"
        assert set_images(deep, [SERVER]).startswith(deep)

    def test_aliases_of_aliases_cost_nothing(self):
        lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 60))]
        text = "\n".join(lines) + "\n"
        assert set_images(text, [SERVER]).startswith(text)


class TestRead:
    def test_values_as_they_are_written(self):
        text = """\
images:
- {name: a, newTag: 0123456}
- {newTag: 1e5, name: b, newName: 12}
- {name: c, newTag: ~, digest: null}
- {name: d, newTag: '', tagSuffix: x}
- {name: 12, newTag: on}
- <<: {newTag: v1, name: e}
"""
        assert read_images(text) == [
            ImageRef("a", tag="0123456"),
            ImageRef("b", "12", tag="1e5"),
            ImageRef("c"),
            ImageRef("d"),
            ImageRef("12", tag="on"),
            ImageRef("e", tag="v1"),
        ]

    @pytest.mark.parametrize("text", ["a: b\n", "images:\na: b\n", "images: []\n", "images: ~\n"])
    def test_no_images(self, text):
        assert read_images(text) == []


def test_nothing_asked_is_nothing_changed():
    text = "images:\r\n-   name:  a  # b\n"
    assert set_images(text, []) == text


def test_a_digest_goes_before_a_tag():
    image = ImageRef("flowise-server", tag="latest", digest=SERVER_DIGEST)
    assert set_images("a: b\n", [image]) == f"a: b\nimages:\n- name: flowise-server\n  digest: {SERVER_DIGEST}\n"


AMBIGUOUS = [
    "1234567", "0123456", "12e4567", "1e5", "1E5", "1_000", "1__0", "0_7", "0x1f", "0X1F", "0o17", "0b11",
    "0b_1", "1.0", "1.", "1.e5", "0.1_0", "1_0.5", "08", "y", "Y", "yes", "Yes", "n", "NO", "no", "on", "ON",
    "off", "true", "TRUE", "false", "null", "Null", "NULL", "nan", "inf", "Infinity", "2024-01-01", "2024-1-1",
    "1e5_0", "0x1p5",
]  # fmt: skip
UNAMBIGUOUS = [
    "v1", "1.0.0", "7f3a9c1", "latest", "_1", "0xg", "a-b", "v1.2.3-0a1b2c3", "e5", "1e", "1.2.x", "nul",
    "yess", "12e4567f",
]  # fmt: skip


@pytest.mark.parametrize("tag", AMBIGUOUS)
def test_a_tag_that_is_no_string_is_quoted(tag):
    assert f'newTag: "{tag}"\n' in set_images("images:\n- name: a\n  newTag: v0\n", [ImageRef("a", tag=tag)])
    assert f'newTag: "{tag}"\n' in set_images(f"images:\n- name: a\n  newTag: {tag}\n", [ImageRef("a", tag=tag)])
    assert f"newTag: '{tag}'\n" in set_images("images:\n- name: a\n  newTag: 'v0'\n", [ImageRef("a", tag=tag)])


@pytest.mark.parametrize("tag", UNAMBIGUOUS)
def test_a_tag_that_is_a_string_is_not(tag):
    assert f"newTag: {tag}\n" in set_images("images:\n- name: a\n  newTag: v0\n", [ImageRef("a", tag=tag)])


def test_kustomize_takes_every_tag_for_a_string(tmp_path):
    images = [ImageRef(f"app-{number}", tag=tag) for number, tag in enumerate((*AMBIGUOUS, *UNAMBIGUOUS))]
    containers = [{"name": image.name, "image": image.name} for image in images]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "all"}, "spec": {"containers": containers}}
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump(pod))
    (tmp_path / "kustomization.yaml").write_text(set_images("resources: [pod.yaml]\n", images))
    done = subprocess.run([*KUSTOMIZE, str(tmp_path)], capture_output=True, text=True, check=True)
    made = [each["image"] for each in yaml.safe_load(done.stdout)["spec"]["containers"]]
    assert made == [f"{image.name}:{image.tag}" for image in images]


# ---- properties -------------------------------------------------------------------------------------------------

BREAKS = re.compile(r"\r\n|\r|\n")
QUOTES = ("", "'", '"')
tags = st.one_of(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,12}", fullmatch=True), st.sampled_from(AMBIGUOUS))
digests = st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True)
comments = st.sampled_from(["", "", " # a: b", "\t# - name: flowise-server", "  # phiên bản 🚀", " #"])
own_lines = st.sampled_from(["", "# flush", "  # two", "      # six", "    # - name: flowise-ui"])
requests = st.tuples(
    *(
        st.builds(
            lambda name, new, tag, digest: ImageRef(name, new, tag=tag, digest=digest),
            st.just(name),
            st.sampled_from([None, f"{REGISTRY}/{name}"]),
            tags,
            st.none() | digests,
        )
        for name in ("flowise-server", "flowise-ui")
    )
)


@st.composite
def scalars(draw, value: str) -> str:
    quote = draw(st.sampled_from(QUOTES)) or ('"' if value in AMBIGUOUS else "")
    return f"{quote}{value}{quote}"


@st.composite
def fields(draw, name: str) -> list[tuple[str, str]]:
    """The pairs of an entry, in any order, with or without each version."""
    pairs = [("name", name)]
    if draw(st.booleans()):
        pairs.append(("newName", f"old.example.com/{name}"))
    if draw(st.booleans()):
        pairs.append(("newTag", draw(st.sampled_from(["v1", "1.0.0", "0123456", "1e5"]))))
    if draw(st.booleans()):
        pairs.append(("digest", "sha256:" + "0" * 64))
    pairs = draw(st.permutations(pairs))
    return [(draw(scalars(key)), draw(scalars(value))) for key, value in pairs]


@st.composite
def block_entries(draw, name: str, column: int) -> list[str]:
    pairs = draw(fields(name))
    dash, keys = " " * column + "-", " " * (column + draw(st.sampled_from([2, 2, 4])))
    lines = []
    for key, value in pairs:
        gap = draw(st.sampled_from([" ", " ", "   ", " # gap\n" + keys + "  "]))
        lines.append(f"{keys}{key}:{gap}{value}{draw(comments)}")
        if draw(st.integers(0, 4)) == 0:
            lines.append(draw(own_lines))
    if draw(st.integers(0, 5)) == 0:
        return [dash + draw(comments.filter(lambda comment: "\t" not in comment)), *lines]
    return [dash + lines[0][len(dash) :], *lines[1:]]


@st.composite
def flow_entries(draw, name: str) -> str:
    pairs = [f"{key}: {value}" for key, value in draw(fields(name))]
    separator = draw(st.sampled_from([", ", ",", " , ", ",\n        ", ", # c\n        ", " # c\n        , "]))
    edge = draw(st.sampled_from([("{", "}"), ("{ ", " }"), ("{\n        ", "\n        }"), ("{", ",}")]))
    return edge[0] + separator.join(pairs) + edge[1]


names = st.lists(
    st.sampled_from(["flowise-server", "flowise-ui", "redis", "alpha", "flowise-server"]), min_size=0, max_size=5
)


@st.composite
def image_lists(draw, column: int) -> list[str]:
    listed = draw(names)
    if not listed:
        return draw(st.sampled_from([[], ["images:"], ["images: []"], ["images: null # c"], ["'images': ~"]]))
    key = draw(scalars("images")) + ":"
    if draw(st.integers(0, 3)) == 0:
        separator = draw(st.sampled_from([", ", ",\n    ", ", # c\n    ", " # c\n    , "]))
        edge = draw(st.sampled_from([("[", "]"), ("[\n    ", "\n    ]"), ("[\n    ", ", # e\n  ]")]))
        return [f"{key} {edge[0]}{separator.join(draw(flow_entries(name)) for name in listed)}{edge[1]}"]
    lines = [key + draw(comments)]
    for name in listed:
        if draw(st.integers(0, 3)) == 0:
            lines.append(" " * column + "- " + draw(flow_entries(name)) + draw(comments))
        else:
            lines += draw(block_entries(name, column))
        if draw(st.integers(0, 3)) == 0:
            lines.append(draw(own_lines))
    return lines


@st.composite
def kustomizations(draw) -> tuple[str, str, str]:
    """A text in three parts: what stands before the images, they themselves (or nothing), and what stands after."""
    column = draw(st.sampled_from([0, 2, 4]))
    patch = ["  - {op: add, path: /metadata/labels, value: {images: x}}", draw(st.sampled_from(["", "  # text"]))]
    header = draw(st.sampled_from(["|", "|-", "|+", ">-"]))
    parts = [
        ["resources:", " " * column + "- deployment.yaml" + draw(comments)],
        ["namespace: flowise-dev" + draw(comments), draw(own_lines.filter(lambda line: line[:1] in ("", "#")))],
        ["patches:", "- target: {kind: Deployment}", f"  patch: {header}", *("  " + line for line in patch)],
        images := draw(image_lists(column)),
    ]
    parts = draw(st.permutations(parts))
    at = next(index for index, part in enumerate(parts) if part is images)
    head = draw(st.sampled_from([[], ["# head", ""], ["---"]]))
    line_break = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    sections = [head, *parts[:at]], [images], parts[at + 1 :]
    lines = [[line.replace("\n", line_break) + line_break for part in each for line in part] for each in sections]
    before, middle, after = map("".join, lines)
    after += draw(st.sampled_from(["", "", line_break * 2, "# end"]))
    if draw(st.integers(0, 4)) == 0:
        return before, middle if after else middle.rstrip(line_break), after.rstrip(line_break)
    return before, middle, after


def meaning(text: str):
    """What another parser than the edit's reads: the images, and the rest."""
    data = yaml.load(text.replace("\t", " "), Loader=yaml.BaseLoader)
    images = data.pop("images", None)
    return data, images if isinstance(images, list) else []  # this loader reads a null as text


def expected(entry: dict[str, str], asked: dict[str, ImageRef]) -> dict[str, str]:
    if not (image := asked.get(entry["name"])):
        return entry
    others = {key: value for key, value in entry.items() if key not in ("newTag", "digest")}
    version = {"digest": image.digest} if image.digest else {"newTag": image.tag}
    return others | version | ({"newName": image.new_name} if image.new_name else {})


@settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(kustomizations(), requests)
def test_any_style(parts, images):
    text = "".join(parts)
    after = set_images(text, images)
    (others, old), (others_after, new) = meaning(text), meaning(after)
    asked = {image.name: image for image in images}
    missing = [{"name": name} for name in asked if name not in [entry["name"] for entry in old]]

    assert others_after == others
    assert new == [expected(entry, asked) for entry in old + missing]
    assert set_images(after, images) == after


@settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(kustomizations(), requests)
def test_every_other_line_is_identical(parts, images):
    before, middle, end = parts
    text = before + middle + end
    after = set_images(text, images)
    if middle:
        assert after.startswith(before)
        assert after.endswith(end)
    else:  # added in one place
        at = next((index for index, (old, new) in enumerate(zip(text, after, strict=False)) if old != new), len(text))
        assert after.endswith(text[at:])
    comment = re.compile(r"(?<=\s)#[^\r\n]*")
    assert sorted(comment.findall(after)) == sorted(comment.findall(text))
    # Where the last line goes, and an empty one stands before it, that one is the last now.
    blank_before_last = re.search(r"(\r\n|\r|\n)\1[^\r\n]*\Z", text)
    assert after.endswith(("\r", "\n")) == text.endswith(("\r", "\n")) or blank_before_last
    assert set(BREAKS.findall(after)) == set(BREAKS.findall(text))


def unversioned(text: str) -> str:
    """The same without its images, whose numbers kustomize may refuse."""
    others, _ = meaning(text)
    return yaml.safe_dump(others)


@settings(max_examples=examples(30), deadline=None, suppress_health_check=list(HealthCheck))
@given(kustomizations(), requests)
def test_kustomize_renders_any_style(tmp_path_factory, parts, images):
    text = "".join(parts)
    folder = tmp_path_factory.mktemp("overlay")
    others = assert_renders(set_images(text, images), images, folder)
    assert others == rendered(unversioned(text), folder)[1]


FLUX = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nspec: {path: ./apps}\n"
APPLICATION = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {project: default}\n"
POINTER = f"version https://git-lfs.github.com/spec/v1\noid {SERVER_DIGEST}\nsize 12345\n"
KUSTOMIZATION = "kind: Kustomization\nresources: [deployment.yaml]\n"


class TestAnotherKindOfFile:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (FLUX, "line 1: this is 'kustomize.toolkit.fluxcd.io/v1 Kustomization'"),
            (APPLICATION, "line 2: this is 'argoproj.io/v1alpha1 Application'"),
            (f"apiVersion: kustomize.config.k8s.io/v1\n{KUSTOMIZATION}", "'kustomize.config.k8s.io/v1 Kustomization'"),
            ("apiVersion: apps/v1\nresources: []\n", "line 1: this is 'apps/v1'"),
            ("kind: ConfigMap\ndata: {}\n", "line 1: this is 'ConfigMap'"),
            ("kind: kustomization\nresources: []\n", "line 1: this is 'kustomization'"),
            ("kind: Component\napiVersion: kustomize.config.k8s.io/v1beta1\n", "v1beta1 Component'"),
            (POINTER, "this is a Git LFS pointer"),
            ("resources: []\n" + "#" * (1 << 18), "the file has 262,158 characters"),
            ("resources:\n  " + "- " * 2001 + "x\n", "line 2: more than 2000 levels are nested"),
        ],
    )
    def test_is_rejected(self, text, message):
        for act in (read_images, lambda text: set_images(text, [SERVER]), check):
            with pytest.raises(InvalidInput) as caught:
                act(text)
            assert message in caught.value.message

    @pytest.mark.parametrize(
        ("text", "message", "hint"),
        [
            ("resorces:\n- ../../base\n", "line 1: 'resorces' isn't a field", "Did you mean resources?"),
            (f"{KUSTOMIZATION}image: []\n", "line 3: 'image' isn't a field", "Did you mean images?"),
            (f"{KUSTOMIZATION}inventory: {{}}\n", "line 3: 'inventory' isn't a field", "Remove it"),
        ],
    )
    def test_a_field_that_kustomize_does_not_know(self, text, message, hint):
        with pytest.raises(InvalidInput) as caught:
            check(text)
        assert message in caught.value.message
        assert hint in caught.value.hint

    @pytest.mark.parametrize(
        "text",
        [
            KUSTOMIZATION,
            "RESOURCES: [deployment.yaml]\n",
            "kind: Component\nresources: [deployment.yaml]\n",
            "kind: ~\nresources: [deployment.yaml]\n",
            f"apiVersion: kustomize.config.k8s.io/v1beta1\n{KUSTOMIZATION}",
        ],
    )
    def test_what_kustomize_takes(self, text, tmp_path):
        check(text)
        rendered(text, tmp_path)

    @pytest.mark.parametrize("field", FIELDS)
    def test_kustomize_knows_every_field(self, field, tmp_path):
        (tmp_path / "kustomization.yaml").write_text(f"{field}: {{nonsense: 1}}\n")
        done = subprocess.run([*KUSTOMIZE, str(tmp_path)], capture_output=True, text=True, check=False)
        assert 'unknown field "' + field not in done.stderr


class TestAliases:
    TAGS = (ImageRef("flowise-server", tag="v2"), ImageRef("flowise-ui", tag="v2"))

    @pytest.mark.parametrize(
        "text",
        [
            "images:\n- name: flowise-server\n  newTag: &t v1 # both\n- name: flowise-ui\n  newTag: *t\n",
            "images:\n- name: flowise-ui\n  newTag: &t 'v1'\n- name: flowise-server\n  newTag: *t\n- name: x",
            "images: [{name: flowise-server, newTag: &t v1}, {name: flowise-ui, newTag: *t}]\n",
            "images:\n- name: flowise-server\n  newTag: &t v1\n- name: flowise-ui\n  newTag: *t\n"
            "labels:\n- pairs: {version: *t}\ncommonAnnotations: {version: *t, other: v3}\n",
        ],
    )
    def test_the_alias_of_a_tag_follows_it(self, text):
        assert set_images(text, self.TAGS) == text.replace("v1", "v2")

    def test_an_alias_of_another_images_version_is_replaced(self):
        text = "images:\n- name: flowise-server\n  newTag: &t v1\n- name: flowise-ui\n  newTag: *t\n"
        one, other = self.TAGS[0], ImageRef("flowise-ui", tag="v3")
        assert set_images(text, [one, other]) == text.replace("v1", "v2").replace("*t", "v3")
        assert set_images(text, [other]) == text.replace("*t", "v3")
        with pytest.raises(InvalidInput, match="flowise-server cannot be set without changing something else"):
            set_images(text, [one])

    def test_a_digest_is_no_tag_for_an_alias_to_follow(self):
        text = "images:\n- name: flowise-server\n  newTag: &t v1\nlabels: [{pairs: {version: *t}}]\n"
        with pytest.raises(InvalidInput, match="flowise-server cannot be set without changing something else"):
            set_images(text, [SERVER])
        assert set_images(text, [self.TAGS[0]]) == text.replace("v1", "v2")


class TestAnotherNameOfTheSameImage:
    @pytest.mark.parametrize(
        "name",
        [
            f"{REGISTRY}/flowise-server",
            "docker.io/acme/flowise-server:v0",
            f"flowise-server@{SERVER_DIGEST}",
            ".*/flowise-server",
            "flowise-.*",
            "(docker.io/)?flowise-server",
            "^flowise-(server|ui)$",
            r"registry\.example\.com/flowise-server",
            "(a+)+$" + "a" * 40,
            ".*",
        ],
    )
    def test_no_entry_is_added_beside_it(self, name):
        text = f"images:\n- name: '{name}'\n  newTag: v1\n"
        if name.startswith("(a+)"):  # would take forever as a regular expression, and means another image
            assert set_images(text, [SERVER]).startswith(text)
            return
        with pytest.raises(InvalidInput, match="line 2: there is no entry of the name flowise-server, and ") as caught:
            set_images(text, [SERVER])
        assert "Write name: flowise-server there" in caught.value.hint
        assert set_images(f"{text}- name: flowise-server\n", [SERVER]).startswith(text)

    @pytest.mark.parametrize("entry", ["name: server", "name: flowise"])
    def test_nor_beside_one_that_renames_to_the_same(self, entry):
        text = f"images:\n- {entry}\n  newName: {REGISTRY}/flowise-server\n"
        with pytest.raises(InvalidInput, match="means the same image"):
            set_images(text, [SERVER])

    @pytest.mark.parametrize(
        "name", ["redis", "flowise", "flowise-server-proxy", "a/flowise-ui", ".*/redis", "flowise-u.*"]
    )
    def test_others_may_stand_there(self, name):
        text = f"images:\n- name: '{name}'\n  newTag: v1\n"
        assert set_images(text, [SERVER]).startswith(text)
