"""Read and write ``taxonomy/catalogue/``: one YAML file per level-1 class.

``catalogue.yaml`` holds version, title and the level-1 classes; ``retired.yaml`` the retired
codes; ``NN-名称.yaml`` the groups and leaves of one class. Files are composed into YAML *nodes*
rather than plain objects so that an error can name file, line and field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from jiesu_nlp.catalogue.model import (
    CLASS_CODE,
    GROUP_CODE,
    LEAF_CODE,
    Catalogue,
    Group,
    Leaf,
    LevelOneClass,
    Neighbour,
    RetiredLeaf,
)
from jiesu_nlp.errors import DataError, UsageError
from jiesu_nlp.yaml_nodes import YamlNode, compose_file, required

HEAD_FILE = "catalogue.yaml"
RETIRED_FILE = "retired.yaml"
ARROW = " → "

# Characters that YAML takes for a line break or refuses to read.
_HIDDEN = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff"
_ESCAPED = re.compile(f"[{_HIDDEN}]")
# Scalars that YAML reads back as the same string without quotes.
_PLAIN = re.compile(rf"\d+[hd]|[一-鿿A-Za-z《（【][^\\{_HIDDEN}]*")
_PLAIN_IN_LIST = re.compile(r"[一-鿿A-Za-z]+")
_AMBIGUOUS = re.compile(r"(?i)^(?:null|true|false|yes|no|on|off|y|n)$|: |:$| #|\s$")
# A file name holds at most 255 bytes, four to a character.
_CLASS_NAME = re.compile(rf"(?!\s)[^/\\{_HIDDEN}]{{1,60}}(?<!\s)")


def _code(fields: dict[str, YamlNode], owner: YamlNode, pattern: re.Pattern[str]) -> str:
    node = required(fields, "code", owner)
    code = node.text("code")
    if not pattern.fullmatch(code):
        raise node.error(f"编码“{code}”格式不对", field="code", remedy="形如 09、09-02、09-02-003")
    return code


_LEAF_FIELDS = frozenset(
    ("code", "name", "is", "not", "types", "unit", "with", "limit", "basis", "route", "says")
)


def _leaf(node: YamlNode) -> Leaf:
    fields = node.items(_LEAF_FIELDS)

    def must(name: str) -> str:
        return required(fields, name, node).text(name)

    def may(name: str) -> str:
        return fields[name].text(name) if name in fields else ""

    neighbours = []
    for line in fields["not"].sequence("not") if "not" in fields else ():
        when, arrow, code = line.text("not").rpartition(ARROW.strip())
        if not arrow or not when.strip() or not code.strip():
            raise line.error(
                "应写成“情形 → 编码”", field="not", remedy="例：品牌是假货 → 01-01-004"
            )
        neighbours.append(Neighbour(when.strip(), code.strip()))
    return Leaf(
        code=_code(fields, node, LEAF_CODE),
        name=must("name"),
        definition=must("is"),
        neighbours=tuple(neighbours),
        types=required(fields, "types", node).texts("types"),
        unit=must("unit"),
        co_units=fields["with"].texts("with") if "with" in fields else (),
        limit=must("limit"),
        basis=may("basis"),
        route=may("route"),
        says=fields["says"].texts("says") if "says" in fields else (),
    )


def _read_class_file(path: Path, class_code: str) -> tuple[list[Group], list[Leaf]]:
    root = compose_file(path)
    fields = root.items(frozenset(("class", "groups")))
    if required(fields, "class", root).text("class") != class_code:
        raise fields["class"].error(
            f"文件里的类是“{fields['class'].text('class')}”，应为“{class_code}”", field="class"
        )
    groups: list[Group] = []
    leaves: list[Leaf] = []
    for node in required(fields, "groups", root).sequence("groups"):
        parts = node.items(frozenset(("code", "name", "leaves")))
        group = Group(_code(parts, node, GROUP_CODE), required(parts, "name", node).text("name"))
        if not group.code.startswith(class_code + "-"):
            raise node.error(f"小类 {group.code} 不属于大类 {class_code}", field="code")
        groups.append(group)
        for child in required(parts, "leaves", node).sequence("leaves"):
            leaf = _leaf(child)
            if leaf.group_code != group.code:
                raise child.error(f"细项 {leaf.code} 不属于小类 {group.code}", field="code")
            leaves.append(leaf)
    return groups, leaves


def class_file_name(code: str, name: str) -> str:
    """File name of a level-1 class.

    Raises
    ------
    DataError
        If there can be no file of that name.
    """
    if not _CLASS_NAME.fullmatch(name):
        raise DataError(
            f"一级类 {code} 的名称“{name}”要作文件名，不能用",
            remedy="改为 1–60 个字，不含 /、\\、换行等控制字符，首尾没有空格",
        )
    return f"{code}-{name}.yaml"


def read_catalogue(directory: Path) -> Catalogue:
    """Read a catalogue from its directory.

    Only the form is checked here; ``jiesu catalogue check`` judges the content.

    Raises
    ------
    DataError
        Naming file, line, field and remedy.
    """
    head = compose_file(directory / HEAD_FILE)
    fields = head.items(frozenset(("version", "title", "note", "classes")))
    classes: list[LevelOneClass] = []
    groups: list[Group] = []
    leaves: list[Leaf] = []
    seen: dict[str, str] = {}
    for node in required(fields, "classes", head).sequence("classes"):
        parts = node.items(frozenset(("code", "name", "leaves", "scope", "boundary")))
        budget = required(parts, "leaves", node).text("leaves")
        if not budget.isdigit():
            raise parts["leaves"].error("应为整数", field="leaves")
        level_one = LevelOneClass(
            code=_code(parts, node, CLASS_CODE),
            name=required(parts, "name", node).text("name"),
            budget=int(budget),
            scope=parts["scope"].text("scope") if "scope" in parts else "",
            boundary=parts["boundary"].text("boundary") if "boundary" in parts else "",
        )
        classes.append(level_one)
        path = directory / class_file_name(level_one.code, level_one.name)
        class_groups, class_leaves = _read_class_file(path, level_one.code)
        groups += class_groups
        leaves += class_leaves
        items: list[Group | Leaf] = [*class_groups, *class_leaves]
        for item in items:
            if item.code in seen:
                raise DataError(
                    f"编码 {item.code} 出现两次（{seen[item.code]}、{item.name}）",
                    path=path,
                    field="code",
                    remedy="编码永不重用，请给新项分配新编码",
                )
            seen[item.code] = item.name
    return Catalogue(
        version=required(fields, "version", head).text("version"),
        title=required(fields, "title", head).text("title"),
        classes=tuple(classes),
        groups=tuple(sorted(groups, key=lambda g: g.code)),
        leaves=tuple(sorted(leaves, key=lambda leaf: leaf.code)),
        retired=_read_retired(directory / RETIRED_FILE),
    )


def _read_retired(path: Path) -> tuple[RetiredLeaf, ...]:
    if not path.exists():
        return ()
    root = compose_file(path)
    fields = root.items(frozenset(("retired",)))
    retired = []
    for node in required(fields, "retired", root).sequence("retired"):
        parts = node.items(frozenset(("code", "name", "successors", "since", "why")))
        retired.append(
            RetiredLeaf(
                code=_code(parts, node, LEAF_CODE),
                name=required(parts, "name", node).text("name"),
                successors=required(parts, "successors", node).texts("successors"),
                since=parts["since"].text("since") if "since" in parts else "",
                why=parts["why"].text("why") if "why" in parts else "",
            )
        )
    return tuple(retired)


def _quoted(text: str) -> str:
    return _ESCAPED.sub(lambda m: f"\\u{ord(m[0]):04x}", json.dumps(text, ensure_ascii=False))


def _scalar(text: str, plain: re.Pattern[str] = _PLAIN) -> str:
    if plain.fullmatch(text) and not _AMBIGUOUS.search(text):
        return text
    return _quoted(text)


def _flow(items: tuple[str, ...]) -> str:
    return "[" + ", ".join(_scalar(item, _PLAIN_IN_LIST) for item in items) + "]"


def _leaf_lines(leaf: Leaf) -> Iterator[str]:
    yield f"  - code: {_quoted(leaf.code)}"
    yield f"    name: {_scalar(leaf.name)}"
    yield f"    is: {_scalar(leaf.definition)}"
    if leaf.neighbours:
        yield "    not:"
        for n in leaf.neighbours:
            yield f"    - {_scalar(n.when + ARROW + n.code)}"
    yield f"    types: {_flow(leaf.types)}"
    yield f"    unit: {_scalar(leaf.unit)}"
    if leaf.co_units:
        yield f"    with: {_flow(leaf.co_units)}"
    yield f"    limit: {_scalar(leaf.limit)}"
    if leaf.basis:
        yield f"    basis: {_scalar(leaf.basis)}"
    if leaf.route:
        yield f"    route: {_scalar(leaf.route)}"
    if leaf.says:
        yield "    says:"
        for say in leaf.says:
            yield f"    - {_scalar(say)}"


def catalogue_files(catalogue: Catalogue) -> dict[str, bytes]:
    """Return the files of a catalogue in canonical form by name, ``catalogue.yaml`` last.

    Raises
    ------
    DataError
        If the name of a class cannot be the name of a file.
    """
    files: dict[str, list[str]] = {}
    head = [
        f"version: {_quoted(catalogue.version)}",
        f"title: {_scalar(catalogue.title)}",
        "classes:",
    ]
    for c in catalogue.classes:
        head += [f"- code: {_quoted(c.code)}", f"  name: {_scalar(c.name)}"]
        head += [f"  leaves: {c.budget}"]
        head += [f"  scope: {_scalar(c.scope)}"] if c.scope else []
        head += [f"  boundary: {_scalar(c.boundary)}"] if c.boundary else []
        lines = [f"class: {_quoted(c.code)}", "groups:"]
        for g in catalogue.groups:
            if g.code[:2] != c.code:
                continue
            lines += [f"- code: {_quoted(g.code)}", f"  name: {_scalar(g.name)}", "  leaves:"]
            for leaf in catalogue.leaves_under(g.code):
                lines += _leaf_lines(leaf)
        files[class_file_name(c.code, c.name)] = lines
    retired = ["retired:" if catalogue.retired else "retired: []"]
    for r in catalogue.retired:
        retired += [f"- code: {_quoted(r.code)}", f"  name: {_scalar(r.name)}"]
        retired.append(f"  successors: {_flow(r.successors)}")
        retired += [f"  since: {_quoted(r.since)}"] if r.since else []
        retired += [f"  why: {_scalar(r.why)}"] if r.why else []
    files[RETIRED_FILE] = retired
    files[HEAD_FILE] = head
    return {name: ("\n".join(lines) + "\n").encode() for name, lines in files.items()}


def _class_files(directory: Path) -> set[str]:
    """Names of the class files of the catalogue in a folder; none if it cannot be read."""
    try:
        return {class_file_name(c.code, c.name) for c in read_catalogue(directory).classes}
    except DataError:
        return set()


def write_catalogue(catalogue: Catalogue, directory: Path) -> None:
    """Replace the catalogue of a folder; files that are not its own stay.

    All files are written aside before the first one takes its place, and files of classes that
    are no more go last.

    Raises
    ------
    DataError
        If the name of a class cannot be the name of a file; nothing is written.
    UsageError
        If the disk refuses.
    """
    files = catalogue_files(catalogue)
    try:
        old = _class_files(directory)
        directory.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=directory, prefix=".") as aside:
            for name, data in files.items():
                (Path(aside) / name).write_bytes(data)
            for name in files:
                (Path(aside) / name).replace(directory / name)
        for name in old - files.keys():
            (directory / name).unlink(missing_ok=True)
    except OSError as fault:
        raise UsageError(
            f"无法写入 {directory}：{fault.strerror or fault}；请腾出空间或检查写入权限后重试"
        ) from None
