"""Writes what deploy/ repeats of config/: `python -m tests.support.deploy_files`, after a file there came or went.

That is the list of files that become ConfigMaps (config/kustomization.yml), the volume that puts each back at its
path in a pod, and for each system what its role is made from and the role itself. A test holds all of it to this.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from click.testing import CliRunner
from ruamel.yaml import YAML

from bridge.cli import main

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config"
WORKLOADS = (ROOT / "deploy/base/deployment.yml", ROOT / "deploy/overlays/embedded/statefulset.yml")
RBAC = ROOT / "deploy/rbac"
SHARED = "library"
"""The folder of runbooks that belong to no system."""

_LIST = """\
# Makes ConfigMaps of what stands here, for deploy/: one of the systems' files, and one of the runbooks of each, since
# what is applied by `kubectl apply` has to stay below 256 KiB. Keys of a ConfigMap have no slash: the pod's volume
# puts each file back at its path. Written by `python -m tests.support.deploy_files`, and a test holds it to that.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
generatorOptions:
  # Without a hash in the name a change reaches a running pod, which checks it before it takes it.
  disableNameSuffixHash: true
configMapGenerator:
"""
_VOLUME = re.compile(r"        - name: config\n          projected:\n.*?(?=        - name: credentials\n)", re.S)
_FROM = """\
# What the role beside it is made from: the routes and runbooks of this system as they are shipped. For names of your
# own print a role of your own: `alertbridge rbac --config YOUR/bridge.yml`.
include: [../../../config/systems/{system}.yml]
runbooks: [../../../config/runbooks/{system}, ../../../config/runbooks/{shared}]
"""
_ROLE = """\
# What {system} (config/systems/{system}.yml) reads and changes, and nothing else: a role for each namespace,
# and a cluster role for what is in none. role.yml is the output of the command in its first line; after a change of
# routes or runbooks it is made again.{more}
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - role.yml
"""
_MORE = """ It leaves Secrets out: take ../{system}-secrets too, or take the namespaces
# out of `secret_namespaces` in the system's file."""
_SECRETS = """\
# Opt-in: the Secrets that {system} reads and changes where `secret_namespaces` of its file allows it. Helm keeps its
# records in Secrets whose names nobody knows before, so this opens every one of the namespace: look at it.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - role.yml
"""


def systems() -> list[str]:
    """Return the systems that are shipped, by name."""
    return sorted(path.stem for path in (CONFIG / "systems").glob("*.yml"))


def secret_files() -> list[str]:
    """Return the names of the files in `secrets/` that the systems' files name."""
    texts = [path.read_text() for path in sorted((CONFIG / "systems").glob("*.yml"))]
    return sorted({name for text in texts for name in re.findall(r"_file: secrets/([-a-z0-9]+)", text)})


def config_maps() -> dict[str, dict[str, str]]:
    """Return the files of config/ by the ConfigMap and the key that hold them."""
    maps = {"alertbridge-config": {f"systems.{name}.yml": f"systems/{name}.yml" for name in systems()}}
    for folder in sorted((CONFIG / "runbooks").iterdir()):
        files = {path.name: str(path.relative_to(CONFIG)) for path in sorted(folder.glob("*.yml"))}
        maps[f"alertbridge-runbooks-{folder.name}"] = files
    return maps


def kustomization() -> str:
    """Return config/kustomization.yml."""
    text = _LIST
    for name, files in config_maps().items():
        text += f"  - name: {name}\n    namespace: alertbridge\n    files:\n"
        text += "".join(f"      - {path if key == path else f'{key}={path}'}\n" for key, path in files.items())
    return text


def volume() -> str:
    """Return the pod's volume of the configuration."""
    lines = ["- name: config", "  projected:", "    defaultMode: 0440", "    sources:"]
    for name, files in config_maps().items():
        own = {"bridge.yml": "bridge.yml", **files} if name == "alertbridge-config" else files
        lines += ["      - configMap:", f"          name: {name}", "          items:"]
        lines += [f"            - {{key: {key}, path: {path}}}" for key, path in own.items()]
    lines += [
        "      # What the systems' files look for in `secrets/`: what is not there yet is left out.",
        "      - secret:",
        "          name: alertbridge-systems",
        "          optional: true",
        "          items:",
    ]
    lines += [f"            - {{key: {name}, path: systems/secrets/{name}}}" for name in secret_files()]
    return "".join(f"        {line}\n" for line in lines)


def workload(path: Path) -> str:
    """Return the manifest with the volume as it has to be."""
    return _VOLUME.sub(lambda _: volume(), path.read_text())


def role(command: str) -> str:
    """Return what the command prints from the repository's root."""
    program, *arguments = shlex.split(command)
    assert program == "alertbridge"
    done = CliRunner().invoke(main, arguments)
    # 1: there is something that only the adopter knows. It stands in the role's head.
    assert done.exit_code in (0, 1), done.output
    return done.stdout


def command(system: str, *, secrets: bool) -> str:
    """Return the command that prints the role of a system, or the one of its Secrets alone."""
    which, more = ("--only secrets", "-secrets") if secrets else ("--without secrets", "")
    # Two systems in one namespace, and what is in none, want a name for each.
    return f"alertbridge rbac {which} --name alertbridge-{system}{more} --config deploy/rbac/{system}/bridge.yml"


def role_files(system: str) -> Iterator[tuple[Path, str]]:
    """Yield the files that say what a system may do; the working directory is the repository's root."""
    folder, opened = RBAC / system, RBAC / f"{system}-secrets"
    named = YAML(typ="safe").load((CONFIG / "systems" / f"{system}.yml").read_text()).get("secret_namespaces")
    yield folder / "bridge.yml", _FROM.format(system=system, shared=SHARED)
    yield folder / "kustomization.yml", _ROLE.format(system=system, more=_MORE.format(system=system) if named else "")
    yield folder / "role.yml", role(command(system, secrets=False))
    if named:
        yield opened / "kustomization.yml", _SECRETS.format(system=system)
        yield opened / "role.yml", role(command(system, secrets=True))


def write() -> None:
    """Write all of it."""
    (CONFIG / "kustomization.yml").write_text(kustomization())
    for path in WORKLOADS:
        path.write_text(workload(path))
    for system in systems():
        (RBAC / system).mkdir(parents=True, exist_ok=True)
        (RBAC / system / "bridge.yml").write_text(_FROM.format(system=system, shared=SHARED))
        for path, text in role_files(system):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)


if __name__ == "__main__":
    write()
