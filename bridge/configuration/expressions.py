"""CEL for conditions and parameters. Called by the engine (to evaluate) and by the loader (to check).

Expressions come from configuration alone. What they read (labels, annotations, evidence) is data: the result of
an evaluation is never read as an expression again, so `${…}` inside a label stays text.

Variables that the engine gives: `labels`, `annotations`, `params`, `evidence`, `alert`, `connections`, `now`.
CEL doesn't mix integers and floats in arithmetic (it does in comparisons): a wrong mixture is unknown.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from bridge.configuration.cel_functions import OWN
from bridge.configuration.cel_library import cel
from bridge.configuration.cel_text import references, split_template
from bridge.errors import InvalidInput, UnknownValue

MAX_LENGTH = 4096
"""Characters. The evaluator recurses: far longer expressions would exhaust the stack."""
FUNCTIONS = frozenset(
    {"size", "contains", "startsWith", "endsWith", "matches", "dyn", "type"}
    | {"int", "uint", "double", "string", "bytes", "timestamp", "duration"}
    | {"getFullYear", "getMonth", "getDayOfYear", "getDayOfMonth", "getDate", "getDayOfWeek"}
    | {"getHours", "getMinutes", "getSeconds", "getMilliseconds"}
    | OWN.keys()
)
"""The functions that there are, beside operators and macros."""

_INT64 = range(-(2**63), 2**63)
_MISSING = object()
NOT_KNOWN = "(not known)"
"""What stands in a text for people where nothing is known."""
_MOST_TOLD = 20
"""Items of a list that are put into such a text."""


class Condition:
    """A compiled expression that is true, false or unknown."""

    __slots__ = ("_program", "text")

    def __init__(self, text: str) -> None:
        """Compile; raise InvalidInput with the compiler's words."""
        self.text = text
        self._program = _compile(text)

    def evaluate(self, variables: Mapping[str, Any]) -> bool | None:
        """Return True, False, or None when it cannot be known; see `evaluate_detailed`."""
        return self.evaluate_detailed(variables)[0]

    def evaluate_detailed(self, variables: Mapping[str, Any]) -> tuple[bool | None, str]:
        """Return the answer and one sentence that says what it rests on.

        Unknown (None) is: an error while evaluating (a name, field or index that is not there, types that don't
        fit), and a result that is no bool. CEL has no truthiness, and taking a number or a text for yes or no
        would act on something nobody said. `&&` and `||` absorb an unknown side that cannot change the result.
        """
        try:
            value = _execute(self._program, self.text, variables)
        except UnknownValue as error:
            return None, str(error)
        if not isinstance(value, bool):
            return None, f"`{self.text}` gives {_shown(value)}, which is neither true nor false"
        return value, self._facts(value, variables)

    def _facts(self, value: bool, variables: Mapping[str, Any]) -> str:
        """Return e.g. "`evidence.pods.ready == 0` is true: evidence.pods.ready is 0"."""
        facts = [
            f"{'.'.join(path)} is {_shown(found)}"
            for path in references(self.text)[:6]
            if (found := _resolve(path, variables)) is not _MISSING and not isinstance(found, Mapping | list)
        ]
        return f"`{self.text}` is {str(value).lower()}" + (f": {', '.join(facts)}" if facts else "")


class Template:
    """A text with `${…}` in it. Exactly one expression keeps its type; inside longer text it becomes a string."""

    __slots__ = ("_pieces", "text")

    def __init__(self, text: str) -> None:
        """Compile every expression; raise InvalidInput."""
        self.text = text
        self._pieces = tuple(
            (piece.text, _compile(piece.text) if piece.is_expression else None) for piece in split_template(text)
        )

    @property
    def expressions(self) -> tuple[str, ...]:
        return tuple(text for text, program in self._pieces if program is not None)

    def render(self, variables: Mapping[str, Any]) -> Any:
        """Return plain JSON values; raise UnknownValue when something is not known or has no plain form."""
        values = [text if program is None else _execute(program, text, variables) for text, program in self._pieces]
        if len(values) == 1 and self._pieces[0][1] is not None:
            return _plain(values[0], self.text)
        return "".join(_as_text(value, self.text) for value in values)

    def tell(self, variables: Mapping[str, Any]) -> str:
        """Return a text for people, whatever happens: what is not known is called so, a list has commas."""
        return "".join(text if program is None else _told(program, text, variables) for text, program in self._pieces)


@lru_cache(maxsize=4096)
def template(text: str) -> Template:
    """Return the compiled template, from a cache; raise InvalidInput."""
    return Template(text)


