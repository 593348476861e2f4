"""What cannot be in a runbook's attempts, waits, loops and lists is found before anything runs, and named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bridge.actions.registry import parameters as actions
from bridge.configuration import load
from bridge.configuration.runbook_checks import Registry, runbook_problems
from bridge.errors import ConfigurationError
from bridge.evidence.registry import parameters, results
from bridge.model.runbook import MOST_STEPS, Runbook, Scenario, Step, Wait

SET: dict[str, Any] = {"action": "scale", "with": {"replicas": 3}}


def document(*scenarios: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": "shop/web-down",
        "summary": "s",
        "target": {"name": "web"},
        "evidence": {"pods": {"collect": "pods"}},
        "verify": {"fixed": "evidence.pods.ready > 0"},
        "scenarios": list(scenarios),
        **more,
    }


def problems(*scenarios: dict[str, Any], **more: Any) -> list[str]:
    book = Runbook.model_validate(document(*scenarios, **more))
    found = runbook_problems(book, Registry(None, parameters(), results()))
    return [f"{'.'.join(map(str, place))}: {text}" for place, text in found]


def steps(*these: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "a", "otherwise": True, "steps": list(these), **more}


def tries(*attempts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "a", "otherwise": True, "try": list(attempts), **more}


# -- the schema


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({}, "either `action:` or `wait:`"),
        ({**SET, "wait": {"for": "3s"}}, "either `action:` or `wait:`"),
        ({"wait": {"for": "3s"}, "with": {"x": 1}}, "a wait takes no `with:`"),
        ({"wait": {"for": "3s"}, "for_each": ["x"]}, "a wait takes no `for_each:`"),
        ({"wait": {}}, "either `for:` with a time or `until:`"),
        ({"wait": {"for": "3s", "until": "true", "within": "3s"}}, "either `for:` with a time or `until:`"),
        ({"wait": {"until": "true"}}, "needs `within:`"),
        ({"wait": {"for": "2d"}}, "less than or equal to 86400"),
        ({**SET, "at_most": 3}, "belong to `for_each:`"),
        ({**SET, "parallel": 3}, "belong to `for_each:`"),
        ({**SET, "for_each": ["x"], "loop": {"until": "true", "at_most": 2}}, "one of `for_each:` and `loop:`"),
        ({**SET, "loop": {"until": "true"}}, "Field required"),
        ({**SET, "loop": {"until": "true", "at_most": 51}}, "less than or equal to 50"),
        ({**SET, "for_each": ["x"], "at_most": 101}, "less than or equal to 100"),
        ({**SET, "hold": "3m"}, "it needs `until:`"),
        ({**SET, "hold": "3m", "until": "2m"}, "longer than `until:`"),
        ({**SET, "keep": True, "until": "2m"}, "leave one of them out"),
        ({"wait": {"for": "3s"}, "keep": True}, "a wait takes no `keep:`"),
        ({**SET, "id": "not a word"}, "should match pattern"),
    ],
)
def test_a_step_that_contradicts_itself_is_refused(step: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Step.model_validate(step)


def test_a_scenario_has_steps_or_attempts() -> None:
    for wrong in ({}, {"steps": [SET], "try": [{"name": "x", "steps": [SET]}]}, {"try": []}):
        with pytest.raises(ValidationError, match="either `steps:` or `try:`"):
            Scenario.model_validate({"name": "a", "otherwise": True, **wrong})


def test_what_a_scenario_can_come_to_is_bounded() -> None:
    large = [{**SET, "for_each": "${targets}", "at_most": 100} for _ in range(6)]
    with pytest.raises(ValidationError, match=f"can come to 600: at most {MOST_STEPS}"):
        Scenario.model_validate(steps(*large))


def test_what_was_stored_reads_back_the_same() -> None:
    """The resolved runbook is kept with the run, with every default written out."""
    wait = {"wait": {"until": "evidence.pods.ready > 0", "within": "60s", "otherwise": "continue"}, "id": "w"}
    each = {**SET, "for_each": "${targets}", "parallel": 2, "when": "steps.w.met"}
    loop = {**SET, "loop": {"until": "evidence.pods.ready > 0", "at_most": 3}}
    attempts = tries({"name": "x", "steps": [wait, each]}, {"name": "y", "steps": [loop], "verify_within": "5m"})
    book = Runbook.model_validate(document(attempts, target={"name": "web", "at_most": 5}))
    again = Runbook.model_validate(book.model_dump(mode="json", by_alias=True))
    assert again == book


def test_every_field_is_described_for_editors() -> None:
    schema = Runbook.model_json_schema()
    models = {"Runbook": schema, **schema["$defs"]}
    silent = [
        f"{name}.{key}"
        for name, model in models.items()
        for key, field in model.get("properties", {}).items()
        if not field.get("description")
    ]
    assert silent == []
    assert Wait.model_json_schema()["properties"]["for"]["anyOf"]


# -- names, expressions, things that cannot be reached


@pytest.mark.parametrize(
    ("scenario", "problem"),
    [
        (steps({**SET, "when": "steps.count.rows > 1"}), "scenarios.0.steps.0.when: `steps.count.rows` in"),
        (
            steps({"id": "a", **SET}, {"id": "a", **SET}),
            "scenarios.0.steps.1.id: a step before it has the id 'a' too",
        ),
        (
            steps({"action": "x", "when": "steps.later.changed"}, {"id": "later", **SET}),
            "no step before this one has the id later",
        ),
        (steps({"action": "x", "with": {"n": "${item}"}}), "0.with.n: `item` in `item`: item is not known here"),
        (
            steps({"id": "w", "wait": {"for": "3s"}}, {**SET, "when": "steps.w.rows > 3"}),
            "`steps.w.rows` in `steps.w.rows > 3`: there is no such field",
        ),
        (
            steps({**SET, "with": {"name": "${item.nam}"}, "for_each": "${targets}"}),
            "did you mean name?",
        ),
        (
            steps({**SET, "with": {"name": "${item.nam}"}, "for_each": "${evidence.pods.items}"}),
            "`item.nam` in `item.nam`: item has no nam; did you mean name?",
        ),
        (steps({**SET, "for_each": "${evidence.pods.ready}"}), "is of type int: it has to give a list"),
        (steps({**SET, "for_each": "a, b"}), "expected a list, or one `${…}` that gives one"),
        (steps({**SET, "for_each": "x${targets}"}), "expected a list, or one `${…}` that gives one"),
        (steps({**SET, "for_each": ["a", "b", "c"], "at_most": 2}), "there are 3 items, and the step takes 2"),
        (steps({**SET, "for_each": ["${evidence.nodes}"]}), "the runbook gathers no evidence called nodes"),
        (steps({**SET, "for_each": "${targets}", "parallel": 11}), "11 at once are more than the step takes"),
        (
            steps({"wait": {"until": "params.x == 1", "within": "3s"}}),
            "scenarios.0.steps.0.wait.until: `params.x` in",
        ),
        (
            steps({"wait": {"until": "labels.x == 'y'", "within": "3s"}}),
            "reads nothing that changes while it is waited for: let it read evidence",
        ),
        (
            steps({**SET, "loop": {"until": "evidence.pods.redy > 1", "at_most": 2}}),
            "scenarios.0.steps.0.loop.until: `evidence.pods.redy` in",
        ),
        (tries({"name": "x", "when": "evidence.pod > 1", "steps": [SET]}), "scenarios.0.try.0.when: `evidence.pod`"),
        (
            tries({"name": "x", "steps": [SET]}, {"name": "x", "steps": [SET]}),
            "scenarios.0.try.1.name: an attempt before it is called 'x' too",
        ),
        (tries({"name": "", "steps": [SET]}), "scenarios.0.try.0.name: an attempt needs a name"),
        (
            tries(
                {"name": "x", "steps": [{"id": "s", **SET}]},
                {"name": "y", "steps": [{**SET, "when": "steps.s.changed"}]},
            ),
            "no step before this one has the id s",
        ),
        (steps(SET, on_not_fixed="next"), "scenarios.0.on_not_fixed: there is no scenario after this one"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named_with_its_place_and_the_mend(scenario: dict[str, Any], problem: str) -> None:
    (found,) = problems(scenario)
    assert problem in found


def test_attempts_need_a_proof() -> None:
    (found,) = problems(tries({"name": "x", "steps": [SET]}), verify=None)
    assert found == "scenarios.0.try: what helped is said by the runbook's `verify`, and it has none: add one"


def test_a_scenario_after_otherwise_is_reached_only_by_falling_through() -> None:
    last = {"name": "b", "when": "evidence.pods.ready == 0", "steps": [SET]}
    assert problems(steps(SET, on_not_fixed="next"), last) == []
    assert "never reached" in problems(steps(SET), last)[0]


def test_a_runbook_for_several_targets_has_to_mend_all_of_them() -> None:
    several = {"name": "web", "at_most": 20}
    assert "only the first would be mended" in problems(steps(SET), target=several)[0]
    few = {**SET, "for_each": "${targets}"}
    assert (
        "up to 20 targets may join (`target.at_most`), and the step takes 10"
        in (problems(steps(few), target=several)[0])
    )
    assert problems(steps({**few, "at_most": 20}), target=several) == []
    assert problems(steps({"action": "x", "with": {"names": "${targets.map(t, t.name)}"}}), target=several) == []


def test_what_is_right_has_no_problems() -> None:
    wait = {"id": "itself", "wait": {"until": "evidence.pods.ready > 0", "within": "60s", "otherwise": "continue"}}
    pods = {**SET, "with": {"name": "${item.name}"}, "for_each": "${evidence.pods.items.filter(p, !p.ready)}"}
    loop = {**SET, "id": "grow", "loop": {"until": "steps.grow.rounds > 2", "at_most": 3}}
    scenario = tries({"name": "x", "steps": [wait, {**SET, "when": "!steps.itself.met"}, pods, loop]})
    assert problems(scenario) == []


def test_a_mistake_in_an_attempt_is_named_with_line_and_column(tmp_path: Path) -> None:
    text = """\
