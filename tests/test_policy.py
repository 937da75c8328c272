"""The rule: every shipped policy at both sides of each bound, and what an operator's own file may get wrong."""

from __future__ import annotations

import pytest

from demure.errors import InvalidPolicy, UnknownPolicy
from demure.policy import DEFAULT, Outcome, decide, sort_score, undecided
from demure.policy_file import SHIPPED, find_policy, parse_policy

WITNESSES = {"open_nsfw"}


def row(open_nsfw: float | None = None, **categories: float) -> dict[str, float]:
    """Scores with what is not named left at 0, neutral taking the rest."""
    values = {"drawings": 0.0, "hentai": 0.0, "porn": 0.0, "sexy": 0.0, **categories}
    values.setdefault("neutral", 1 - sum(values.values()))
    return values if open_nsfw is None else {**values, "open_nsfw": open_nsfw}


# policy, open_nsfw, categories, decision, reason
DECISIONS = [
    ("balanced", 0.80, {"porn": 0.85}, "adult", "explicit >= 0.85 and open_nsfw >= 0.8"),
    ("balanced", 0.80, {"porn": 0.5, "hentai": 0.35}, "adult", "explicit >= 0.85 and open_nsfw >= 0.8"),
    ("balanced", 0.79, {"porn": 0.85}, "unknown", "uncertain"),
    ("balanced", 0.80, {"porn": 0.84}, "unknown", "uncertain"),
    ("balanced", 0.20, {"porn": 0.25}, "safe", "risk <= 0.25 and open_nsfw <= 0.2"),
    ("balanced", 0.20, {"sexy": 0.50}, "safe", "risk <= 0.25 and open_nsfw <= 0.2"),
    ("balanced", 0.20, {"sexy": 0.52}, "unknown", "uncertain"),
    ("balanced", 0.21, {"porn": 0.0}, "unknown", "uncertain"),
    ("balanced", 0.10, {"hentai": 0.9}, "unknown", "models_disagree"),
    ("balanced", 0.95, {"drawings": 0.9}, "unknown", "models_disagree"),
    ("balanced", None, {"porn": 1.0}, "unknown", "uncertain"),
    ("balanced", None, {"neutral": 1.0}, "unknown", "uncertain"),
    ("strict", 0.60, {"porn": 0.70}, "adult", "explicit >= 0.7 and open_nsfw >= 0.6"),
    ("strict", 0.10, {"sexy": 0.10}, "safe", "risk <= 0.1 and open_nsfw <= 0.1"),
    ("strict", 0.10, {"sexy": 0.11}, "unknown", "uncertain"),
    ("permissive", 0.90, {"porn": 0.95}, "adult", "explicit >= 0.95 and open_nsfw >= 0.9"),
    ("permissive", 0.89, {"porn": 0.95}, "unknown", "uncertain"),
    ("permissive", 0.50, {"sexy": 1.0}, "safe", "risk <= 0.5 and open_nsfw <= 0.5"),
    ("original", None, {"porn": 0.40, "sexy": 0.30}, "adult", "adult_content >= 0.7"),
    ("original", None, {"porn": 0.40, "sexy": 0.29}, "unknown", "uncertain"),
    ("original", None, {"neutral": 0.70, "drawings": 0.30}, "safe", "neutral >= 0.7"),
    ("original", None, {"neutral": 0.69, "drawings": 0.31}, "unknown", "uncertain"),
    ("original", 0.99, {"neutral": 0.70, "drawings": 0.30}, "safe", "neutral >= 0.7"),
]


@pytest.mark.parametrize(("policy", "witness", "categories", "outcome", "reason"), DECISIONS)
def test_a_shipped_policy_decides(policy, witness, categories, outcome, reason):
    decision = decide(row(witness, **categories), find_policy(policy, WITNESSES))
    assert (decision.outcome, decision.reason, decision.policy) == (outcome, reason, policy)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_policy_is_named_as_its_file_and_has_a_version(name: str):
    policy = find_policy(name, WITNESSES)
    assert policy.name == name
    assert len(policy.version) == 12
    assert decide(row(0.5), policy).policy_version == policy.version


