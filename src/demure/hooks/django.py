"""For Django's forms and models, and Django REST framework's serializers.

    image = models.ImageField(upload_to="…", validators=[ImageValidator()])

The answer is at `form.cleaned_data["image"].demure` (`serializer.validated_data["image"].demure`): hold back what is unknown.
DEMURE_URL and DEMURE_KEY are settings of Django's, or variables of the environment.
"""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models.fields.files import FieldFile
from django.utils.deconstruct import deconstructible
from django.utils.translation import gettext_lazy

from demure.client import Answer
from demure.hooks import core
from demure.hooks.core import Choice, Refusal, Rules, find_refusal, read_upload
from demure.hooks.judges import judge
from demure.hooks.settings import KEY, URL, find_service

_KEPT = "_demure_kept"  # at an upload: the hash of its bytes, and the answers by what was asked


@deconstructible
class ImageValidator:
    """Refuses what is adult or cannot be read. ValidationError has the code `demure_adult`, `demure_unknown`,
    `demure_unreadable`, `demure_too_large` or `demure_unavailable`.

    A file is judged once, though the form and the model both ask; one that is stored already is not judged again. A subclass
    may have `messages` of its own.
    """

    messages: ClassVar = {code: gettext_lazy(message) for code, message in core.MESSAGES.items()}

    def __init__(
        self,
        *,
        policy: str | None = None,
        context: str | None = None,
        review: bool = False,
        unknown: Choice = "accept",
        on_failure: Choice = "refuse",
        max_bytes: int = Rules.max_bytes,
    ) -> None:
        """As core.Rules. Named here one by one, since migrations write them out."""
        self.rules = Rules(policy, context, review, unknown, on_failure, max_bytes)

    def __call__(self, value: Any) -> None:
        if isinstance(value, FieldFile) and value._committed:  # noqa: SLF001 - Django's own forms look at it too
            return
        upload = value.file if isinstance(value, FieldFile) else value
        answer, gravest = self._answers(upload)
        value.demure = upload.demure = gravest
        refusal = find_refusal(answer, self.rules)
        if refusal is not None:
            raise self._error(refusal, value)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.rules == self.rules

    def __hash__(self) -> int:
        return hash(self.rules)

    def _answers(self, upload: Any) -> tuple[Answer, Answer]:
        """By these rules, and the gravest of all who asked about these bytes: a form may be stricter than its model."""
        if getattr(upload, "size", None) is not None and upload.size > self.rules.max_bytes:
            answer = core.too_large(self.rules.max_bytes)
            return answer, answer
        data = read_upload(upload, self.rules.max_bytes)
        # By the bytes, since a validator before this one may have put others there; and as little is asked anew as can be.
        digest, question = hashlib.sha256(data).digest(), (self.rules.policy, self.rules.context, self.rules.review)
        if getattr(upload, _KEPT, (b"",))[0] != digest:
            setattr(upload, _KEPT, (digest, {}))
        kept: dict[object, Answer] = getattr(upload, _KEPT)[1]
        if question not in kept:
            service = find_service(getattr(settings, URL, None), getattr(settings, KEY, None))
            kept[question] = judge(data, self.rules, service=service)
        return kept[question], max(kept.values(), key=lambda answer: answer.decision.gravity)

    def _error(self, refusal: Refusal, value: Any) -> ValidationError:
        return ValidationError(self.messages[refusal.code], code=refusal.code, params={"value": value})


validate_image = ImageValidator()
