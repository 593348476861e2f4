"""Expressions that read a field which a collector does not give, or mix types, are rejected before they run."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import Field

from bridge.configuration.runbook_checks import Registry, runbook_problems
from bridge.evidence.base import Facts
from bridge.evidence.registry import parameters, results
from bridge.model.runbook import Runbook


def problems(when: str, **verify: Any) -> list[str]:
    document = {
        "name": "shop/web-down",
        "summary": "s",
        "target": {"name": "web"},
        "evidence": {
            "pods": {"collect": "pods"},
            "logs": {"collect": "logs"},
            "rollout": {"collect": "rollout"},
            "health": {"collect": "service"},
            "events": {"collect": "events"},
        },
        "params": {"most": {"default": 1}},
        "scenarios": [{"name": "x", "when": when, "steps": [{"action": "scale"}]}],
        **({"verify": verify} if verify else {}),
    }
    return [text for _, text in runbook_problems(Runbook(**document), Registry(None, parameters(), results()))]


@pytest.mark.parametrize(
    ("when", "near"),
    [
        ("evidence.pods.crashloping > 0", "crashlooping"),
        ("evidence.rollout.last_healthy.revison > 0", "revision"),
        ("evidence.pods.items.exists(p, p.oom_kiled)", "oom_killed"),
        ("evidence.pods.items[0].containers[1].memory_limits > 0.0", "memory_limit"),
        ("evidence.pods.items.filter(p, p.containers.exists(c, c.restart > 3)).size() > 0", "restarts"),
        ("evidence.logs.groups['backend']['api'].x > 1", "it is an int"),
        ("evidence.pods.ready.count > 1", "it is an int"),
        ("evidence.pods['redy'] > 1", "ready"),
    ],
)
def test_a_field_that_no_collector_gives_is_rejected_with_the_nearest_name(when: str, near: str) -> None:
    (text,) = problems(when)
    assert "no such field" in text
    assert near in text


@pytest.mark.parametrize(
    "when",
    [
        "evidence.pods.crashlooping > 0 && evidence.pods.items.size() > params.most",
        "evidence.logs.matches.anything > 3 || evidence.logs.matches['x'] + 1 > 2",
        "evidence.events.reasons.exists(reason, reason == 'BackOff')",
        "evidence.logs.groups.backend.exists(name, name.startsWith('api') && evidence.logs.groups.backend[name] > 5)",
        "evidence.health.data.whatever.deep[3] == 'x'",
        "evidence.rollout.never_ready",
        "evidence.rollout.age_seconds < double(params.most) + 60.0 && now - alert.starts_at > 60.0",
        "evidence.rollout.age_seconds < params.most",
        "evidence.pods.items.all(p, p.age_seconds > 3 && p.restarts + 1 > p.exit_code)",
        "evidence.rollout.image.contains('bad') && !alert.resolved",
        "evidence.pods.ready * 100 / evidence.pods.total < 50",
    ],
)
def test_what_is_right_is_left_alone(when: str) -> None:
    assert problems(when) == []


@pytest.mark.parametrize(
    ("when", "mend"),
    [
        ("evidence.rollout.age_seconds + 60 > now", "60.0 for 60"),
        ("alert.starts_at + 60 > now", "60.0 for 60"),
        ("double(1) > 2.0 && evidence.pods.ready / 2.0 > 1.0", "double(…)"),
        ("evidence.rollout.age_seconds - evidence.pods.ready > 1.0", "double(…)"),
        ("evidence.pods.ready == '3'", "an int and a text"),
        ("evidence.pods.items.exists(p, p.restarts % 2.0 == 0.0)", "double(…)"),
        ("evidence.pods.items[evidence.pods.ready].age_seconds * 2 > 1.0", "double(…)"),
        ("evidence.rollout.complete == 'true'", "a bool and a text"),
        ("evidence.pods.ready", "a condition is true or false"),
        ("evidence.rollout.image", "a condition is true or false"),
    ],
)
def test_types_that_do_not_go_together_are_rejected_with_the_mend(when: str, mend: str) -> None:
    (text,) = problems(when)
    assert mend in text


def test_a_verification_knows_its_own_evidence_and_that_of_the_run() -> None:
    evidence = {"health": {"collect": "rollout"}}
    assert problems("true", evidence=evidence, fixed="evidence.health.complete && evidence.pods.ready > 0") == []
    (text,) = problems("true", evidence=evidence, fixed="evidence.health.ok")
    assert "no such field" in text


async def test_a_result_that_is_not_as_declared_is_missing_and_quotes_nothing() -> None:
    from bridge.errors import PermanentError
    from bridge.evidence.base import BaseCollector
    from bridge.model.runbook import Strict

    class Found(Facts):
        count: int = Field(description="How many.")

    class Liar(BaseCollector):
        name, summary = "liar", "Lies."
        params, result = Strict, Found

        def permissions(self, kind: str, params: Any) -> list[Any]:
            return []

        async def gather(self, context: Any, params: Any) -> Any:
            return params

    assert await Liar().collect(None, {"count": 3}) == {"count": 3}  # type: ignore[arg-type]
    for wrong in ({"count": "hunter2"}, {"count": 1, "more": "hunter2"}, {}):
        with pytest.raises(PermanentError) as caught:
            await Liar().collect(None, wrong)  # type: ignore[arg-type]
        assert "hunter2" not in str(caught.value)
        assert "liar" in str(caught.value)
