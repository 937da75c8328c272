"""Whether the policies and the model that the settings name are there, and what the policies promise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from demure.doctor.finding import Finding, note, ok, problem
from demure.errors import InvalidModel, InvalidPolicy, UnknownPolicy
from demure.models import Registry
from demure.policy import Policy
from demure.policy_file import known_policies
from demure.settings import Settings

CHECK = "policy"


def check_policies(settings: Settings) -> Iterator[Finding]:
    try:
        registry = Registry(settings.models_dir)
    except InvalidModel:
        yield note(CHECK, "not looked at: the models that policies name cannot be read", "see weights")
        return
    yield from _model(registry, settings.model)
    try:
        known = known_policies(registry.witnesses, settings.policies_dir, settings.policy)
    except (InvalidPolicy, UnknownPolicy) as error:
        yield problem(CHECK, error.message, "mend that file, or take it out of DEMURE_POLICIES_DIR or DEMURE_POLICY")
        return
    except OSError as error:
        yield problem(CHECK, f"{error.filename}: {error.strerror}", "let the service read DEMURE_POLICIES_DIR")
        return
    yield from _names(known, settings)
    if settings.policy in known:
        yield from judge_promises(known, settings.policy, settings.model)


def _model(registry: Registry, name: str) -> Iterator[Finding]:
    five = [known for known, spec in registry.items() if not spec.is_witness]
    if name not in five:
        what = "a witness, and no five-class model" if name in registry else "not known"
        yield problem(CHECK, f"DEMURE_MODEL={name} is {what}", f"choose one of {', '.join(five)}")


def _names(known: Mapping[str, Policy], settings: Settings) -> Iterator[Finding]:
    named = [("DEMURE_POLICY", settings.policy)]
    named += [(f"DEMURE_CONTEXTS: {context}", policy) for context, policy in settings.contexts.items()]
    for where, name in named:
        if name not in known:
            yield problem(CHECK, f"{where}={name}: no such policy", f"choose one of {', '.join(known)}")


def judge_promises(known: Mapping[str, Policy], default: str, model: str) -> Iterator[Finding]:
    """The default policy's, and every promise that was made with another model."""
    chosen = known[default]
    if chosen.promise is None:
        yield note(
            CHECK,
            f"{chosen.name} decides where nothing else is asked for, and promises nothing about its errors",
            "label some of your own images: demure evaluate tells its errors, demure calibrate makes bounds that keep a promise",
        )
    for policy in {
        policy.name: policy for policy in known.values()
    }.values():  # the default may be there by its path as well
        promise = policy.promise
        if promise is None:
            continue
        if why := promise.void_with(policy.name, model):
            finding = problem if policy.name == chosen.name else note
            yield finding(CHECK, why, f"calibrate it again, or set DEMURE_MODEL={promise.model}")
        else:
            yield ok(CHECK, f"{policy.name} promises {promise.terms}")
