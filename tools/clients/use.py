"""A small use of the generated package: mypy refuses it when the document no longer says what a caller relies on."""

from __future__ import annotations

from io import BytesIO

from demure_client import AuthenticatedClient
from demure_client.api.moderate import moderate_v1_moderate_post
from demure_client.models import ModerateAnswer, Problem
from demure_client.types import File


def may_be_shown(client: AuthenticatedClient, image: bytes) -> bool:
    answer = moderate_v1_moderate_post.sync(client=client, body=File(payload=BytesIO(image)), context="avatar")
    if isinstance(answer, ModerateAnswer):
        return all(item.decision == "safe" for item in answer.items)
    if isinstance(answer, Problem):
        code: str = answer.code
        raise RuntimeError(f"{code}: {answer.detail}")
    raise RuntimeError("an answer that the document does not know")
