"""Configuration files: strict YAML in, a validated model out, and errors that name file, line and key."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from envs.errors import ConfigurationError, UnknownNameError, nearest
from envs.paths import configs_directory

Model = TypeVar("Model", bound=BaseModel)
KeyPath = tuple[str, ...]


class Settings(dict[str, Any]):
    """A configuration as read, which remembers where each key was written."""

    def __init__(self, values: Mapping[str, Any], origins: Mapping[KeyPath, str] | None = None) -> None:
        """`origins` maps a key path to "FILE:LINE", or to the override that set it."""
        super().__init__(values)
        self.origins: dict[KeyPath, str] = dict(origins or {})


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also reads 1e-4 as a number (YAML 1.1 wants 1.0e-4)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


def load_yaml(path: str | Path) -> Settings:
    """Read a YAML file that holds one mapping.

    Raises:
        ConfigurationError: the file is missing, empty, not YAML, not a mapping, or holds a key twice.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from error
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise ConfigurationError(f"{path}: the file is empty; keys with values are expected")
        if not isinstance(node, MappingNode):
            kind = "list" if isinstance(node, SequenceNode) else "single value"
            raise ConfigurationError(f"{path}:{_line(node)}: expected keys with values, got a {kind}")
        origins = _origins(node, str(path))
        values = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigurationError(f"{path}{line}: not valid YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: not valid YAML: {error}") from error
    return Settings(values, origins)


def apply_overrides(data: Mapping[str, Any], overrides: Iterable[str]) -> Settings:
    """A copy of `data` with `key.path=value` overrides applied; each value is read as YAML.

    A number in the path is an index where the configuration holds a list. Keys that no model knows are
    found by `validate`.

    Raises:
        ConfigurationError: an override without `=`, with an unreadable value, or through a plain value.
    """
    origins = data.origins if isinstance(data, Settings) else None
    result = Settings(copy.deepcopy(dict(data)), origins)
    for override in overrides:
        key, equals, text = override.partition("=")
        path = tuple(key.strip().split("."))
        if not equals or not all(path):
            raise ConfigurationError(f"--set {override}: expected KEY=VALUE, as in --set ppo.gamma=0.99")
        try:
            value = yaml.load(text, Loader=_Loader)
        except (yaml.YAMLError, ValueError) as error:
            raise ConfigurationError(f"--set {override}: {text!r} is not a YAML value") from error
        _assign(result, path, value, override)
        for stale in [known for known in result.origins if known[: len(path)] == path]:
            del result.origins[stale]
        result.origins[path] = f"--set {override}"
    return result


def validate(model: type[Model], data: Mapping[str, Any], source: str | Path) -> Model:
    """`data` as an instance of `model`, types taken strictly: no text for a number, no number for a flag.

    Raises:
        ConfigurationError: every fault with its file and line (or override), key path, value and mend.
    """
    try:
        return model.model_validate_json(json.dumps(dict(data), default=str), strict=True)
    except ValidationError as error:
        origins = data.origins if isinstance(data, Settings) else {}
        faults = [_describe(model, fault, origins, str(source)) for fault in error.errors(include_url=False)]
        raise ConfigurationError("\n".join(faults)) from error


def resolve_named(kind: str, folder: str, name_or_path: str | Path) -> Path:
    """The file of a configuration: NAME stands for `configs/<folder>/NAME.yaml`, else it is a path.

    Raises:
        UnknownNameError: neither; the valid names are listed.
    """
    directory = configs_directory() / folder
    names = sorted(path.stem for path in directory.glob("*.yaml"))
    if str(name_or_path) in names:
        return directory / f"{name_or_path}.yaml"
    path = Path(name_or_path)
    if path.is_file():
        return path
    if path.suffix in {".yaml", ".yml"}:
        raise ConfigurationError(f"{path}: no such file. Names that need no file: {', '.join(names)}")
    raise UnknownNameError(kind, str(name_or_path), names)


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _origins(root: Node, source: str) -> dict[KeyPath, str]:
    """Where each key stands; refuses a key written twice and an anchor inside itself."""
    origins: dict[KeyPath, str] = {}

    def walk(node: Node, path: KeyPath, above: tuple[Node, ...]) -> None:
        if any(node is ancestor for ancestor in above):
            raise ConfigurationError(f"{source}:{_line(node)}: {'.'.join(path)} refers to itself")
        if isinstance(node, SequenceNode):
            for index, item in enumerate(node.value):
                origins[(*path, str(index))] = f"{source}:{_line(item)}"
                walk(item, (*path, str(index)), (*above, node))
        if isinstance(node, MappingNode):
            first: dict[str, int] = {}
            for key_node, item in node.value:
                if not isinstance(key_node, ScalarNode):
                    raise ConfigurationError(f"{source}:{_line(key_node)}: a key must be a plain name")
                key, line = str(key_node.value), _line(key_node)
                if key in first:
                    twice = f"{'.'.join((*path, key))} is set twice; first on line {first[key]}"
                    raise ConfigurationError(f"{source}:{line}: {twice}")
                first[key] = line
                origins[(*path, key)] = f"{source}:{line}"
                walk(item, (*path, key), (*above, node))

    walk(root, (), ())
    return origins


def _assign(settings: dict[str, Any], path: KeyPath, value: object, override: str) -> None:
    target: Any = settings
    for depth, key in enumerate(path):
        last = depth == len(path) - 1
        if isinstance(target, list):
            if not key.isdecimal() or int(key) >= len(target):
                raise ConfigurationError(
                    f"--set {override}: {'.'.join(path[:depth])} has {len(target)} items; {key!r} is no index"
                )
            if last:
                target[int(key)] = value
            else:
                target = target[int(key)]
        elif isinstance(target, dict):
            if last:
                target[key] = value
            else:
                target = target.setdefault(key, {})
        else:
            raise ConfigurationError(
                f"--set {override}: {'.'.join(path[:depth])} is {target!r}, which has no keys"
            )


def _describe(
    model: type[BaseModel], fault: ErrorDetails, origins: Mapping[KeyPath, str], source: str
) -> str:
    """One fault in one line: where, which key, what is wrong, what would be right."""
    path = tuple(str(part) for part in fault["loc"])
    written = next((origins[path[:end]] for end in range(len(path), 0, -1) if path[:end] in origins), source)
    key = ".".join(path)
    value = _shorten(fault["input"])
    if fault["type"] == "extra_forbidden":
        parent = _model_at(model, path[:-1])
        valid = sorted(parent.model_fields) if parent else []
        match = nearest(path[-1], valid)
        hint = f": did you mean {match!r}?" if match else "."
        return f"{written}: unknown key {key!r}{hint} Valid names: {', '.join(valid)}"
    if fault["type"] == "missing":
        return f"{written}: key {key!r} is missing"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "literal_error" and isinstance(fault["input"], str):
        match = nearest(fault["input"], re.findall(r"'([^']*)'", str(fault["ctx"]["expected"])))
        message += f" (did you mean {match!r}?)" if match else ""
    if not key:
        return f"{written}: {message}"
    return f"{written}: {key}: {message}, got {value}"


def _shorten(value: object, width: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= width else text[: width - 3] + "..."


def _model_at(annotation: Any, path: KeyPath) -> type[BaseModel] | None:
    """The model that `path` leads to from `annotation`, through fields, lists, dicts and unions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not path:
            return annotation
        field = annotation.model_fields.get(path[0])
        return _model_at(field.annotation, path[1:]) if field else None
    container = get_origin(annotation) in {list, tuple, dict}
    for argument in get_args(annotation):
        found = _model_at(argument, path[1:] if container and path else path)
        if found:
            return found
    return None
