"""docs/plugins.md says what is so: its example is short, is found, and runs through the whole engine."""

from __future__ import annotations

import re
import textwrap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from click.testing import CliRunner

from bridge.catalogue import catalogue, registry_of
from bridge.cli import main
from bridge.configuration import load
from bridge.errors import ConfigurationError
from tests.support.redis import RedisServer
from tests.support.stage import Stage

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text("utf-8")
EXAMPLE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]


class ContentNetwork:
    """A content network's API: how it answers a purge, and what it was asked."""

    def __init__(self) -> None:
        self.answers = [200]
        self.purged: list[str] = []
        self.url = ""

    async def purge(self, request: web.Request) -> web.Response:
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if status == 200:
            self.purged.append(request.match_info["zone"])
        return web.Response(status=status)

    async def zone(self, request: web.Request) -> web.Response:
        return web.Response(text="empty" if request.match_info["zone"] in self.purged else "full")


@pytest.fixture
async def network() -> AsyncIterator[ContentNetwork]:
    there = ContentNetwork()
    app = web.Application()
    app.router.add_post("/zones/{zone}/purge", there.purge)
    app.router.add_get("/zones/{zone}", there.zone)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    there.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield there
    await runner.cleanup()


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "purge_zone.py"
    file.write_text(EXAMPLE)
    yield file
    catalogue.cache_clear()


def runbook(url: str) -> dict[str, object]:
    return {
        "name": "test/purge",
        "summary": "Purge the zone.",
        "target": {"name": "${labels.deployment}", "namespace": "${labels.namespace}"},
        "scenarios": [
            {
                "name": "stale content",
                "otherwise": True,
                "steps": [{"action": "purge_zone", "with": {"api": url, "zone": "${labels.zone}"}}],
            }
        ],
    }


def test_the_example_is_complete_in_under_40_lines(plugin: Path) -> None:
    assert len(EXAMPLE.splitlines()) < 40
    action = catalogue((plugin,)).actions["purge_zone"]
    assert action.summary == "Purge a zone of the content network."
    assert action.params.model_validate(dict(action.example))


async def test_the_example_runs_through_the_whole_engine(
    redis_server: RedisServer, tmp_path: Path, plugin: Path, network: ContentNetwork
) -> None:
    network.answers = [503, 200]
    settings = {
        "plugins": [str(plugin)],
        "http": {"hosts": [network.url.removeprefix("http://")]},
        "alerts": {"StaleContent": {"runbook": "test/purge", "mode": "auto", "allow_irreversible": True}},
    }
    async with Stage.open(redis_server, tmp_path, runbooks_too=[runbook(network.url)], **settings) as stage:
        await stage.fire("StaleContent", deployment="web", zone="shop")
        await stage.settle()
        await stage.advance(120)
        assert await stage.ends() == [("succeeded", "verified")]
        assert network.purged == ["shop"]
        await stage.fire("StaleContent", deployment="other", zone="../admin")
        await stage.settle()
        assert (await stage.ends())[1] == ("failed", "plan_failed")
    assert network.purged == ["shop"]


def test_the_command_shows_it_where_a_configuration_names_it(plugin: Path, tmp_path: Path) -> None:
    config = tmp_path / "bridge.yml"
    config.write_text(f"plugins: [{plugin.name}]\nrunbooks: []\n")
    shown = CliRunner().invoke(main, ["actions", "purge_zone", "-c", str(config)])
    assert shown.exit_code == 0, shown.output
    assert "The zone to purge." in shown.output
    assert "purge_zone" in CliRunner().invoke(main, ["actions", "-c", str(config)]).output


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("x = 1", "holds no action and no collector"),
        (EXAMPLE.replace('description="The zone to purge.", ', ""), "parameter `zone` has no description"),
        (EXAMPLE.replace('"zone": "shop"', '"zoned": "shop"'), "its `example` does not fit"),
        (EXAMPLE.replace("purge_zone", "scale"), "there is one of that name already"),
        (EXAMPLE.replace('    """Purge a zone of the content network."""\n', ""), "no docstring"),
    ],
)
def test_a_plugin_that_is_not_right_is_refused_with_the_file_and_the_mend(
    tmp_path: Path, plugin: Path, code: str, told: str
) -> None:
    plugin.with_name("wrong.py").write_text(textwrap.dedent(code))
    config = tmp_path / "bridge.yml"
    config.write_text("plugins: [wrong.py]\nrunbooks: []\n")
    with pytest.raises(ConfigurationError, match=r"bridge\.yml:1:") as caught:
        load(config, catalogued=registry_of)
    assert told in str(caught.value)
    assert "wrong.py" in str(caught.value) or "already" in told


def test_a_plugin_that_is_not_there_is_named(tmp_path: Path) -> None:
    config = tmp_path / "bridge.yml"
    config.write_text("plugins: [none.py]\nrunbooks: []\n")
    with pytest.raises(ConfigurationError, match=r"bridge\.yml:1:11: plugins\[0\]: no file is there"):
        load(config, catalogued=registry_of)
