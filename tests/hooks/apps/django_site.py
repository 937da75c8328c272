"""A site in Django, set up in this process by importing it: forms of a file field, and a model that its own form fills in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager

import django
from django import forms
from django.conf import settings
from django.db import connection, models
from django.http import HttpRequest, JsonResponse
from django.test import Client
from django.urls import path
from hooks.apps.seen import FORMS, Seen

settings.configure(
    ALLOWED_HOSTS=["testserver"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    LOGGING_CONFIG=None,
    REST_FRAMEWORK={"UNAUTHENTICATED_USER": None},  # or it would want django.contrib.auth
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests",
    STORAGES={"default": {"BACKEND": "django.core.files.storage.InMemoryStorage"}},
    TIME_ZONE="UTC",
)
django.setup()

from django.core.files.uploadedfile import SimpleUploadedFile  # noqa: E402

from demure.hooks.django import ImageValidator, validate_image  # noqa: E402


class Post(models.Model):
    """With `clean` as docs/frameworks.md has it."""

    image = models.ImageField(upload_to="posts", blank=True, validators=[validate_image])
    is_held = models.BooleanField(default=True, editable=False)
    sha256 = models.CharField(max_length=64, editable=False)

    class Meta:
        app_label = "shop"

    def clean(self) -> None:
        answer = getattr(self.image, "demure", None)
        if answer is not None:
            self.is_held = not answer.is_safe
            self.sha256 = answer.sha256


class PostForm(forms.ModelForm):
    """Asks as well, so that form and model both do."""

    image = forms.ImageField(validators=[validate_image])

    class Meta:
        model = Post
        fields = ("image",)


def form_with(validator: ImageValidator) -> type[forms.Form]:
    return type("UploadForm", (forms.Form,), {"image": forms.FileField(validators=[validator])})


def submit(request: HttpRequest, unknown: str, on_failure: str) -> JsonResponse:
    form = form_with(ImageValidator(unknown=unknown, on_failure=on_failure))(request.POST, request.FILES)
    if not form.is_valid():
        return JsonResponse(json.loads(form.errors.as_json()), status=422)
    image = form.cleaned_data["image"]
    answer = image.demure
    digest = hashlib.sha256(image.read()).hexdigest()
    return JsonResponse(
        {"decision": answer.decision, "sha256": digest, "judged": answer.sha256, "kind": type(image).__name__}
    )


urlpatterns = [path("<str:unknown>/<str:on_failure>", submit)]


class Site:
    """What the tests ask."""

    def post(self, form: str, data: bytes) -> Seen:
        assert form in FORMS
        answer = Client().post(form, {"image": SimpleUploadedFile("picture.png", data, "image/png")})
        body = answer.json()
        if answer.status_code != 200:
            (error,) = body["image"]
            return Seen(answer.status_code, error["code"], error["message"])
        return Seen(200, None, None, body["decision"], body["sha256"], body["judged"])


@contextmanager
def tables() -> Iterator[None]:
    """Dropped afterwards: Django keeps a database in memory open for as long as the process runs."""
    with connection.schema_editor() as editor:
        editor.create_model(Post)
    try:
        yield
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Post)
