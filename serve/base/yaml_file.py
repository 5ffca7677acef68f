"""YAML files that people write: read strictly."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from serve.base.errors import InvalidRecord


def read_yaml(path: Path, what: str, *, secret: bool = False) -> Any:
    """What the YAML file `path` says. Raises InvalidRecord; `what` names what the path should be of; of a
    `secret` file nothing is quoted."""
    try:
        loader = _UniqueKeyLoader(path.read_bytes())
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except OSError as error:
        raise InvalidRecord(f"{path}: {error.strerror}; give the path of {what}") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = "this is no YAML" if secret else error.problem
        raise InvalidRecord(f"{path}{line}: {problem}; correct the YAML there") from None
    except yaml.YAMLError as error:
        raise InvalidRecord(f"{path} is no YAML{'' if secret else f': {error}'}") from None


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML's safe loader, which by itself lets the last of two equal keys win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue  # the safe loader refuses it itself, with the place
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands here a second time", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)
