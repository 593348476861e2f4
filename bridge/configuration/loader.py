"""Read `bridge.yml`, what it includes and its runbooks, and check all of it. Called by app, check-config and reload.

Every error is collected before anything is refused, so that one look is enough. Pure but for reading files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from bridge.configuration.compose import Borrowed, at_use, clashes, compose, uses_others
from bridge.configuration.configuration import Configuration
from bridge.configuration.document import Document, read_document
from bridge.configuration.doubts import warnings_of
from bridge.configuration.holder import LoadFailed
from bridge.configuration.included import Included, holder_of, joined
from bridge.configuration.message_checks import message_problems
from bridge.configuration.peer_checks import peer_problems
from bridge.configuration.problems import Problems, nearest
from bridge.configuration.route_checks import RouteChecks, Written
from bridge.configuration.run_checks import led_to, run_problems, schedule_problems
from bridge.configuration.runbook_checks import Problem, Registry, runbook_problems
from bridge.configuration.secrets import read_secrets
from bridge.configuration.sources import Sources
from bridge.errors import ConfigurationError, InvalidInput
from bridge.model.fields import Texts
from bridge.model.interval import NamedIntervals
from bridge.model.order import OURS
from bridge.model.route import REFUSED, AlertSpec, RouteSpec
from bridge.model.routing import RoutingTable
from bridge.model.runbook import Runbook, Use
from bridge.model.schedule import ScheduleSpec
from bridge.settings import Settings, listen_problem, own_redis, unknown_clusters

DEFAULT_RUNBOOKS = "runbooks"
"""The folder beside the main file that is read when `runbooks` is not given."""

_ALERTMANAGERS = {
    "global": "it belongs to Alertmanager",
    "receivers": "keep receivers in Alertmanager, and name a `runbook` in each route",
    "inhibit_rules": "keep inhibition in Alertmanager: what it inhibits never gets here",
    "templates": "keep templates in Alertmanager",
    "mute_time_intervals": "define intervals in `time_intervals`, and name them in a route",
}


class Main(Settings):
    """`bridge.yml`."""

    route: RouteSpec = RouteSpec()
    """The root of Alertmanager's tree: what every route inherits, and the routes."""
    alerts: dict[str, AlertSpec] = Field(default={})
    """The short form: alert name to runbook, or to what a route says."""
    time_intervals: tuple[NamedIntervals, ...] = ()
    """Times that routes name, as Alertmanager has them."""
    schedules: Annotated[tuple[ScheduleSpec, ...], Field(max_length=200)] = ()
    """What runs by the clock."""
    runbooks: Texts = (DEFAULT_RUNBOOKS,)
    """Folders, which are searched to the bottom, and patterns; relative to the file."""
    include: Texts = ()
    """Further files, as folders and patterns as well."""


Models = Mapping[str, type[BaseModel]]
Catalogued = Callable[[tuple[Path, ...]], Registry]
"""What can be called with the plug-ins in these files. Raises ConfigurationError."""


def load(
    path: Path,
    *,
    actions: Models | None = None,
    collectors: Models | None = None,
    catalogued: Catalogued | None = None,
    env: Mapping[str, str] = os.environ,
) -> Configuration:
    """Return the configuration in `path`; raise ConfigurationError (LoadFailed) with every problem.

    `actions` and `collectors` are what runbooks may call, with the models of their parameters; where one is None,
    such names are taken as they are. `catalogued` says it instead, for the plug-ins that the configuration names.
    """
    sources = Sources()
    try:
        return _Loader(path, Registry(actions, collectors), catalogued, env, sources).load()
    except ConfigurationError as error:
        raise LoadFailed(error.problems, sources) from None