def render(value: Any, variables: Mapping[str, Any]) -> Any:
    """Return `value` (a nested structure of parameters) with every template in its texts rendered.

    Keys are taken as they are. Raises UnknownValue when an expression touches something that is missing, and
    InvalidInput when it doesn't compile.
    """
    if isinstance(value, str):
        return template(value).render(variables) if "${" in value else value
    if isinstance(value, Mapping):
        return {key: render(item, variables) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [render(item, variables) for item in value]
    return value


def tell(value: Any, variables: Mapping[str, Any]) -> Any:
    """As `render`, for texts that people read: nothing that is missing keeps them from being told the rest."""
    if isinstance(value, str):
        return template(value).tell(variables) if "${" in value else value
    if isinstance(value, Mapping):
        return {key: tell(item, variables) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [tell(item, variables) for item in value]
    return value


def functions(text: str) -> frozenset[str]:
    """Return the names of the functions that an expression calls, operators left out. Raises InvalidInput."""
    return frozenset(name for name in _compile(text).functions() if name.isidentifier() and name[0] != "_")


@lru_cache(maxsize=4096)
def _compile(text: str) -> Any:
    if len(text) > MAX_LENGTH:
        raise InvalidInput(f"expression of {len(text)} characters: at most {MAX_LENGTH} are allowed")
    try:
        return cel.compile(text)
    except BaseException as error:  # a panic of the compiler is a BaseException that is none of Python's own
        _raise_ours(error)
        first = str(error).partition("\n")[0]
        # What could have stood there instead is a list of every token of the grammar.
        words = (first.partition("ERROR: <input>:")[2] or first).partition(" expecting {")[0]
        raise InvalidInput(f"`{text}` is not CEL: {words}") from None


def _execute(program: Any, text: str, variables: Mapping[str, Any]) -> Any:
    """Return the value; raise UnknownValue for whatever goes wrong."""
    roots = {path[0] for path in references(text)}
    known = {name: _clean(variables[name]) for name in roots if name in variables}
    called = {name: OWN[name] for name in program.functions() if name in OWN}
    try:
        return program.execute({name: value for name, value in known.items() if value is not _MISSING} | called)
    except BaseException as error:  # as in _compile
        _raise_ours(error)
        raise UnknownValue(f"`{text}` is not known: {_why(text, variables, error)}") from None


def _why(text: str, variables: Mapping[str, Any], error: BaseException) -> str:
    missing = [".".join(path) for path in references(text) if _resolve(path, variables) is _MISSING]
    if missing and not isinstance(error, TypeError | ZeroDivisionError | OverflowError):
        return f"{', '.join(missing[:3])} {'is' if len(missing) == 1 else 'are'} not there"
    null = [".".join(path) for path in references(text) if _resolve(path, variables) is None]
    if null and isinstance(error, TypeError):
        return f"{', '.join(null[:3])} {'is' if len(null) == 1 else 'are'} null, which stands for what nobody knows"
    return f"{type(error).__name__}: {str(error).partition('. ')[0]}"


def _raise_ours(error: BaseException) -> None:
    if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit | MemoryError):
        raise error


def _resolve(path: tuple[str, ...], variables: Mapping[str, Any]) -> Any:
    value: Any = variables
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return _MISSING
        value = value[key]
    return _MISSING if _clean(value) is _MISSING else value


def _clean(value: Any) -> Any:
    """Return `value` as CEL can take it, without what it would take for something else.

    Not-a-number and infinity (a rate over nothing) compare as false, and integers beyond 64 bits lose digits:
    both are left out, so that an expression that touches them is unknown. A list that holds one is left out
    itself, because its size and order would lie.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else _MISSING
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value in _INT64 else _MISSING
    if isinstance(value, Mapping):
        return {key: item for key, raw in value.items() if (item := _clean(raw)) is not _MISSING}
    if isinstance(value, list | tuple):
        items = [_clean(item) for item in value]
        return _MISSING if any(item is _MISSING for item in items) else items
    return value


def _plain(value: Any, text: str) -> Any:
    """Return `value` as JSON has it: a time as RFC 3339, a duration as seconds."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, dict):
        return {str(key): _plain(item, text) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, text) for item in value]
    if value is None or isinstance(value, str | bool) or (isinstance(value, int) and value in _INT64):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise UnknownValue(f"`{text}` gives {_shown(value)}, which a parameter cannot hold")


def _as_text(value: Any, text: str) -> str:
    plain = _plain(value, text)
    if isinstance(plain, str):
        return plain
    if isinstance(plain, bool):
        return "true" if plain else "false"
    if isinstance(plain, float):
        return str(int(plain)) if plain.is_integer() and abs(plain) < 1e15 else repr(plain)
    if isinstance(plain, int):
        return str(plain)
    raise UnknownValue(f"`{text}` puts {_shown(value)} into a text: only texts, numbers, true and false fit")


def _told(program: Any, text: str, variables: Mapping[str, Any]) -> str:
    try:
        return _in_words(_plain(_execute(program, text, variables), text), text)
    except UnknownValue:
        return NOT_KNOWN


def _in_words(value: Any, text: str) -> str:
    if value is None:
        return NOT_KNOWN
    if isinstance(value, list):
        shown = [_in_words(item, text) for item in value[:_MOST_TOLD]]
        return ", ".join([*shown, f"{len(value) - _MOST_TOLD} more"] if len(value) > _MOST_TOLD else shown)
    if isinstance(value, dict):
        return _in_words([f"{key}: {_in_words(item, text)}" for key, item in value.items()], text)
    return _as_text(value, text)


def _shown(value: Any) -> str:
    # As CEL writes them: whoever reads this wrote the expression.
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
