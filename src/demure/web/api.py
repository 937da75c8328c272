"""The interface of demure itself: /v1, and whether the service lives and is ready."""

from __future__ import annotations

import secrets
from collections import Counter
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

from demure.checker import Url, within
from demure.fetch import host_of
from demure.policy import Outcome
from demure.screening import Screening
from demure.telemetry import METRICS_TYPE
from demure.web.admission import admitted, engine_of
from demure.web.engine import Job
from demure.web.openapi import MODERATE_BODY, problems
from demure.web.problems import KeyRequired
from demure.web.schemas import Health, ModelFacts, ModerateAnswer, PolicyFacts, Readiness
from demure.web.submission import read_submission

router = APIRouter()


@router.post(
    "/v1/moderate",
    response_model=ModerateAnswer,
    responses=problems("moderate"),
    openapi_extra=MODERATE_BODY,
    tags=["moderate"],
)
async def moderate(request: Request) -> Response:
    """Judge one image or several: JSON with URLs or base64, a form with files, or the bytes of one image.

    An image that cannot be judged is answered `unknown` with its own `error`, and fails no other. With `review`, for which a key
    is needed, an unknown one is put before a person.
    """
    with admitted(request) as engine:
        submission = await within(request.state.deadline, read_submission(request, engine))
        if submission.review and not hasattr(request.state, "key"):
            raise KeyRequired("review: a key is needed to ask people; make one with `demure keys create`")
        jobs = submission.jobs(engine)
        request.state.places.grow(len(jobs) - 1)  # one is held since before the body was read
        screenings = await engine.judge(request, jobs)
        request.state.log.update(log_fields(jobs, screenings))
        policy = engine.screener(submission.policy, submission.context).policy
        return JSONResponse(
            {
                "id": secrets.token_hex(12),
                "model": engine.settings.model,
                "policy": policy.name,
                "policy_version": policy.version,
                "items": [screening.as_dict() for screening in screenings],
            }
        )


@router.get("/v1/models", tags=["moderate"], responses=problems("any"))
async def list_models(request: Request) -> list[ModelFacts]:
    """The models that there are; DEMURE_SERVED_MODELS says which may be asked by name."""
    engine = engine_of(request)
    return [
        ModelFacts(
            name=spec.name,
            kind="witness" if spec.is_witness else "categories",
            default=spec.name == engine.settings.model,
            licence=spec.licence,
            source=spec.source,
            sha256=spec.sha256,
            description=spec.description,
        )
        for spec in engine.classifiers.registry.values()
    ]


@router.get("/v1/policies", tags=["moderate"], responses=problems("any"))
async def list_policies(request: Request) -> list[PolicyFacts]:
    """The policies that can be named, with their rules in words."""
    engine = engine_of(request)
    return [
        PolicyFacts(
            name=name,
            version=policy.version,
            default=name == engine.settings.policy,
            adult=policy.rule(Outcome.ADULT),
            safe=policy.rule(Outcome.SAFE),
            description=policy.description,
        )
        for name, policy in engine.policies.items()
    ]


@router.head("/livez", include_in_schema=False)
@router.get("/livez", tags=["operate"])
async def livez() -> Health:
    """Whether the process answers."""
    return Health()


@router.get("/readyz", tags=["operate"], responses={503: {"model": Readiness, "description": "Not ready yet."}})
async def readyz(request: Request, response: Response) -> Readiness:
    """Whether an image would be judged now: weights loaded, a decoder alive, the database there."""
    engine = engine_of(request)
    storage = await engine.desk.run(engine.desk.database.answers)
    parts = {"weights": engine.loaded, "sandbox": engine.sandbox.ready, "storage": storage}
    if not all(parts.values()):
        response.status_code = 503
    return Readiness(ready=all(parts.values()), **parts, warnings=engine.warnings)


@router.get("/metrics", tags=["operate"], response_class=Response, responses=problems("any"))
async def metrics(request: Request) -> Response:
    """Prometheus text format, of all workers together."""
    return Response(engine_of(request).metrics.render(), media_type=METRICS_TYPE)


def log_fields(jobs: list[Job], screenings: list[Screening]) -> dict[str, Any]:
    """What the one log line of this request tells."""
    if len(screenings) != 1:
        counts = Counter(str(screening.decision) for screening in screenings)
        return {"event": "screened", "items": len(screenings), **{str(o): counts[o] for o in Outcome}}
    (job,), (screening,) = jobs, screenings
    fields = {
        "event": "screened",
        "decision": str(screening.decision),
        "reason": screening.reason,
        "score": screening.score,
        "sha256": screening.sha256,
    }
    return {**fields, "host": host_of(job.source.text)} if isinstance(job.source, Url) else fields
