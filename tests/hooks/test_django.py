"""What Django adds: forms and models that both ask, files in memory and on disk, migrations, translated words."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.db.migrations.writer import MigrationWriter
from django.forms import modelform_factory
from django.test import RequestFactory, override_settings
from django.utils import translation
from hooks.apps import django_site
from hooks.apps.django_site import ImageValidator, Post, PostForm, SimpleUploadedFile, form_with, tables
from hooks.apps.seen import BLUE, GREEN, RED

pytestmark = pytest.mark.usefixtures("by_service")


@pytest.fixture(scope="module", autouse=True)
def _tables() -> Iterator[None]:
    with tables():
        yield


def upload(data: bytes, name: str = "picture.png") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data, "image/png")


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(ValidationError) as caught:
        call()
    (error,) = caught.value.error_list
    return error.code


def codes_of(post: Post) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        post.full_clean()
    return [error.code for error in caught.value.error_dict["image"]]


def test_a_form_and_its_model_judge_once(images_asked):
    before = images_asked()
    form = PostForm({}, {"image": upload(GREEN)})
    assert form.is_valid(), form.errors
    assert images_asked() == before + 1


def test_a_form_of_a_model_alone_is_checked_by_the_model(images_asked):
    before = images_asked()
    form = modelform_factory(Post, fields=["image"])({}, {"image": upload(RED)})
    assert form.errors.get_json_data()["image"][0]["code"] == "demure_adult"
    assert images_asked() == before + 1


def test_the_view_finds_the_answer_at_the_file_and_at_the_unsaved_model():
    form = PostForm({}, {"image": upload(BLUE)})
    assert form.is_valid()
    answer = form.cleaned_data["image"].demure
    assert (answer.decision, answer.sha256) == ("unknown", hashlib.sha256(BLUE).hexdigest())
    post = form.save(commit=False)
    assert post.image.demure is answer


def test_what_is_saved_is_what_was_sent():
    form = PostForm({}, {"image": upload(GREEN)})
    post = form.save()
    with Post.objects.get(pk=post.pk).image.open() as file:
        assert file.read() == GREEN


def test_what_is_stored_already_is_not_judged_again(images_asked):
    post = PostForm({}, {"image": upload(GREEN)}).save()
    stored, before = Post.objects.get(pk=post.pk), images_asked()
    stored.full_clean()
    again = PostForm({}, {}, instance=stored)  # the page was sent without a new file
    assert again.is_valid(), again.errors
    assert images_asked() == before
    stored.image = upload(RED)
    assert codes_of(stored) == ["demure_adult"]


def test_a_model_without_an_image_asks_nobody(images_asked):
    before = images_asked()
    Post().full_clean()
    assert images_asked() == before


def test_a_file_that_a_program_puts_into_a_model_is_judged():
    post = Post()
    post.image = ContentFile(RED, name="picture.png")
    assert codes_of(post) == ["demure_adult"]


def test_other_bytes_in_the_same_file_are_judged_anew():
    """A validator of the site's own may have written the file anew in between."""
    file = upload(GREEN)
    ImageValidator()(file)
    assert file.demure.is_safe
    file.file.seek(0)
    file.file.truncate()
    file.file.write(RED)
    file.size = len(RED)
    assert code_of(lambda: ImageValidator()(file)) == "demure_adult"


def test_other_rules_are_asked_for_themselves_and_the_gravest_answer_stays_at_the_file(images_asked):
    before, file = images_asked(), upload(BLUE)
    for _ in range(2):
        ImageValidator()(file)
        ImageValidator(policy="lenient")(file)
    assert images_asked() == before + 2
    assert file.demure.is_unknown


def test_rules_that_differ_only_in_what_becomes_of_unknown_ones_share_an_answer(images_asked):
    before, file = images_asked(), upload(BLUE)
    ImageValidator()(file)
    assert code_of(lambda: ImageValidator(unknown="refuse")(file)) == "demure_unknown"
    assert images_asked() == before + 1


def test_a_failure_is_not_asked_twice_in_one_form(nobody_judges, caplog: pytest.LogCaptureFixture):
    form = PostForm({}, {"image": upload(GREEN)})
    assert not form.is_valid()
    assert form.errors.get_json_data()["image"][0]["code"] == "demure_unavailable"
    assert len([r for r in caplog.records if r.name == "demure.hooks.judges"]) == 1


@override_settings(FILE_UPLOAD_MAX_MEMORY_SIZE=100)
def test_an_upload_on_disk_is_read_and_left_at_its_beginning():
    request = RequestFactory().post("/", {"image": upload(GREEN)})
    form = form_with(ImageValidator())({}, request.FILES)
    image = request.FILES["image"]
    assert isinstance(image, TemporaryUploadedFile)
    assert form.is_valid()
    assert image.tell() == 0
    assert b"".join(image.chunks(10)) == GREEN
    assert image.demure.is_safe
    request.close()