def test_the_shipped_policies_differ_in_version():
    assert len({find_policy(name, WITNESSES).version for name in SHIPPED}) == len(SHIPPED)


def test_the_default_is_the_policy_of_the_design():
    assert DEFAULT == "balanced"


def test_only_the_original_policy_asks_no_witness():
    assert [n for n in SHIPPED if not find_policy(n, WITNESSES).witnesses] == ["original"]


def test_no_values_at_all_are_unknown_under_every_policy():
    assert {decide({}, find_policy(n, WITNESSES)).outcome for n in SHIPPED} == {"unknown"}


def test_an_outcome_is_graver_the_nearer_it_is_to_adult():
    assert Outcome.SAFE.gravity < Outcome.UNKNOWN.gravity < Outcome.ADULT.gravity


def test_what_went_wrong_is_unknown_with_its_code():
    decision = undecided("undecodable", find_policy("strict", WITNESSES))
    assert (decision.outcome, decision.reason, decision.policy) == ("unknown", "undecodable", "strict")


def test_where_both_sections_hold_a_person_decides():
    both = parse_policy('name="x"\n[adult]\nporn={at_least=0.1}\n[safe]\nporn={at_most=0.9}', "x", WITNESSES)
    assert decide(row(porn=0.5), both).outcome == "unknown"
    assert decide(row(porn=0.95), both).outcome == "adult"
    assert decide(row(porn=0.05), both).outcome == "safe"


@pytest.mark.parametrize("section", ["", "[adult]\n", "[safe]\n"])
def test_an_empty_section_never_holds(section: str):
    policy = parse_policy(f'name="x"\n{section}', "x", WITNESSES)
    assert {decide(row(v, porn=v), policy).outcome for v in (0.0, 0.5, 1.0)} == {"unknown"}


def test_a_name_may_have_two_bounds():
    policy = parse_policy('name="x"\n[adult]\nsexy={at_least=0.4, at_most=0.6}', "x", WITNESSES)
    assert [decide(row(sexy=s), policy).outcome for s in (0.3, 0.5, 0.7)] == ["unknown", "adult", "unknown"]


# The larger of risk (porn + hentai + sexy / 2 in `balanced`) and the witness.
@pytest.mark.parametrize(
    ("policy", "values", "score"),
    [
        ("balanced", row(0.1, porn=0.2, sexy=0.2), 0.3),
        ("balanced", row(0.7, porn=0.2, sexy=0.2), 0.7),
        ("strict", row(0.1, porn=0.2, sexy=0.2), 0.4),
        ("original", row(0.7, porn=0.2, sexy=0.2), 0.4),
        ("balanced", {"open_nsfw": 0.4}, 0.4),
        ("balanced", {}, 0.0),
    ],
)
def test_the_number_to_sort_by_is_the_larger_of_risk_and_witness(policy, values, score):
    assert sort_score(values, find_policy(policy, WITNESSES)) == pytest.approx(score)


def test_the_number_to_sort_by_never_passes_one():
    heavy = parse_policy('name="x"\n[sums]\nrisk={porn=5}', "x", WITNESSES)
    assert sort_score(row(porn=1.0), heavy) == 1.0


def test_the_version_depends_on_content_alone():
    def version(text: str) -> str:
        return parse_policy(text, "x", WITNESSES).version

    assert version('name="a"\n[adult]\nporn={at_least=0.5}') == version('name="b"\n# so\n[adult]\nporn={at_least=0.50}')
    assert version('name="a"\n[adult]\nporn={at_least=0.5}') != version('name="a"\n[adult]\nporn={at_least=0.51}')


