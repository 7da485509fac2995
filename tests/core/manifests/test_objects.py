"""Which images rendered objects name, and how two renderings differ."""

import pytest

from tasks.core.manifests.objects import differences, images, objects, split

DIGEST = "sha256:" + "1" * 64


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("redis", ("redis", "", "")),
        ("redis:7", ("redis", "7", "")),
        ("r.example:5000/a/redis", ("r.example:5000/a/redis", "", "")),
        ("r.example:5000/redis:7", ("r.example:5000/redis", "7", "")),
        (f"r.example:5000/redis:7@{DIGEST}", ("r.example:5000/redis", "7", DIGEST)),
        (f"redis@{DIGEST}", ("redis", "", DIGEST)),
    ],
)
def test_parts_of_an_image(image: str, parts: tuple[str, str, str]) -> None:
    assert split(image) == parts


def pods(kind: str, image: str, name: str = "a", more: str = "") -> str:
    template = f"{{spec: {{containers: [{{name: c, image: {image}}}]}}}}"
    spec = f"{{jobTemplate: {{spec: {{template: {template}}}}}}}" if kind == "CronJob" else f"{{template: {template}}}"
    return f"kind: {kind}\nmetadata: {{name: {name}, namespace: n{more}}}\nspec: {spec}\n---\n"


def test_images_at_every_place() -> None:
    text = """\
kind: Thing
metadata: {name: t}
spec:
  image: one
  sidecarImage: two
  parts:
  - initContainers: [{name: i, image: three}]
    ephemeralContainers: [{image: four}]
---
kind: ConfigMap
metadata: {name: c}
data: {image: five}
---
kind: CustomResourceDefinition
metadata: {name: d}
spec: {containers: [{image: six}]}
---
- image: seven
"""
    found = [(each.object, each.place, each.text, each.container) for each in images(objects(text))]
    assert found == [
        ("Thing t", "spec.image", "one", False),
        ("Thing t", "spec.sidecarImage", "two", False),
        ("Thing t", "spec.parts[0].initContainers[i].image", "three", True),
        ("Thing t", "spec.parts[0].ephemeralContainers[0].image", "four", True),
    ]


@pytest.mark.parametrize(
    ("kind", "effect"),
    [
        ("Deployment", "restarts"),
        ("StatefulSet", "restarts"),
        ("DaemonSet", "restarts"),
        ("Rollout", "restarts"),
        ("CronJob", "runs with it next time"),
        ("Job", "can't be changed in place, only replaced"),
        ("Thing", "changes"),
    ],
)
def test_what_a_change_means_for_an_object(kind: str, effect: str) -> None:
    (change,) = differences(pods(kind, "x:1") + pods(kind, "y", "b"), pods(kind, "y", "b") + pods(kind, "x:2"))
    assert (change.object, change.effect, change.images) == (f"{kind} n/a", effect, (("x:1", "x:2"),))


def test_a_change_beside_the_pods_restarts_nothing() -> None:
    (change,) = differences(pods("Deployment", "x"), pods("Deployment", "x", more=", labels: {a: b}"))
    assert (change.effect, change.images) == ("changes", ())


def test_objects_that_come_and_go() -> None:
    one, other = pods("Deployment", "x"), "kind: ConfigMap\nmetadata: {name: c-1}\n"
    assert [(each.object, each.effect) for each in differences(one, other)] == [
        ("Deployment n/a", "is deleted"),
        ("ConfigMap c-1", "is created"),
    ]
    assert differences(one, one) == ()
