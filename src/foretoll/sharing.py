"""Records as they are shared: without where a machine keeps things, and on request without whose machine it is.

Exports, JSON and pages name paths from the current folder or from the home folder. The anonymous form keeps what
forecasts learn from (sizes, settings, signals, costs, names of data sets and classes, the processor) and nothing of
user, host, folders or the system's version.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from foretoll.records import Record

Kind = TypeVar("Kind", bound=Record)
# one absolute path, or one from a home folder, in a text; of a URI only the path
_PART = r"[^\s'\"`:;,?&=()<>|/\\]"
_PATH = re.compile(rf"(?<![\w.~/-])(?:~[\w.-]*|[A-Za-z]:)?[/\\](?:{_PART}+[/\\])*{_PART}*")
_COMMON_USERS = ("root", "user", "admin", "ubuntu", "runner")  # words, rather than somebody's name
_SENTENCES = ("reason", "reading", "notes", "note", "warnings", "detail")
_URIS = ("uri", "trained_on", "arch", "tokenizer", "model", "student")


def shortened(record: Kind) -> Kind:
    """The same record; what lies in the current folder is named from there, what lies at home by `~`."""
    return _changed(record, shortened_data)


def shortened_data(data: Any) -> Any:
    """Plain JSON data of a record, with short paths."""
    return _mapped(data, short_text)


def short_text(text: str) -> str:
    """A text with the current folder left out of its paths, and the home folder as `~`."""
    if "/" not in text:
        return text
    for folder, instead in ((_here(), ""), (_home(), "~/")):
        if folder and folder in text:
            text = re.sub(rf"(?<![\w.~/-]){re.escape(folder)}/(?=[^/\s])", instead, text)
            text = re.sub(rf"(?<![\w.~/-]){re.escape(folder)}(?![\w./-])", instead.rstrip("/") or ".", text)
    return text


def anonymous(record: Kind) -> Kind:
    """The same record without user, host, folders and the system's version; forecasts from it are the same."""
    return _changed(record, anonymous_data)


def told_apart(record: Record) -> Any:
    """What of a record is the same however it was shared: its anonymous form without sentences, which name paths."""
    return _without_sentences(anonymous_data(json.loads(record.model_dump_json(by_alias=True))))


def _without_sentences(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_sentences(item) for key, item in value.items() if key not in _SENTENCES}
    return [_without_sentences(item) for item in value] if isinstance(value, list) else value


def anonymous_data(data: Any) -> Any:
    """Plain JSON data of a record, made anonymous."""
    names: dict[str, str] = {}
    if isinstance(data, dict) and isinstance(data.get("models"), dict):  # of a comparison, by name
        for number, name in enumerate(data["models"], start=1):
            plain = _nameless(_last(name))
            names[name] = plain if plain not in names.values() else f"{plain} ({number})"
        data = {**data, "models": {names[name]: card for name, card in data["models"].items()}}
    return _anonymous(data, names)


def _anonymous(value: Any, names: dict[str, str], key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _anonymous(item, names, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_anonymous(item, names, key) for item in value]
    if key in ("checkpoint", "kept"):
        return None
    if not isinstance(value, str):
        return value
    if key == "platform":  # Linux-6.1.0-18-amd64-x86_64-with-glibc2.36
        return value.partition("-")[0]
    if value in names:
        return names[value]
    if key in _URIS:
        return _nameless(_last_of_uri(value))
    return _nameless(value)


def _last_of_uri(uri: str) -> str:
    """A data URI or a model's name with the last part of its path alone, also of paths among its options."""
    head, mark, query = uri.partition("?")
    scheme, colon, path = head.partition(":")
    parts = []
    for key, equals, value in (part.partition("=") for part in query.split("&")):
        parts.append(f"{key}{equals}{_last(value) if key == 'root' or value[:1] in ('/', '~') else value}")
    return (
        f"{scheme}{colon}{_last(path)}{mark}{'&'.join(parts)}"
        if colon
        else f"{_last(head)}{mark}{'&'.join(parts)}"
    )


def _last(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]


def _nameless(text: str) -> str:
    """A text with each path in it reduced to its last part, and without the names of user and host."""
    text = _PATH.sub(lambda found: _last(found[0]) or found[0], text)
    for pattern in _own_names():
        text = pattern.sub("…", text)
    return text


def _changed(record: Kind, change: Callable[[Any], Any]) -> Kind:
    before = json.loads(record.model_dump_json(by_alias=True))
    after = change(before)
    return record if after == before else type(record).model_validate_json(json.dumps(after))


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {change(key): _mapped(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    return change(value) if isinstance(value, str) else value


def _here() -> str:
    try:
        here = str(Path.cwd())
    except OSError:  # it was taken away
        return ""
    return "" if here == "/" else here


def _home() -> str:
    try:
        home = str(Path.home())
    except RuntimeError:  # nobody's
        return ""
    return "" if home == "/" else home


@cache
def _own_names() -> list[re.Pattern[str]]:
    names = {socket.gethostname(), socket.gethostname().partition(".")[0]}
    names |= {os.environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME")} | {Path(_home()).name}
    names = {name for name in names if len(name) > 2 and name not in (*_COMMON_USERS, "localhost")}
    return [re.compile(rf"(?<!\w){re.escape(name)}(?!\w)") for name in sorted(names, key=len, reverse=True)]
