"""What the pages and the shipped files show of Alertmanager's configuration, read by Debian's real amtool."""

from __future__ import annotations

import re
import subprocess
import textwrap
from pathlib import Path

import pytest

from tests.support.need import need

ROOT = Path(__file__).parents[2]


def shown(page: str, beginning: str) -> str:
    """Return the one YAML block of a page that begins so."""
    blocks = re.findall(r"^ *```yaml\n(.*?)```", (ROOT / "docs" / page).read_text(), re.S | re.M)
    (block,) = [text for text in map(textwrap.dedent, blocks) if text.startswith(beginning)]
    return block


def amtool(*arguments: str) -> str:
    done = subprocess.run([need("amtool"), *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def paging(tmp_path: Path) -> Path:
    place = tmp_path / "alertmanager.yml"
    place.write_text(shown("alertmanager.md", "route:"))
    return place


def test_the_paging_route_of_the_page_is_a_configuration(paging: Path) -> None:
    assert "SUCCESS" in amtool("check-config", str(paging))


@pytest.mark.parametrize(
    ("severity", "expected"), [("critical", "alertbridge,pager"), ("warning", "alertbridge"), ("info", "people")]
)
def test_what_pages_comes_to_us_first_and_to_the_pager_as_well(paging: Path, severity: str, expected: str) -> None:
    told = amtool("config", "routes", "test", f"--config.file={paging}", f"severity={severity}")
    assert told.strip() == expected


def test_the_receiver_of_the_page_and_the_shipped_one_are_configurations(tmp_path: Path) -> None:
    receiver = tmp_path / "receiver.yml"
    receiver.write_text("route: {receiver: alertbridge}\n" + shown("alertmanager.md", "receivers:"))
    for place in (receiver, ROOT / "deploy" / "alertmanager" / "receiver.yml"):
        assert "SUCCESS" in amtool("check-config", str(place))
