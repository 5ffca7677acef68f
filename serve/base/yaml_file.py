"""Read YAML files that people write. Duplicate keys are errors."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from serve.base.errors import InvalidRecord


def read_yaml(path: Path, what: str, *, secret: bool = False) -> Any:
    """Read the YAML file `path`. Raises InvalidRecord; `what` describes the expected file, and nothing from a
    `secret` file is quoted."""
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
        problem = "this is not YAML" if secret else error.problem
        raise InvalidRecord(f"{path}{line}: {problem}; correct the YAML there") from None
    except yaml.YAMLError as error:
        raise InvalidRecord(f"{path} is not YAML{'' if secret else f': {error}'}") from None


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML's safe loader, with an error for duplicate keys instead of silently using the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue  # the safe loader reports it with its location
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is there twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)