class _Loader:
    def __init__(
        self,
        path: Path,
        registry: Registry,
        catalogued: Catalogued | None,
        env: Mapping[str, str],
        sources: Sources,
    ) -> None:
        self._path = path
        self._registry = registry
        self._catalogued = catalogued
        self._env = env
        self._sources = sources
        self._problems = Problems()
        self._runbooks: dict[str, Runbook] = {}
        self._written: dict[str, tuple[Document, Any]] = {}
        self._put_together: dict[str, Runbook | None] = {}
        self._troubled: set[str] = set()
        self._runbook_documents: dict[str, Document] = {}
        self._broken: set[str] = set()
        self._intervals: dict[str, NamedIntervals] = {}
        self._schedules: dict[str, ScheduleSpec] = {}
        self._routes: list[Written] = []

    def load(self) -> Configuration:
        document = self._read(self._path)
        if document.value is None:
            document.value = {}
        _absolute(document.value, self._path.parent)
        main = self._problems.validate(Main, document, document.value, refused=REFUSED | _ALERTMANAGERS)
        if main is None:
            self._problems.raise_if_any()
            raise ConfigurationError([f"{document.name}:1:1: is not a configuration"])
        self._find_plugins(document, main)
        parts: list[tuple[Document, Main | Included]] = [(document, main), *self._included(document, main)]
        for at, part in parts:
            self._find_runbooks(at, part, required="runbooks" in part.model_fields_set)
        for name in self._written:
            self._runbook(name)
        for name, runbook in self._runbooks.items():
            for loc, text in run_problems(runbook, self._runbooks, self._broken):
                self._problems.add(self._runbook_documents[name], loc, text)
        for at, part in parts:
            self._add_part(at, part)
        for at, part in parts:
            if isinstance(part, Included):
                main = joined(main, part, partial(self._problems.add, at))
        documents = [at for at, _ in parts]
        self._check_routes(document, main)
        self._check_settings(documents, main)
        secrets = read_secrets(
            main,
            self._env,
            complain=lambda loc, text: self._problems.add(holder_of(loc, documents), loc, text),
            used=self._sources.use,
        )
        self._problems.raise_if_any()
        ways = main.clusters.ways(self._env)
        return Configuration(
            settings=_process_settings(main, self._env),
            secrets=secrets,
            table=RoutingTable(main.route, [(route.path, route.spec) for route in self._routes]),
            runbooks=self._runbooks,
            intervals=self._intervals,
            schedules=tuple(self._schedules.values()),
            sources=self._sources,
            connections=ways,
            default_connection=main.clusters.default_of(ways),
            warnings=tuple(
                warnings_of(
                    document,
                    main.route,
                    main.credentials,
                    self._routes,
                    ((self._runbook_documents[name], each) for name, each in self._runbooks.items()),
                )
            ),
        )

    def _read(self, path: Path) -> Document:
        self._sources.use(path)
        document = read_document(path, str(path))
        self._problems.add_flaws(document)
        return document

    def _find_plugins(self, document: Document, main: Main) -> None:
        if self._catalogued is None:
            return
        files = tuple(Path(name) for name in main.plugins)
        missing = [at for at, file in enumerate(files) if not file.is_file()]
        for at in missing:
            self._problems.add(document, ("plugins", at), f"no file is there: {files[at]}")
        try:
            self._registry = self._catalogued(() if missing else files)
        except ConfigurationError as error:
            for text in error.problems:
                self._problems.add(document, ("plugins",), text)

    def _included(self, document: Document, main: Main) -> list[tuple[Document, Main | Included]]:
        found: list[tuple[Document, Main | Included]] = []
        for at, pattern in enumerate(main.include):
            files = self._sources.find(str(self._path.parent / pattern))
            if not files:
                self._problems.add(document, ("include", at), f"no file is there: {pattern}")
            for file in files:
                other = self._read(file)
                _absolute(other.value, file.parent)
                part = self._problems.validate(Included, other, other.value or {}, refused=REFUSED | _ALERTMANAGERS)
                if part is not None:
                    found.append((other, part))
        return found

    def _find_runbooks(self, document: Document, part: Main | Included, *, required: bool) -> None:
        folder = Path(document.name).parent
        for at, pattern in enumerate(part.runbooks):
            if not self._add_runbooks(folder / pattern) and required:
                self._problems.add(document, ("runbooks", at), f"no runbook is there: {pattern}")

    def _add_runbooks(self, place: Path) -> bool:
        files = self._sources.find(str(place))
        for file in files:
            self._add_runbook(file, default_name(file, place))
        return bool(files)

    def _add_runbook(self, file: Path, default: str) -> None:
        document = self._read(file)
        value = document.value
        name = default
        if isinstance(value, dict):
            name = value["name"] if isinstance(value.get("name"), str) else default
            value = {"name": default, **value}
        there = self._written.setdefault(name, (document, value))[0]
        if there.name != document.name:
            self._problems.add(document, ("name",), f"a runbook {name!r} is in {there.name} already")

    def _runbook(self, name: str, via: tuple[str, ...] = ()) -> Runbook | None:
        """Return a runbook with what it uses in place; None where it is wrong itself, which is noted once."""
        if name not in self._put_together:
            runbook = self._put_together[name] = self._checked(name, (*via, name))
            if runbook is None:
                self._broken.add(name)
            elif not runbook.library:
                self._runbooks[name] = runbook
        return self._put_together[name]

    def _checked(self, name: str, via: tuple[str, ...]) -> Runbook | None:
        document, value = self._written[name]
        if isinstance(value, dict) and value.get("library") is True:
            if "target" in value:
                self._problems.add(document, ("target",), "a library has none: whoever uses it has one")
            value = {**value, "target": {"name": "library"}}
        own, whole = document, True
        borrowed: list[Borrowed] = []
        own_params = value.get("params") if isinstance(value, dict) else None
        if uses_others(value):
            value, own, borrowed, whole = self._composed(document, value, via)
        runbook = self._problems.validate(Runbook, own, value) if whole else None
        if runbook is None:
            return None
        self._runbook_documents[name] = own
        problems: list[Problem | None] = [*clashes(runbook, borrowed, own_params or {})] if borrowed else []
        for loc, text in runbook_problems(runbook, self._registry):
            problems.append(at_use(runbook, borrowed, (own.place(loc), text), loc, self._troubled))
        for problem in problems:
            self._troubled.add(name)
            if problem is not None:
                self._problems.add(document, *problem)
        return runbook

    def _composed(
        self, document: Document, value: dict[str, Any], via: tuple[str, ...]
    ) -> tuple[dict[str, Any], Document, list[Borrowed], bool]:
        def find(other: str) -> Runbook | None:
            if other not in self._written:
                raise InvalidInput(f"no runbook is called {other!r}{nearest(other, self._written)}")
            if other in via:
                way = " uses ".join([*via[via.index(other) :], other])
                raise InvalidInput(f"{way}: put what they share into a library")
            return self._runbook(other, via)

        uses, whole = {}, True
        for at, item in enumerate(value["scenarios"]):
            if isinstance(item, dict) and "use" in item:
                use = self._problems.validate(Use, document.at(("scenarios", at)), item)
                if use is None:
                    whole = False
                else:
                    uses[at] = use
        composed, problems = compose(value, uses, find)
        for loc, text in problems:
            self._problems.add(document, loc, text)
        whole = whole and composed.whole
        return composed.value, document.moved(composed.value, "scenarios", composed.origins), composed.borrowed, whole

    def _add_part(self, document: Document, part: Main | Included) -> None:
        for at, named in enumerate(part.time_intervals):
            if named.name in self._intervals:
                self._problems.add(document, ("time_intervals", at, "name"), f"{named.name!r} is there twice")
            self._intervals[named.name] = named
        for at, schedule in enumerate(part.schedules):
            if schedule.name in self._schedules:
                self._problems.add(document, ("schedules", at, "name"), f"{schedule.name!r} is there twice")
            self._schedules[schedule.name] = schedule
            for loc, text in schedule_problems(schedule, self._runbooks, self._broken):
                self._problems.add(document, ("schedules", at, *loc), text)
        if isinstance(part, Included):
            for at, spec in enumerate(part.routes):
                path = f"{document.name}:routes[{at}]"
                self._routes.append(Written(document, ("routes", at), spec, path))
        taken = {route.path for route in self._routes}
        for name, alert in part.alerts.items():
            if f"alerts.{name}" in taken:
                self._problems.add(document, ("alerts", name), "another file has this alert already")
            self._routes.append(Written(document, ("alerts", name), alert.as_route(name), f"alerts.{name}"))

    def _check_routes(self, document: Document, main: Main) -> None:
        libraries = frozenset(name for name, each in self._put_together.items() if each and each.library)
        checks = RouteChecks(
            self._problems, self._runbooks, frozenset(self._broken), frozenset(self._intervals), libraries
        )
        enabled = checks.check(Written(document, ("route",), main.route, "route"), self._routes)
        enabled |= {schedule.runbook for schedule in self._schedules.values()}
        for name in sorted(led_to(enabled, self._runbooks)):
            # Of what no route leads to, the peers may be set up later.
            for loc, text in peer_problems(self._runbooks[name], self._registry, main):
                self._problems.add(self._runbook_documents[name], loc, text)

    def _check_settings(self, documents: list[Document], settings: Settings) -> None:
        document = documents[0]
        problem = listen_problem(settings.listen.host, credentials=len(settings.credentials))
        if problem:
            self._problems.add(document, ("listen", "host"), problem)
        for loc, text in message_problems(settings.notify):
            self._problems.add(holder_of(loc, documents), loc, text)
        for text in unknown_clusters(settings):
            self._problems.add(document, ("keep_copies",), text)
        for name in own_redis(settings):
            self._problems.add(
                holder_of(("redis_peers", name), documents),
                ("redis_peers", name),
                "is the Redis that keeps alertbridge's own state (`redis`): no runbook may change that",
            )
        names: set[str] = set()
        tls = settings.listen.tls
        for at, each in enumerate(settings.credentials):
            if each.name == OURS:
                self._problems.add(document, ("credentials", at, "name"), f"{OURS!r} is what asks by itself")
            if each.name in names:
                self._problems.add(document, ("credentials", at, "name"), f"{each.name!r} is there twice")
            names.add(each.name)
            if each.type == "certificate" and not (tls and tls.client_ca_file):
                self._problems.add(
                    document, ("credentials", at, "type"), "certificates need `listen.tls.client_ca_file`"
                )