def test_an_upload_that_is_larger_than_the_limit_is_not_read():
    class Untouched(SimpleUploadedFile):
        def read(self, *_: object) -> bytes:
            raise AssertionError("read")

        seek = read

    file = Untouched("picture.png", GREEN)
    assert code_of(lambda: ImageValidator(max_bytes=len(GREEN) - 1)(file)) == "demure_too_large"
    assert file.demure.is_unknown


def test_the_limit_itself_is_allowed():
    ImageValidator(max_bytes=len(GREEN))(upload(GREEN))


def test_djangos_own_check_of_a_broken_picture_comes_first(images_asked):
    before = images_asked()
    form = PostForm({}, {"image": upload(b"no picture")})
    assert form.errors.get_json_data()["image"][0]["code"] == "invalid_image"
    assert images_asked() == before


def test_a_form_that_sends_text_in_place_of_a_file_is_djangos_own_error():
    form = form_with(ImageValidator())({"image": "picture.png"}, {})
    assert form.errors.get_json_data()["image"][0]["code"] == "required"


@pytest.mark.parametrize("value", ["picture.png", 7, b"bytes"])
def test_a_value_that_is_no_file_is_a_mistake_in_the_program(value: object):
    with pytest.raises(TypeError, match="expected an uploaded file"):
        ImageValidator()(value)


def test_a_migration_writes_the_validator_out_and_reads_it_back():
    validator = ImageValidator(policy="strict", unknown="refuse", on_failure="accept", max_bytes=5)
    text, imports = MigrationWriter.serialize(validator)
    names: dict[str, object] = {}
    exec("\n".join(imports), names)
    assert eval(text, names) == validator
    assert "strict" in text


def test_validators_are_equal_by_their_rules():
    """Or every makemigrations would find a change."""
    assert ImageValidator(policy="strict") == ImageValidator(policy="strict")
    assert ImageValidator(policy="strict") != ImageValidator()
    assert len({ImageValidator(), ImageValidator(), ImageValidator(review=True)}) == 2


def test_a_misspelled_choice_is_told_when_the_module_is_imported():
    with pytest.raises(ValueError, match="on_failure"):
        ImageValidator(on_failure="closed")


class Ours(ImageValidator):
    messages: ClassVar = {**ImageValidator.messages, "demure_adult": translation.gettext_lazy("Enter a valid value.")}


def test_a_site_may_have_words_of_its_own_and_they_are_translated():
    """Django's own catalogue has these words."""
    form = form_with(Ours())({}, {"image": upload(RED)})
    with translation.override("de"):
        assert form.errors["image"] == ["Bitte einen gültigen Wert eingeben."]


def test_djangos_settings_come_before_the_environment(service, key, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DEMURE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("DEMURE_KEY", "demure_wrong")
    with override_settings(DEMURE_URL=str(service.base_url), DEMURE_KEY=key[1]):
        ImageValidator()(file := upload(GREEN))
    assert file.demure.is_safe


def test_a_validator_that_asks_for_a_review_gives_its_id(service, reviewer):
    ImageValidator(review=True)(file := upload(BLUE))
    headers = {"Authorization": f"Bearer {reviewer[1]}"}
    found = service.get(f"/v1/reviews/{file.demure.review.id}", headers=headers).json()
    assert (found["state"], found["sha256"]) == ("open", hashlib.sha256(BLUE).hexdigest())


def test_a_model_that_notes_the_answer_does_so_for_each_new_file_and_only_then():
    """`Post.clean`, as docs/frameworks.md has it: a form that creates, one that replaces, and one without a new file."""
    edit = modelform_factory(Post, fields=["image"])
    post = edit({}, {"image": upload(GREEN)}).save()
    assert (post.is_held, post.sha256) == (False, digest(GREEN))
    stored = Post.objects.get(pk=post.pk)
    unchanged = edit({}, instance=stored)
    assert not hasattr(unchanged.fields["image"].clean(None, stored.image), "demure"), "no new file has no answer"
    assert unchanged.save().is_held is False
    edit({}, {"image": upload(BLUE)}, instance=stored).save()
    stored.refresh_from_db()
    assert (stored.is_held, stored.sha256) == (True, digest(BLUE))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_requests_side_by_side_each_have_their_answer():
    site, pictures = django_site.Site(), [(RED, None), (GREEN, "safe"), (BLUE, "unknown")] * 6
    with ThreadPoolExecutor(6) as pool:
        seen = list(pool.map(lambda pair: site.post("/accept/refuse", pair[0]), pictures))
    assert [one.decision for one in seen] == [decision for _, decision in pictures]
