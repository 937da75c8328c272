"""The same in Django REST framework, by serializers. Django's own validator is all it takes."""

from __future__ import annotations

import hashlib
from typing import Any

from django.test import override_settings
from django.urls import path
from hooks.apps import django_site
from hooks.apps.seen import FORMS, Seen
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

from demure.hooks.django import ImageValidator


class PostSerializer(serializers.ModelSerializer):
    """Has the model's validators; `validate` as docs/frameworks.md has it."""

    class Meta:
        model = django_site.Post
        fields = ("image",)

    def validate(self, fields: dict[str, Any]) -> dict[str, Any]:
        if "image" in fields:
            answer = fields["image"].demure
            fields |= {"is_held": not answer.is_safe, "sha256": answer.sha256}
        return fields


def serializer_with(validator: ImageValidator) -> type[serializers.Serializer]:
    return type("Upload", (serializers.Serializer,), {"image": serializers.FileField(validators=[validator])})


class Submit(APIView):
    authentication_classes = ()
    permission_classes = ()

    def post(self, request: Request, unknown: str, on_failure: str) -> Response:
        serializer = serializer_with(ImageValidator(unknown=unknown, on_failure=on_failure))(data=request.data)
        serializer.is_valid(raise_exception=True)
        image = serializer.validated_data["image"]
        digest = hashlib.sha256(image.read()).hexdigest()
        return Response({"decision": str(image.demure.decision), "sha256": digest, "judged": image.demure.sha256})


urlpatterns = [path("<str:unknown>/<str:on_failure>", Submit.as_view())]


class Site:
    def post(self, form: str, data: bytes) -> Seen:
        assert form in FORMS
        image = django_site.SimpleUploadedFile("picture.png", data, "image/png")
        with override_settings(ROOT_URLCONF=__name__):
            answer = APIClient().post(form, {"image": image})
        if answer.status_code != 200:
            (error,) = answer.data["image"]
            return Seen(answer.status_code, error.code, str(error))
        return Seen(200, None, None, **answer.data)
