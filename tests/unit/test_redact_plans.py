"""What a plan holds of other people's credentials is not shown to whoever may look at it."""

from __future__ import annotations

from bridge.api.schemas import entry_of
from bridge.model.redact import mask
from bridge.model.remediation import Entry

TEMPLATE = {
    "spec": {
        "containers": [
            {
                "name": "web",
                "args": ["--listen=:8080", "--api-key=hunter2hunter2"],
                "env": [
                    {"name": "DB_PASSWORD", "value": "correct horse"},
                    {"name": "MODE", "value": "fast"},
                    {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "web", "key": "token"}}},
                ],
            }
        ]
    }
}


def test_a_template_is_shown_without_the_values_of_secret_variables_and_flags() -> None:
    container = mask(TEMPLATE)["spec"]["containers"][0]
    assert container["env"][0] == {"name": "DB_PASSWORD", "value": "[redacted]"}
    assert container["env"][1:] == TEMPLATE["spec"]["containers"][0]["env"][1:]
    assert container["args"][0] == "--listen=:8080"
    assert "hunter2" not in container["args"][1]


def test_the_api_shows_a_journal_without_them_and_the_stored_one_keeps_them() -> None:
    entry = Entry(kind="planned", data={"plan": {"changes": [{"fields": [{"before": TEMPLATE}]}]}})
    shown = entry_of(entry)
    assert "correct horse" not in str(shown.data)
    assert "correct horse" in str(entry.data)
