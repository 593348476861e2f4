"""A runbook that uses scenarios of others is, once loaded, as if it had been written in one file."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.actions import registry as actions
from bridge.configuration import load
from bridge.configuration.holder import LoadFailed
from bridge.engine.choose import choose
from bridge.evidence import registry as evidence
from bridge.model.mode import Mode
from bridge.model.runbook import Runbook

LATENCY = """
summary: s
target: {name: gateway}
mode: approve
approvers: 2
params:
  ttl: {default: 60}
  config: {default: netweave-config}
  unread: {default: 1}
evidence:
  config: {collect: configmap, with: {configmap: "${params.config}"}}
  pods: {collect: pods}
  rollout: {collect: rollout}
scenarios:
  - name: "A: pods"
    when: evidence.pods.ready == 0
    steps: [{action: rollout_restart}]
  - name: "B: cache"
    when: evidence.config.data.ttl != string(params.ttl)
    steps:
      - {action: configmap_patch, with: {name: "${params.config}", set: {ttl: "${string(params.ttl)}"}}, mode: auto}
      - {wait: {until: evidence.rollout.complete, within: 60s}}
    on_not_fixed: next
  - name: left
    otherwise: true
    escalate: "See ${evidence.pods.ready}."
"""


def read(folder: Path, *, latency: str = LATENCY, routes: str = "", **books: str) -> dict[str, Runbook]:
    (folder / "runbooks" / "net").mkdir(parents=True, exist_ok=True)
    for name, text in {"latency": latency, **books}.items():
        (folder / "runbooks" / "net" / f"{name}.yml").write_text(text)
    (folder / "bridge.yml").write_text(f"runbooks: [runbooks]\n{routes}")
    found = load(folder / "bridge.yml", actions=actions.parameters(), collectors=evidence.parameters())
    return dict(found.runbooks)


def mistakes(folder: Path, **given: str) -> list[str]:
    with pytest.raises(LoadFailed) as failed:
        read(folder, **given)
    return [problem.replace(f"{folder}/runbooks/net/", "") for problem in failed.value.problems]


CACHE = """
summary: s
target: {name: gateway}
scenarios:
  - {use: net/latency, scenario: "B: cache", with: {ttl: 30}, when: "'tier' in labels"}
