"""YAML read as *nodes*, so that an error can name file, line and field.

``yaml.safe_load`` forgets where a value stood; people who edit ``taxonomy/`` need to know.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from jiesu_nlp.errors import DataError

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class YamlNode:
    """A YAML node with its file, for typed access and precise errors."""

    __slots__ = ("node", "path")

    def __init__(self, node: yaml.Node, path: Path) -> None:
        self.node = node
        self.path = path

    @property
    def line(self) -> int:
        """One-based line."""
        return int(self.node.start_mark.line) + 1

    @property
    def is_sequence(self) -> bool:
        """Whether the node is a list."""
        return isinstance(self.node, yaml.SequenceNode)

    def error(
        self, message: str, *, field: str | None = None, remedy: str | None = None
    ) -> DataError:
        """Return an error that points at this node."""
        return DataError(message, path=self.path, line=self.line, field=field, remedy=remedy)

    def items(self, known: frozenset[str]) -> dict[str, YamlNode]:
        """Return the fields of a mapping; unknown or repeated fields are errors."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error("此处应为“字段: 值”", remedy="检查缩进和短横线")
        found: dict[str, YamlNode] = {}
        for key, value in self.node.value:
            name = str(key.value)
            child = YamlNode(value, self.path)
            if name not in known:
                raise child.error(
                    f"不认识的字段“{name}”",
                    field=name,
                    remedy=f"可用字段：{'、'.join(sorted(known))}",
                )
            if name in found:
                raise child.error("字段重复", field=name, remedy="删去其中一个")
            found[name] = child
        return found

    def sequence(self, field: str) -> Iterator[YamlNode]:
        """Yield the items of a list; an empty value is an empty list."""
        if isinstance(self.node, yaml.ScalarNode) and self.node.value in ("", "null", "~"):
            return
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.error("此处应为列表", field=field, remedy="每项一行，以“- ”开头")
        for child in self.node.value:
            yield YamlNode(child, self.path)

    def text(self, field: str) -> str:
        """Return a scalar, stripped."""
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.error(
                "此处应为一行文字", field=field, remedy="含“: ”或“#”的文字请用双引号括起来"
            )
        return str(self.node.value).strip()

    def texts(self, field: str) -> tuple[str, ...]:
        """Return a list of scalars."""
        return tuple(child.text(field) for child in self.sequence(field))


def compose_file(path: Path) -> YamlNode:
    """Return the root node of a UTF-8 YAML file.

    Raises
    ------
    DataError
        If the file is missing, empty, not UTF-8 or not YAML.
    """
    try:
        content = path.read_bytes().decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise DataError("文件不存在", path=path, remedy="恢复该文件，或检查目录是否正确") from None
    except OSError as fault:
        reason = fault.strerror or str(fault)
        raise DataError(f"读不了（{reason}）", path=path, remedy="检查文件及其权限") from None
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise DataError("不是 UTF-8 编码", path=path, line=line, remedy="另存为 UTF-8") from None
    try:
        node = yaml.compose(content, Loader=_LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise DataError(
            f"YAML 格式错误：{getattr(error, 'problem', None) or error}",
            path=path,
            line=mark.line + 1 if mark else None,
            remedy="检查缩进；含“: ”或“#”的文字请用双引号括起来",
        ) from None
    if node is None:
        raise DataError("文件是空的", path=path, remedy="恢复该文件")
    return YamlNode(node, path)


def required(fields: dict[str, YamlNode], name: str, owner: YamlNode) -> YamlNode:
    """Return a field of ``owner`` that must be there."""
    if name not in fields:
        raise owner.error("缺少必填字段", field=name, remedy=f"补上“{name}: …”")
    return fields[name]
