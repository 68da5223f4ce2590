"""Read the tab-separated tables of ``taxonomy/`` with errors that name line and field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jiesu_nlp.errors import DataError


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: its fields by column name and where it stands."""

    path: Path
    line: int
    fields: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.fields[column]

    def many(self, column: str) -> tuple[str, ...]:
        """Split a list column at ``;``."""
        return tuple(p for p in (part.strip() for part in self.fields[column].split(";")) if p)

    def error(
        self, message: str, column: str | None = None, remedy: str | None = None
    ) -> DataError:
        """Return an error that points at this line."""
        return DataError(message, path=self.path, line=self.line, field=column, remedy=remedy)


def read_table(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of a UTF-8 tab-separated file with a header line.

    Parameters
    ----------
    path
        The file. Blank lines and lines starting with ``#`` are skipped.
    columns
        Columns that must be there; others are kept.

    Raises
    ------
    DataError
        If the file is missing or not UTF-8, a column is missing, or a line has too many fields.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise DataError("文件不存在", path=path, remedy="恢复该文件，或检查目录是否正确") from None
    except OSError as fault:
        reason = fault.strerror or str(fault)
        raise DataError(f"读不了（{reason}）", path=path, remedy="检查文件及其权限") from None
    except UnicodeDecodeError as error:
        bad_line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise DataError(
            "不是 UTF-8 编码", path=path, line=bad_line, remedy="另存为 UTF-8"
        ) from None
    header: list[str] | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        if header is None:
            header = cells
            missing = [c for c in columns if c not in header]
            if missing:
                raise DataError(
                    f"表头缺少列：{'、'.join(missing)}",
                    path=path,
                    line=number,
                    remedy="首行为列名，以制表符分隔",
                )
            continue
        if len(cells) > len(header):
            raise DataError(
                f"有 {len(cells)} 列，表头只有 {len(header)} 列",
                path=path,
                line=number,
                remedy="检查多余的制表符",
            )
        cells += [""] * (len(header) - len(cells))
        yield Row(path, number, dict(zip(header, cells, strict=True)))
    if header is None:
        raise DataError("文件是空的", path=path, remedy="恢复该文件")