"""


def test_a_used_scenario_brings_the_evidence_and_the_parameters_that_it_reads_and_no_others(tmp_path: Path) -> None:
    book = read(tmp_path, cache=CACHE)["net/cache"]
    assert [scenario.name for scenario in book.scenarios] == ["B: cache"]
    assert book.evidence.keys() == {"config", "rollout"}
    assert {name: each.default for name, each in book.params.items()} == {"ttl": 30, "config": "netweave-config"}
    scenario = book.scenarios[0]
    assert scenario.when == "('tier' in labels) && (evidence.config.data.ttl != string(params.ttl))"
    assert scenario.on_not_fixed == "escalate", "elsewhere others follow it"


def test_it_goes_no_further_than_where_it_comes_from(tmp_path: Path) -> None:
    book = read(tmp_path, cache=CACHE)["net/cache"]
    assert {step.mode for step in book.scenarios[0].all_steps} == {Mode.APPROVE}
    assert book.approvers == 2


def test_it_is_named_by_its_origin_where_it_is_chosen_also_when_read_back(tmp_path: Path) -> None:
    books = read(tmp_path, cache=CACHE, more="summary: s\ntarget: {name: x}\nscenarios: [{use: net/cache}]\n")
    for name in ("net/cache", "net/more"):
        book = Runbook.model_validate(books[name].model_dump(mode="json", by_alias=True))
        known = {"labels": {"tier": "1"}, "params": {"ttl": 30}, "evidence": {"config": {"data": {"ttl": "60"}}}}
        assert choose(book.scenarios, known).why.startswith("B: cache (of net/latency): ")


def test_all_scenarios_are_used_in_their_order_among_the_own_ones(tmp_path: Path) -> None:
    own = '{name: own, when: "true", steps: [{action: rollout_restart}]}'
    text = (
        f"summary: s\ntarget: {{name: x}}\nscenarios:\n  - {own}\n  - {{use: net/latency, when: 'params.ttl > 1'}}\n"
    )
    book = read(tmp_path, crash=text)["net/crash"]
    assert [scenario.name for scenario in book.scenarios] == ["own", "A: pods", "B: cache", "left"]
    assert [scenario.of for scenario in book.scenarios] == ["", *["net/latency"] * 3]
    left = book.scenarios[-1]
    assert left.when == "params.ttl > 1"
    assert not left.otherwise


def test_what_the_runbook_declares_itself_counts_for_what_it_uses(tmp_path: Path) -> None:
    book = read(tmp_path, cache=CACHE.replace("with: {ttl: 30}, ", "") + "params: {ttl: {default: 5}}\n")["net/cache"]
    assert book.params["ttl"].default == 5


def test_a_library_has_no_target_and_is_no_runbook(tmp_path: Path) -> None:
    library = LATENCY.replace("target: {name: gateway}", "library: true")
    assert read(tmp_path, latency=library, cache=CACHE).keys() == {"net/cache"}


def test_no_route_leads_to_a_library(tmp_path: Path) -> None:
    library = LATENCY.replace("target: {name: gateway}", "library: true")
    found = mistakes(tmp_path, latency=library, routes="alerts: {Slow: net/latency}\n")
    assert found == [
        f"{tmp_path}/bridge.yml:2:10: alerts.Slow.runbook: is a library, without a target: "
        "name a runbook that says `use:`"
    ]


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (("net/latency", "net/latenzy"), "5:5: scenarios[0]: no runbook is called 'net/latenzy'; did you mean"),
        (('"B: cache"', '"B: cash"'), "scenarios[0]: net/latency has no scenario 'B: cash'; did you mean B: cache?"),
        (("ttl: 30", "tll: 30"), "scenarios[0]: net/latency has no parameter 'tll'; did you mean ttl?"),
        (("'tier' in", "tier in"), "5:5: scenarios[0]: of net/latency: when: `tier` in"),
        (("when:", "wenn:"), "scenarios[0].wenn: is an unknown key; did you mean when?"),
        (("summary: s", "summary: s\nparams: {ttl: {default: 1}}"), "'ttl' is declared by this runbook"),
        (
            ("summary: s", "summary: s\nevidence: {rollout: {collect: rollout, with: {name: other}}}"),
            "scenarios[0]: the evidence 'rollout' is gathered otherwise by net/latency: give one of them",
        ),
        (
            ("scenarios:", 'scenarios:\n  - {name: "B: cache", when: "false", escalate: x}'),
            "6:5: scenarios[1]: of net/latency: name: a scenario before it is called 'B: cache' too: rename one",
        ),
        (
            ("scenarios:", 'scenarios:\n  - {use: net/latency, scenario: "A: pods", with: {ttl: 5}}'),
            "the parameter 'ttl' has another default in net/latency than in what is used before it: declare it",
        ),
    ],
)
def test_what_does_not_fit_is_told_where_it_is_used(changed: tuple[str, str], problem: str, tmp_path: Path) -> None:
    found = mistakes(tmp_path, cache=CACHE.replace(*changed))
    assert len(found) == 1
    assert found[0].startswith("cache.yml:")
    assert problem in found[0]


def test_a_mistake_of_what_is_used_is_told_once_and_there(tmp_path: Path) -> None:
    wrong = LATENCY.replace("evidence.pods.ready == 0", "evidence.pots.ready == 0")
    found = mistakes(tmp_path, latency=wrong, all="summary: s\ntarget: {name: x}\nscenarios: [{use: net/latency}]\n")
    assert len(found) == 1
    assert found[0].startswith("latency.yml:16:5: scenarios[0].when: ")


def test_mistakes_behind_a_use_are_told_at_their_own_lines(tmp_path: Path) -> None:
    text = "summary: s\ntarget: {name: x}\nscenarios:\n  - {use: net/latency, when: 'true'}\n  - {name: y, whn: z}\n"
    found = mistakes(tmp_path, more=text)
    assert any(one.startswith("more.yml:5:15: scenarios[1].whn: is an unknown key") for one in found)


def test_a_runbook_that_a_step_runs_has_to_be_there_with_the_parameters_that_it_gets(tmp_path: Path) -> None:
    unknown = "{action: runbook, with: {runbook: net/latensy}}"
    step = f"{unknown}, {{action: runbook, with: {{runbook: net/latency, params: {{tl: 5}}}}}}"
    text = f"summary: s\ntarget: {{name: x}}\nscenarios: [{{name: a, otherwise: true, steps: [{step}]}}]\n"
    assert [one.partition(": ")[2] for one in mistakes(tmp_path, a=text)] == [
        "scenarios[0].steps[0].with.runbook: no runbook is called 'net/latensy'; did you mean net/latency?",
        "scenarios[0].steps[1].with.params.tl: net/latency has no parameter 'tl'; did you mean ttl?",
    ]


def test_a_runbook_that_uses_itself_over_others_is_an_error_that_shows_the_way(tmp_path: Path) -> None:
    a = "summary: s\ntarget: {name: x}\nscenarios: [{use: net/b}]\n"
    found = mistakes(tmp_path, a=a, b=a.replace("net/b", "net/a"))
    assert len(found) == 1
    assert "net/a uses net/b uses net/a: put what they share into a library" in found[0]
