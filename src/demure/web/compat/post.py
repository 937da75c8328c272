"""`POST /predict?url=…` and `GET /health`, as KevinColemanInc/NSFW-FLASK has them (README.md and app.py, 2022)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from demure.web.admission import admitted
from demure.web.openapi import problems
from demure.web.schemas import FiveScores, Health

router = APIRouter(tags=["the original two calls"])

UrlQuery = Annotated[
    str, Query(description="http or https; where the image is", examples=["https://example.org/picture.jpg"])
]


@router.head("/health", include_in_schema=False)
@router.get("/health")
async def health() -> Health:
    """Whether the service answers at all."""
    return Health()


@router.post("/predict", response_model=FiveScores, responses=problems("image"))
async def predict(request: Request, url: UrlQuery) -> dict[str, float]:
    """Five scores of the default model for the image at a URL; of an animated one, those of the frame with the most risk."""
    with admitted(request) as engine:
        return dict(await engine.predict(request, engine.settings.model, url))


@router.post("/models/{name}/predict", responses=problems("image", "unknown_model"))
async def predict_with_model(request: Request, name: str, url: UrlQuery) -> dict[str, float]:
    """The same by another model: five scores, or a witness's one under its own name."""
    with admitted(request) as engine:
        return dict(await engine.predict(request, name, url))
