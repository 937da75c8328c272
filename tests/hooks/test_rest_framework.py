"""Django's validator in serializers: there is no module of its own for them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from hooks.apps.django_site import ImageValidator, Post, SimpleUploadedFile, tables
from hooks.apps.rest_site import PostSerializer, serializer_with
from hooks.apps.seen import BLUE, GREEN, RED
from rest_framework import serializers

pytestmark = pytest.mark.usefixtures("by_service")


def upload(data: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile("picture.png", data, "image/png")


class Upload(serializers.Serializer):
    image = serializers.ImageField(validators=[ImageValidator()])


def test_errors_have_the_frameworks_shape_and_our_code():
    serializer = Upload(data={"image": upload(RED)})
    assert not serializer.is_valid()
    (error,) = serializer.errors["image"]
    assert (str(error), error.code) == (
        "This picture looks like adult content, which is not allowed here.",
        "demure_adult",
    )


def test_the_answer_is_at_the_validated_file():
    serializer = Upload(data={"image": upload(BLUE)})
    assert serializer.is_valid(), serializer.errors
    image = serializer.validated_data["image"]
    assert image.demure.is_unknown
    assert image.read() == BLUE


def test_a_serializer_of_a_model_has_the_models_validators_and_judges_once(images_asked):
    before = images_asked()
    refused, accepted = (PostSerializer(data={"image": upload(data)}) for data in (RED, GREEN))
    assert not refused.is_valid()
    assert refused.errors["image"][0].code == "demure_adult"
    assert accepted.is_valid(), accepted.errors
    assert images_asked() == before + 2


@pytest.fixture
def _tables() -> Iterator[None]:
    with tables():
        yield


@pytest.mark.usefixtures("_tables")
@pytest.mark.parametrize("partial", [False, True], ids=["PUT", "PATCH"])
def test_a_serializer_that_notes_the_answer_does_so_when_it_creates_and_when_it_replaces(partial: bool):
    """`PostSerializer.validate`, as docs/frameworks.md has it: what replaces a shown picture is not shown for that."""

    def saved(post: Post | None, data: bytes) -> tuple[Post, bool, str]:
        serializer = PostSerializer(post, data={"image": upload(data)}, partial=partial)
        serializer.is_valid(raise_exception=True)
        stored = Post.objects.get(pk=serializer.save().pk)
        return stored, stored.is_held, stored.sha256

    post, *shown = saved(None, GREEN)
    assert shown == [False, hashlib.sha256(GREEN).hexdigest()]
    post, *held = saved(post, BLUE)
    assert held == [True, hashlib.sha256(BLUE).hexdigest()]
    untouched = PostSerializer(post, data={}, partial=True)
    assert untouched.is_valid(), untouched.errors
    assert untouched.save().is_held


def test_each_picture_of_a_list_is_judged():
    class Album(serializers.Serializer):
        images = serializers.ListField(child=serializers.ImageField(validators=[ImageValidator()]))

    album = Album(data={"images": [upload(GREEN), upload(RED), upload(BLUE)]})
    assert not album.is_valid()
    assert {number: errors[0].code for number, errors in album.errors["images"].items()} == {1: "demure_adult"}


def test_what_is_no_file_is_the_frameworks_own_error():
    serializer = serializer_with(ImageValidator())(data={"image": "picture.png"})
    assert not serializer.is_valid()
    assert serializer.errors["image"][0].code == "invalid"