# text, the key that the message names, what it says was expected
BROKEN = [
    ("name=", "not TOML", ""),
    ("[adult]", "name", "expected a name"),
    ("name=3", "name", "expected a name"),
    ('name="x"\ndescription=3', "description", "expected text"),
    ('name="x"\n[adutl]', "adutl", "unknown key"),
    ('name="x"\nadult=3', "adult", "expected a table"),
    ('name="x"\n[adult]\npron={at_least=0.5}', "adult.pron", "unknown name"),
    ('name="x"\n[adult]\nnudenet={at_least=0.5}', "adult.nudenet", "unknown name"),
    ('name="x"\n[adult]\nporn=0.5', "adult.porn", "expected a table"),
    ('name="x"\n[sums]\nrisk=3', "sums.risk", "expected a table"),
    ('name="x"\n[sums]\nrisk={}', "sums.risk", "weights above 0"),
    ('name="x"\n[sums]\nrisk={porn=-1}', "sums.risk", "weights above 0"),
    ('name="x"\n[sums]\nrisk={porn=0}', "sums.risk", "weights above 0"),
    ('name="x"\n[safe]\nporn={at_most=25}', "safe.porn.at_most", "less than 1"),
    ('name="x"\n[safe]\nporn={at_most=1}', "safe.porn.at_most", "less than 1"),
    ('name="x"\n[safe]\nporn={at_most=-0.1}', "safe.porn.at_most", "at least 0"),
    ('name="x"\n[safe]\nneutral={at_least=0.0}', "safe.neutral.at_least", "more than 0"),
    ('name="x"\n[adult]\nporn={at_least=85}', "adult.porn.at_least", "at most 1"),
    ('name="x"\n[sums]\ns={porn=1, sexy=0.5}\n[adult]\ns={at_least=1.6}', "adult.s.at_least", "at most 1.5"),
    (f'name="x"\n[adult]\nporn={{at_least={"9" * 400}}}', "adult.porn.at_least", "expected a number"),
    ("a=" + "[" * 3000, "not TOML", ""),
    ('name="x"\n[adult]\nporn={}', "adult.porn", "at_least"),
    ('name="x"\n[adult]\nporn={above=0.5}', "adult.porn", "at_least"),
    ('name="x"\n[adult]\nporn={at_least="high"}', "adult.porn.at_least", "expected a number"),
    ('name="x"\n[adult]\nporn={at_least=true}', "adult.porn.at_least", "expected a number"),
    ('name="x"\n[safe]\nporn={at_most=nan}', "safe.porn.at_most", "expected a number"),
    ('name="x"\n[sums]\nrisk={pron=1}', "sums.risk.pron", "unknown name"),
    ('name="x"\n[sums]\nrisk={porn="1"}', "sums.risk.porn", "expected a number"),
    ('name="x"\n[sums]\nporn={hentai=1}', "sums.porn", "must not carry the name of a score"),
]


@pytest.mark.parametrize(("text", "key", "expected"), BROKEN)
def test_a_broken_policy_is_refused_with_file_key_and_what_was_expected(text, key, expected):
    with pytest.raises(InvalidPolicy) as caught:
        parse_policy(text, "site.toml", WITNESSES)
    assert caught.value.message.startswith("site.toml: ")
    assert key in caught.value.message
    assert expected in caught.value.message


def test_an_operators_policy_is_found_by_its_path(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name="mine"\n[adult]\nopen_nsfw={at_least=0.9}')
    policy = find_policy(str(path), WITNESSES)
    assert (policy.name, policy.witnesses) == ("mine", {"open_nsfw"})


def test_an_unknown_policy_is_refused_with_the_known_ones():
    with pytest.raises(UnknownPolicy, match="balanced, strict, permissive, original"):
        find_policy("lenient", WITNESSES)


def test_a_name_with_a_nul_is_refused():
    with pytest.raises(InvalidPolicy, match="cannot be read"):
        find_policy("a\0.toml", WITNESSES)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["absent", "not-text"])
def test_a_policy_file_that_cannot_be_read_is_refused(tmp_path, content):
    path = tmp_path / "mine.toml"
    if content:
        path.write_bytes(content)
    with pytest.raises(InvalidPolicy, match="cannot be read"):
        find_policy(str(path), WITNESSES)
