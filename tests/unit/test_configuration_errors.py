"""Every mistake is told at once, each with file, line, column, key and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.configuration import RUNBOOK, Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    folder.write("runbooks/shop/web.yml", RUNBOOK)
    return folder


def test_every_mistake_of_every_file_is_told_at_once_with_its_place(folder: Folder) -> None:
    folder.write(
        "bridge.yml",
        """\
        mode: atuo
        lisen: {port: 1}
        listen: {host: 0.0.0.0, port: 99999}
        route:
          receiver: team
          routes:
            - matchers: ['alertname="A"', 'severity=~"["']
              runbook: shop/wbe
            - matchers: ['alertname="B"']
              runbook: shop/web
              params: {replcas: 3}
              mute_time_intervals: [nights]
              cooldown: ten minutes
            - runbook: shop/web
        alerts:
          C: shop/web
          C: shop/web
        """,
    )
    folder.write(
        "runbooks/shop/db.yml",
        """\
        summary: Wrong in many ways.
        target: {name: "${label.app}"}
        evidence:
          log: {collect: logs, with: {lines: many}}
        scenarios:
          - name: one
            when: evidence.pods.ready == 0
            steps: [{action: restrat}]
          - name: two
            when: evidence.log.size() >
            steps: [{action: restart, with: {grace: soon, colour: red}}]
          - {name: three, otherwise: true, steps: [{action: undo}]}
          - {name: four, otherwise: true, steps: [{action: undo}]}
        verify: {fixed: params.x == 1}
        """,
    )
    assert folder.problems() == [
        "bridge.yml:1:1: mode: expected 'observe', 'approve' or 'auto', got 'atuo'",
        "bridge.yml:2:1: lisen: is an unknown key; did you mean listen?",
        "bridge.yml:3:10: listen.host: refuses to listen on 0.0.0.0 without a credential: anybody there could act;"
        " add one to `credentials`",
        "bridge.yml:3:25: listen.port: expected less than or equal to 65535, got 99999",
        "bridge.yml:5:3: route.receiver: is not a key of alertbridge: alertbridge mends and doesn't notify by"
        " routes: name a `runbook`, keep receivers in Alertmanager",
        'bridge.yml:7:35: route.routes[0].matchers[1]: matcher `severity=~"["`: regular expression `[`:'
        " missing ]: [)$",
        "bridge.yml:8:7: route.routes[0].runbook: no runbook is called 'shop/wbe'; did you mean shop/web?",
        "bridge.yml:11:16: route.routes[1].params.replcas: runbook shop/web has no parameter 'replcas'; did you mean"
        " replicas?",
        "bridge.yml:12:29: route.routes[1].mute_time_intervals[0]: no time interval is called 'nights'",
        "bridge.yml:13:7: route.routes[1].cooldown: expected a duration such as 30s, 5m or 1h30m, got 'ten minutes'",
        "bridge.yml:14:7: route.routes[2].matchers: a route below the root needs a matcher, or it would take every"
        " alert",
        "bridge.yml:17:3: alerts.C: the key is there twice, first in line 16",
        "runbooks/shop/db.yml:2:10: target.name: `label.app` in `label.app`: label is not known here; did you mean"
        " labels?",
        "runbooks/shop/db.yml:4:24: evidence.log.with.pod: is required",
        "runbooks/shop/db.yml:4:31: evidence.log.with.lines: expected an integer, got 'many'",
        "runbooks/shop/db.yml:7:5: scenarios[0].when: `evidence.pods.ready` in `evidence.pods.ready == 0`: the"
        " runbook gathers no evidence called pods; known are log",
        "runbooks/shop/db.yml:8:14: scenarios[0].steps[0].action: there is no action called 'restrat'; did you mean"
        " restart?",
        "runbooks/shop/db.yml:10:5: scenarios[1].when: `evidence.log.size() >` is not CEL: 1:22: Syntax error:"
        " mismatched input '<EOF>'",
        "runbooks/shop/db.yml:11:38: scenarios[1].steps[0].with.grace: expected an integer, got 'soon'",
        "runbooks/shop/db.yml:11:51: scenarios[1].steps[0].with.colour: is an unknown key; known are grace, note",
        "runbooks/shop/db.yml:13:5: scenarios[3]: is never reached: 'three' before it says `otherwise`",
        "runbooks/shop/db.yml:14:10: verify.fixed: `params.x` in `params.x == 1`: the runbook declares no parameter"
        " called x",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [1", "bridge.yml:1:6: is not YAML: while parsing a flow sequence expected ',' or ']'"),
        ("mode: observe\n\tx: 1", "bridge.yml:2:1: is not YAML"),
        ("mode: observe\n---\nmode: auto", "bridge.yml:2:1: is not YAML: expected a single document"),
        ("mode: !!python/name:os.system x", "bridge.yml:1:7: mode: the tag tag:yaml.org,2002:python/name:os.system"),
        ("mode: *nowhere", "bridge.yml:1:7: is not YAML: found undefined alias"),
        ("[1, 2]", "bridge.yml:1:1: expected a mapping, got [1, 2]"),
        ("claim: .nan", "bridge.yml:1:8: claim: is no number that can be used"),
        ("? [a]\n: 1", "bridge.yml:1:3: a key has to be a text"),
        ("runbooks: nowhere", "bridge.yml:1:1: runbooks[0]: no runbook is there: nowhere"),
        ("include: [nowhere.yml]", "bridge.yml:1:11: include[0]: no file is there: nowhere.yml"),
        ("receivers: []", "bridge.yml:1:1: receivers: is not a key of alertbridge: keep receivers in Alertmanager"),
        ("limits: {header_timeout: 8s, body_timeout: 8s}", "limits: header_timeout and body_timeout together"),
        ("redis: {url: 'redis://:geheim@r:6379'}", "a secret is never written into the configuration"),
        ("redis: {password: geheim}", "a secret is never written into the configuration: name its place by"),
        ("redis: {url: 'redis://r', cluster: 'redis://r'}", "expected one of `url`, `sentinel` and `cluster`"),
        ("prometheus: {url: 'http://u:p@h'}", "prometheus.url: a URL here holds no user and no password"),
        ("clusters: {default: x}", "clusters: default: no connection is called 'x'"),
        (
            "credentials: [{name: a, type: bearer, token: geheim, secret_env: X}]",
            "never written into the configuration",
        ),
        ("credentials: [{name: a, type: bearer}]", "credentials[0]: expected `secret_file` or `secret_env`"),
        ("credentials: [{name: a, type: bearer, secret_env: A}]", "the environment variable A is not set"),
        ("credentials: [{name: a, type: bearer, secret_file: no}]", "credentials[0].secret_file[0]: "),
        ("credentials: [{name: local, type: bearer, secret_env: A}]", "'local' is whoever calls while there are no"),
        ("credentials: [{name: a, type: certificate, subjects: a}]", "certificates need `listen.tls.client_ca_file`"),
        ("route: {runbook: shop/web}", "route.runbook: the root has no runbook"),
        ("route: {matchers: ['a=b']}", "route.matchers: the root takes every alert"),
        ("route: {continue: true}", "route.continue: the root cannot have this"),
        ("route: {routes: [{matchers: [a=b]}]}", "route.routes[0]: names no runbook; write `runbook: null`"),
        ("route: {routes: [{matchers: [{a: b}], runbook: null}]}", "expected a text such as `severity="),
        (
            "route: {routes: [{match: {a: b}, runbook: null}]}",
            "match: is not a key of alertbridge: write `matchers:`",
        ),
        ("route: {group_by: [a, a]}", "route.group_by: a label is named twice"),
        ("route: {group_by: ['...', a]}", "route.group_by: `...` groups by all labels"),
        ("alerts: {A: {runbook: shop/web, params: {replicas: '${evidence.x}'}}}", "evidence is not known here"),
        ("alerts: {A: {runbook: shop/web, params: {replicas: '${labels.'}}}", "is not closed"),
    ],
)
def test_one_mistake_is_one_line(folder: Folder, text: str, problem: str) -> None:
    folder.write("bridge.yml", text)
    found = folder.problems()
    assert any(problem in line for line in found), found
    assert not any("geheim" in line for line in found)


def test_what_is_wrong_in_one_place_hides_nothing_in_another(folder: Folder) -> None:
    folder.write(
        "bridge.yml",
        """\
        prometheus: {url: nowhere, timeout: 900h}
        credentials: [{name: x}, {name: a, type: bearer, secret_env: A}]
        alerts: {A: {runbook: shop/web, cooldown: -1}, B: no/such}
        """,
    )
    lines = [line.split(": ", 2)[1] for line in folder.problems()]
    assert lines == [
        "prometheus.url",
        "prometheus.timeout",
        "credentials[0].type",
        "alerts.A.cooldown",
        "alerts.B.runbook",
    ]


def test_a_required_parameter_has_to_be_set_by_a_route(folder: Folder) -> None:
    folder.write("runbooks/shop/need.yml", RUNBOOK.replace("{default: 3}", "{required: true}"))
    folder.write("bridge.yml", "alerts: {A: shop/need, B: {runbook: shop/need, params: {replicas: 1}}}")
    assert folder.problems() == ["bridge.yml:1:10: alerts.A.params: runbook shop/need needs the parameter 'replicas'"]


@pytest.mark.parametrize("value", ['"3"', "true"])
def test_a_parameter_is_of_the_kind_of_its_default(folder: Folder, value: str) -> None:
    folder.write("bridge.yml", f"alerts: {{A: {{runbook: shop/web, params: {{replicas: {value}}}}}}}")
    (problem,) = folder.problems()
    assert "alerts.A.params.replicas: expected a value such as the runbook's default 3, got" in problem


def test_an_inherited_parameter_may_belong_to_some_runbook_below(folder: Folder) -> None:
    folder.write("runbooks/shop/other.yml", RUNBOOK.replace("replicas", "count"))
    folder.write(
        "bridge.yml",
        """\
        route:
          params: {count: 1, replicas: 2, typo: 3}
          routes: [{matchers: [a=b], runbook: shop/web}, {matchers: [a=c], runbook: shop/other}]
        """,
    )
    assert folder.problems() == [
        "bridge.yml:2:35: route.params.typo: no runbook here has a parameter 'typo'; known are count, replicas"
    ]


def test_two_files_cannot_hold_the_same_runbook_alert_or_interval(folder: Folder) -> None:
    folder.write("runbooks/shop/copy.yml", f"name: shop/web\n{RUNBOOK}")
    more = "alerts: {A: shop/web}\ntime_intervals: [{name: n, time_intervals: []}]\n"
    folder.write("bridge.yml", f"{more}include: more.yml\n")
    folder.write("more.yml", more)
    assert folder.problems() == [
        "more.yml:1:10: alerts.A: another file has this alert already",
        "more.yml:2:19: time_intervals[0].name: 'n' is there twice",
        "runbooks/shop/web.yml:2:1: name: a runbook 'shop/web' is in runbooks/shop/copy.yml already",
    ]


def test_included_files_hold_no_process_settings(folder: Folder) -> None:
    folder.write("bridge.yml", "include: more.yml")
    folder.write("more.yml", "redis: {}\nroutes: [{runbook: shop/web}]")
    assert folder.problems() == [
        "more.yml:1:1: redis: is an unknown key; did you mean redis_peers?",
        "more.yml:2:10: routes[0].matchers: a route below the root needs a matcher, or it would take every alert",
    ]


def test_a_bomb_of_aliases_is_refused_and_not_expanded(folder: Folder) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    folder.write("bridge.yml", "\n".join(lines))
    assert any("holds more than" in line for line in folder.problems())


def test_a_file_that_is_too_large_or_too_deep_is_refused(folder: Folder) -> None:
    folder.write("bridge.yml", "#" * (1 << 20) + "\nmode: auto")
    assert "is larger than" in folder.problems()[0]
    folder.write("bridge.yml", "a: " + "[" * 3000)
    assert "nested too deep" in folder.problems()[0]
    folder.write("bridge.yml", "route: " + "{routes: [" * 60 + "]}" * 60)
    assert folder.problems()


def test_a_missing_file_is_told_as_such(folder: Folder) -> None:
    assert folder.problems("none.yml") == ["none.yml:1:1: cannot be read: No such file or directory"]


def test_steering_characters_in_a_file_stay_on_their_line(folder: Folder) -> None:
    """Fault 44."""
    folder.write("bridge.yml", 'mode: "a\\x1b[31m\\nmode: fake"')
    (line,) = folder.problems()
    assert line.isprintable()
