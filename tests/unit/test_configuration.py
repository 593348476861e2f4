"""What a right configuration becomes."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.actions import registry as actions
from bridge.configuration import load
from bridge.evidence import registry as collectors
from bridge.model.mode import Mode
from bridge.model.principal import Role
from bridge.settings import Settings, is_loopback, listen_problem
from tests.support.configuration import RUNBOOK, Folder

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    folder.write("runbooks/shop/web.yml", RUNBOOK)
    return folder


def test_the_example_configuration_is_right_and_only_observes() -> None:
    configuration = load(
        ROOT / "config" / "bridge.yml", actions=actions.parameters(), collectors=collectors.parameters(), env={}
    )
    assert configuration.settings.mode is Mode.OBSERVE
    assert configuration.warnings == ()
    found = {
        alert: [
            match.runbook for match in configuration.table.match({"alertname": alert, "namespace": "o2ims-system"})
        ]
        for alert in ("GatewayDown", "HighErrorRate", "CertExpiringSoon", "CertificateExpiringSoon", "Watchdog")
    }
    assert found == {
        "GatewayDown": ["netweave/all-pods-down"],
        "HighErrorRate": ["netweave/high-error-rate"],
        "CertExpiringSoon": ["netweave/certificate-expiring"],
        "CertificateExpiringSoon": ["netweave/certificate-expiring"],
        "Watchdog": [""],
    }


def test_an_empty_file_is_a_configuration_that_does_nothing_and_says_so(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write("bridge.yml", "")
    configuration = folder.load()
    assert configuration.route_count == 0
    assert configuration.settings == Settings()
    assert type(configuration.settings) is Settings
    assert configuration.warnings[0].endswith("no alert will be acted on; name some in `alerts` or `route`")


def test_the_short_form_becomes_routes_after_the_trees(folder: Folder) -> None:
    folder.write(
        "bridge.yml",
        """\
        route:
          cooldown: 5m
          routes: [{matchers: ['alertname="A"', env=dev], runbook: null}]
        alerts:
          A: shop/web
          'a "quoted" one': {runbook: shop/web, params: {replicas: 5}, mode: auto, max_attempts: 1}
        """,
    )
    table = folder.load().table
    (match,) = table.match({"alertname": "A"})
    assert (match.path, match.runbook, match.cooldown) == ("alerts.A", "shop/web", 300.0)
    assert [match.runbook for match in table.match({"alertname": "A", "env": "dev"})] == [""]
    (match,) = table.match({"alertname": 'a "quoted" one'})
    assert (match.params, match.mode, match.max_attempts, match.cooldown) == ({"replicas": 5}, Mode.AUTO, 1, 300.0)


def test_included_files_add_alerts_routes_intervals_and_runbooks(folder: Folder) -> None:
    folder.write("bridge.yml", "include: [routes/*.yml]")
    folder.write("more/db/restart.yml", RUNBOOK)
    folder.write(
        "routes/db.yml",
        """\
        runbooks: ../more
        routes: [{matchers: [team=db], runbook: db/restart, mute_time_intervals: [always]}]
        time_intervals: [{name: always, time_intervals: [{}]}]
        """,
    )
    configuration = folder.load()
    (match,) = configuration.table.match({"team": "db"})
    assert match.path.endswith("routes/db.yml:routes[0]")
    assert configuration.muted(match, 0.0) == "the mute time interval always is active"


def test_a_runbook_is_called_as_its_file_unless_it_says_otherwise(folder: Folder) -> None:
    folder.write("runbooks/top.yml", RUNBOOK)
    folder.write("runbooks/a/b/c.yaml", RUNBOOK)
    folder.write("runbooks/x.yml", f"name: other/name\n{RUNBOOK}")
    folder.write("runbooks/.hidden/x.yml", "nonsense")
    folder.write("runbooks/readme.txt", "nonsense")
    folder.write("bridge.yml", "")
    assert set(folder.load().runbooks) == {"shop/web", "top", "a/b/c", "other/name"}
    folder.write("bridge.yml", "runbooks: runbooks/shop/*.yml")
    assert set(folder.load().runbooks) == {"shop/web"}


def test_a_route_is_muted_inside_its_mute_and_outside_its_active_intervals(folder: Folder) -> None:
    folder.write(
        "bridge.yml",
        """\
        alerts:
          A: {runbook: shop/web, active_time_intervals: [office], mute_time_intervals: [freeze]}
          B: shop/web
        time_intervals:
          - {name: office, time_intervals: [{weekdays: ["monday:friday"]}]}
          - {name: freeze, time_intervals: [{months: [december]}]}
        """,
    )
    configuration = folder.load()
    (match,) = configuration.table.match({"alertname": "A"})

    def muted(day: str) -> str | None:
        return configuration.muted(match, datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())

    assert muted("2024-11-04") is None
    assert muted("2024-11-03") == "outside of its active time intervals (office)"
    assert muted("2024-12-02") == "the mute time interval freeze is active"
    assert configuration.muted(configuration.table.match({"alertname": "B"})[0], 0.0) is None


def test_secrets_come_from_files_and_environment_and_are_never_shown(folder: Folder) -> None:
    folder.write("secrets/one", "first\n")
    folder.write("secrets/two", "second")
    folder.write("secrets/redis", "third\r\n")
    folder.env = {"HMAC": "fourth", "POD_NAME": "alertbridge-0", "POD_NAMESPACE": "ops"}
    folder.write(
        "bridge.yml",
        """\
        listen: {host: 0.0.0.0}
        credentials:
          - {name: am, type: bearer, secret_file: [secrets/one, secrets/two]}
          - {name: grafana, type: hmac, roles: [sender, viewer], secret_env: HMAC}
        redis: {url: "redis://r", password_file: secrets/redis}
        """,
    )
    configuration = folder.load()
    assert configuration.secrets.credentials == {"am": ("first", "second"), "grafana": ("fourth",)}
    assert configuration.secrets.redis == "third"
    assert configuration.settings.credentials[1].roles == (Role.SENDER, Role.VIEWER)
    assert (configuration.settings.own.pod, configuration.settings.own.namespace) == ("alertbridge-0", "ops")
    assert "no timestamp_header" in configuration.warnings[1]
    for secret in ("first", "second", "third", "fourth"):
        assert secret not in repr(configuration)


@pytest.mark.parametrize("content", ["", "\n", "two\nlines", "\udcff", "x" * 70_000])
def test_a_file_without_one_secret_in_it_is_refused(folder: Folder, content: str) -> None:
    (folder.path / "secret").write_bytes(content.encode("utf-8", "surrogateescape"))
    folder.write("bridge.yml", "credentials: [{name: a, type: bearer, secret_file: secret}]\nalerts: {A: shop/web}")
    (problem,) = folder.problems()
    assert problem.startswith("bridge.yml:1:39: credentials[0].secret_file[0]: secret ")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_without_a_credential_it_listens_on_loopback(host: str) -> None:
    assert is_loopback(host)
    assert listen_problem(host, credentials=0) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.1", "example.org", "127.0.0.1.example.org"])
def test_without_a_credential_it_refuses_to_listen_beyond_loopback(host: str) -> None:
    """Fault 49."""
    problem = listen_problem(host, credentials=0)
    assert problem
    assert "refuses to listen" in problem
    assert listen_problem(host, credentials=1) is None


def test_aliases_and_merges_of_yaml_work(folder: Folder) -> None:
    folder.write(
        "bridge.yml",
        """\
        alerts:
          A: &a {runbook: shop/web, cooldown: 1m, mode: auto}
          B: {<<: *a, cooldown: 2m}
          C: *a
        """,
    )
    table = folder.load().table
    found = [(m.mode, m.cooldown) for name in "ABC" for m in table.match({"alertname": name})]
    assert found == [(Mode.AUTO, 60.0), (Mode.AUTO, 120.0), (Mode.AUTO, 60.0)]


def test_words_of_older_yaml_stay_texts(folder: Folder) -> None:
    folder.write("runbooks/shop/web.yml", RUNBOOK.replace("{default: 3}", "{default: no}"))
    folder.write("bridge.yml", "alerts: {on: {runbook: shop/web, params: {replicas: 12:30}}}")
    configuration = folder.load()
    assert configuration.runbooks["shop/web"].params["replicas"].default == "no"
    assert configuration.table.match({"alertname": "on"})[0].params == {"replicas": "12:30"}


def test_parameters_with_templates_are_checked_as_far_as_they_are_known(folder: Folder) -> None:
    runbook = RUNBOOK.replace("{action: restart}", '{action: restart, with: {grace: "${params.replicas * 10}"}}')
    folder.write("runbooks/shop/web.yml", runbook)
    folder.write("bridge.yml", "")
    assert folder.problems() == []
    folder.write("runbooks/shop/web.yml", runbook.replace("grace", "graec"))
    assert folder.problems() == [
        "runbooks/shop/web.yml:11:38: scenarios[0].steps[0].with.graec: is an unknown key; did you mean grace?"
    ]


@pytest.mark.parametrize(
    ("clusters", "default", "names"),
    [
        ("", "default", {"default": "default"}),
        ("{connections: {a: {in_cluster: true}}}", "a", {"a": "a"}),
        ("{connections: {a: {}, b: {}}, names: {eu: b}}", None, {"a": "a", "b": "b", "eu": "b"}),
        ("{connections: {a: {}, b: {}}, default: b}", "b", {"a": "a", "b": "b"}),
        ("{connections: {a: {}}, default: null}", None, {"a": "a"}),
    ],
)
def test_a_single_connection_serves_alerts_without_the_cluster_label(
    folder: Folder, clusters: str, default: str | None, names: dict[str, str]
) -> None:
    folder.write("bridge.yml", f"clusters: {clusters}" if clusters else "")
    configuration = folder.load()
    assert configuration.default_connection == default
    assert configuration.cluster_names == names


PEOPLE = """\
        credentials:
          - {name: ann, type: bearer, roles: [operator], secret_env: A}
          - {name: grafana, type: hmac, roles: [operator], secret_env: B, timestamp_header: X}
          - {name: vic, type: bearer, roles: [viewer], secret_env: C}
