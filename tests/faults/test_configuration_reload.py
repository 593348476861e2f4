"""A bad configuration never replaces a good one, and a ConfigMap's swapped link is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.configuration import ConfigurationError, ConfigurationHolder
from tests.support.configuration import RUNBOOK, Folder


def mount(volume: Path, revision: str, files: dict[str, str]) -> None:
    """Put a revision into a folder as the kubelet mounts a ConfigMap: files behind one link, which is swapped."""
    data = volume / f"..{revision}"
    for name, text in files.items():
        file = data / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    fresh = volume / "..data_tmp"
    fresh.symlink_to(data.name)
    fresh.rename(volume / "..data")
    for name in {name.split("/")[0] for name in files}:
        if not (volume / name).is_symlink():
            (volume / name).symlink_to(f"..data/{name}")


def holder_of(folder: Folder) -> ConfigurationHolder:
    return ConfigurationHolder(folder.load(), folder.load)


def test_a_swapped_configmap_is_noticed_and_loaded(tmp_path: Path) -> None:
    """Fault 59."""
    files = {"bridge.yml": "alerts: {A: shop/web}", "runbooks/shop/web.yml": RUNBOOK}
    mount(tmp_path, "2024_1", files)
    holder = holder_of(Folder(tmp_path))
    assert [*holder.current.runbooks] == ["shop/web"]
    assert not holder.changed()

    mount(tmp_path, "2024_2", {**files, "bridge.yml": "alerts: {A: shop/web, B: shop/web}"})
    assert holder.changed()
    assert holder.reload().route_count == 2
    assert not holder.changed()

    mount(tmp_path, "2024_3", {**files, "bridge.yml": "alerts: {A: shop/web, B: shop/web}"})
    assert not holder.changed(), "the same content in another revision is no change"

    mount(tmp_path, "2024_4", {**files, "runbooks/shop/web.yml": RUNBOOK.replace("Restart it.", "Start it again.")})
    assert holder.changed()
    assert holder.reload().runbooks["shop/web"].summary == "Start it again."


def test_a_bad_configuration_leaves_the_old_one_in_use_until_it_is_mended(tmp_path: Path) -> None:
    """Fault 59."""
    folder = Folder(tmp_path)
    folder.write("runbooks/shop/web.yml", RUNBOOK)
    folder.write("bridge.yml", "alerts: {A: shop/web}")
    holder = holder_of(folder)
    good = holder.current

    folder.write("bridge.yml", "alerts: {A: shop/web, B: shop/new}")
    assert holder.changed()
    with pytest.raises(ConfigurationError, match="shop/new"):
        holder.reload()
    assert holder.current is good
    assert "shop/new" in holder.problems[0]
    assert not holder.changed(), "a refused configuration is not read again and again"

    # The mistake is mended in a file that the good configuration never had.
    folder.write("runbooks/shop/new.yml", RUNBOOK)
    assert holder.changed()
    assert holder.reload().route_count == 2
    assert holder.problems == ()


def test_a_file_that_vanishes_is_a_change_and_keeps_the_old_configuration(tmp_path: Path) -> None:
    """Fault 59."""
    folder = Folder(tmp_path)
    main = folder.write("bridge.yml", "mode: auto")
    holder = holder_of(folder)
    main.unlink()
    assert holder.changed()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        holder.reload()
    assert holder.current.settings.mode.value == "auto"
    main.write_text("mode: auto")
    assert holder.changed()
    holder.reload()


def test_a_rotated_secret_is_a_change(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write("secret", "one")
    folder.write("bridge.yml", "credentials: [{name: a, type: bearer, secret_file: secret}]")
    holder = holder_of(folder)
    folder.write("secret", "two")
    assert holder.changed()
    assert holder.reload().secrets.credentials == {"a": ("two",)}


def test_what_only_a_restart_changes_is_named(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write("bridge.yml", "mode: observe")
    holder = holder_of(folder)
    folder.write("runbooks/shop/web.yml", RUNBOOK)
    folder.write("bridge.yml", "mode: auto\nlisten: {port: 1}\nclaim: 9s\nalerts: {A: shop/web}")
    holder.reload()
    assert holder.current.settings.mode.value == "auto"
    assert holder.needs_restart == ["claim", "listen"]
    folder.write("bridge.yml", "mode: auto")
    holder.reload()
    assert holder.needs_restart == []