name: shop/web
summary: s
target: {name: web}
evidence: {pods: {collect: pods}}
scenarios:
- name: down
  otherwise: true
  try:
  - name: restart
    steps:
    - wait: {until: evidence.pod.ready > 0, within: 1m}
    - action: rollout_restrat
verify: {fixed: evidence.pods.ready > 0}
"""
    (tmp_path / "runbooks").mkdir()
    (tmp_path / "runbooks" / "web.yml").write_text(text)
    (tmp_path / "bridge.yml").write_text("runbooks: [runbooks]\nalerts: {Down: shop/web}\n")
    with pytest.raises(ConfigurationError) as found:
        load(tmp_path / "bridge.yml", actions=actions(), collectors=parameters())
    first, second = found.value.problems
    assert "web.yml:11:14: scenarios[0].try[0].steps[0].wait.until: `evidence.pod.ready`" in first
    assert "web.yml:12:7: scenarios[0].try[0].steps[1].action: there is no action called 'rollout_restrat'" in second


def test_steps_of_which_none_has_to_help_need_a_proof() -> None:
    optional = {**SET, "on_failed": "continue"}
    (found,) = problems(steps(optional, optional), verify=None)
    assert found.startswith("scenarios.0.steps: no step of these has to help")
    assert not problems(steps(optional))
    assert not problems(steps(optional, SET), verify=None)
    with pytest.raises(ValidationError, match="a wait takes no `on_failed:`"):
        Step.model_validate({"wait": {"for": "5s"}, "on_failed": "continue"})