def default_name(file: Path, place: Path) -> str:
    """Return the name of a runbook that names itself not: its way below the folder, without the suffix.

    For a file that a pattern found it is `<folder>/<file>`.
    """
    way = file.relative_to(place) if place.is_dir() else Path(file.parent.name, file.name)
    return way.with_suffix("").as_posix()


_FILE_KEYS = frozenset({"kubeconfig", "plugins"})


def _absolute(value: Any, folder: Path, key: str = "") -> Any:
    """Make the files that the settings name relative to the configuration's folder; changes `value` in place."""
    if isinstance(value, dict):
        for name, item in value.items():
            if not key and name in ("route", "alerts", "runbooks", "include", "time_intervals"):
                continue
            value[name] = _absolute(item, folder, name)
    elif isinstance(value, list):
        value[:] = [_absolute(item, folder, key) for item in value]
    elif isinstance(value, str) and value and (key.endswith("_file") or key in _FILE_KEYS):
        return str(folder / Path(value).expanduser())
    return value


def _process_settings(main: Main, env: Mapping[str, str]) -> Settings:
    """Return the settings alone, with what a pod knows of itself."""
    own = main.own
    update = {"namespace": own.namespace or env.get("POD_NAMESPACE", ""), "pod": own.pod or env.get("POD_NAME", "")}
    given = {name: getattr(main, name) for name in main.model_fields_set & Settings.model_fields.keys()}
    return Settings.model_validate({**given, "own": own.model_copy(update=update)})