"""


@pytest.mark.parametrize(
    ("people", "approvers", "said"),
    [
        (PEOPLE, 2, "2 people have to agree, and there can be 1: nothing is ever agreed to; add credentials"),
        (PEOPLE, 1, ""),
        ("", 2, "there can be 1, since no credentials are configured"),
        (PEOPLE + "          - {name: bob, type: basic, roles: [operator], secret_env: D}\n", 2, ""),
    ],
)
def test_more_approvers_than_there_are_people_is_told_where_it_is_written(
    folder: Folder, people: str, approvers: int, said: str
) -> None:
    """Otherwise it would show at night, when nobody can agree."""
    folder.env = {name: name * 8 for name in "ABCD"}
    folder.write("runbooks/shop/web.yml", f"approvers: {approvers}\n{RUNBOOK}")
    folder.write(
        "bridge.yml",
        people
        + f"""\
        route:
          routes:
            - matchers: [team="shop"]
              approvers: {approvers}
              routes: [{{matchers: [a="b"], runbook: shop/web}}]
        """,
    )
    warnings = folder.load().warnings
    assert len(warnings) == (2 if said else 0)
    assert all(said in text for text in warnings)
    if said:
        assert re.match(r".*bridge\.yml:\d+: ", warnings[0])
        assert "shop/web.yml:1: " in warnings[1]
