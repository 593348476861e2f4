"""One event is one line, whatever is in it, and secrets are never in it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.telemetry import bound_contextvars
from bridge.telemetry import log as telemetry

NASTY = 'x\r\n{"level":"info","event":"forged"}\x1b[31mred\u2028\u2029\x85\x00\ud800"\\'


@pytest.fixture
def log(log_as_before: None) -> Iterator[Callable[..., io.StringIO]]:
    """Configure the log into a buffer; put everything back afterwards."""

    def configure(style: telemetry.LogFormat = "json", level: str = "debug") -> io.StringIO:
        out = io.StringIO()
        telemetry.configure_logging(style, level, out)
        return out

    yield configure
    telemetry._secrets.clear()


@pytest.mark.parametrize("style", ["json", "console"])
def test_cr_lf_ansi_and_line_separators_stay_in_one_line(log, style) -> None:
    """Fault 44: CR, LF, ANSI escapes, U+2028 in a label, path or header: one JSON log line."""
    out = log(style)
    telemetry.get_logger().info("alert refused", label=NASTY, nested={"path": [NASTY]}, **{"key\n": 1})
    logging.getLogger("aiohttp.server").error("bad path %s", NASTY)
    text = out.getvalue()
    assert len(text.splitlines()) == 2
    assert "\x1b" not in text
    assert "\u2028" not in text
    if style == "json":
        first, second = (json.loads(line) for line in text.splitlines())
        assert first["label"] == NASTY
        assert second["event"].endswith(NASTY)


@given(st.text(), st.dictionaries(st.text(), st.text(), max_size=3))
def test_any_text_is_one_json_line(text: str, labels: dict[str, str]) -> None:
    event = telemetry._clean(None, "info", {"event": "alert refused", "text": text, "labels": labels})
    line = telemetry._render_json(None, "info", event)
    assert len(line.splitlines()) == 1
    assert json.loads(line)["text"] == text


def test_secrets_never_reach_the_log(log) -> None:
    out = log()
    telemetry.hide("s3cr3t-token", "ab")
    logger = telemetry.get_logger()
    logger.info("request", headers={"Authorization": "Bearer other"}, url="http://u:s3cr3t-token@h", password="pw")
    try:
        raise RuntimeError("401 for s3cr3t-token")
    except RuntimeError:
        logger.exception("call failed")
    logging.getLogger("x").warning("token %s", "s3cr3t-token")
    logger.info("about cabs", name="ab")
    text = out.getvalue()
    assert "s3cr3t" not in text
    assert "other" not in text
    assert '"pw"' not in text
    assert json.loads(text.splitlines()[-1])["name"] == "ab"


def test_the_kubernetes_client_cannot_log_bodies(log) -> None:
    out = log(level="debug")
    logging.getLogger("kubernetes_asyncio.client.rest").debug("response body: %s", {"kind": "Secret"})
    assert out.getvalue() == ""


def test_ids_are_bound_once(log) -> None:
    out = log()
    with bound_contextvars(remediation_id="r1"):
        telemetry.get_logger().info("step finished", step="undo")
    telemetry.get_logger().info("idle")
    first, second = (json.loads(line) for line in out.getvalue().splitlines())
    assert first["remediation_id"] == "r1"
    assert "remediation_id" not in second


def test_a_huge_value_is_cut(log) -> None:
    out = log()
    telemetry.get_logger().info("big", value="x" * 10**6, many=list(range(10**5)))
    assert len(out.getvalue()) < 10_000


def test_console_shows_a_traceback_below_its_line(log) -> None:
    out = log("console")
    try:
        raise ValueError("a\nb\x1b[0m")
    except ValueError:
        telemetry.get_logger().exception("it broke", target="gateway one")
    first, *rest = out.getvalue().splitlines()
    assert 'it broke  target="gateway one"' in first
    assert rest
    assert all(line.startswith("    | ") for line in rest)
    assert "\x1b" not in out.getvalue()


def test_level_filters_both_logs(log) -> None:
    out = log(level="warning")
    telemetry.get_logger().info("no")
    logging.getLogger("x").info("no")
    telemetry.get_logger().warning("yes")
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["yes"]
