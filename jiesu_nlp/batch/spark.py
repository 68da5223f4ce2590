"""The cluster engine: Spark reads the rows and spreads them, every task calls the same row function.

Input files are taken in waves. A wave is one Spark job; its files are renamed into the output
folder and recorded in the manifest, so that a run that was killed goes on with the next wave.
Within a wave rows are cut into the same blocks as on a single machine, whatever Spark's own
partitions are: the last digit of a probability depends on which tickets are classified together.

:func:`answer` alone turns any Spark frame of tickets into one of answers.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tarfile
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jiesu_nlp.batch.extras import arrow, need
from jiesu_nlp.batch.manifest import FOLDER, Shard, Written, sha256_of
from jiesu_nlp.batch.rows import Answered, Task, answer_batch, moves_schema, output_schema, task_of
from jiesu_nlp.batch.run import SHARD_ROWS, Plan, Start, Tally, opened
from jiesu_nlp.batch.sink import BAD, MOVES, bad_line
from jiesu_nlp.batch.source import Chunk
from jiesu_nlp.batch.verdicts import read_saved, rewritten
from jiesu_nlp.bundle import Bundle
from jiesu_nlp.errors import DataError, UsageError

if TYPE_CHECKING:
    from jiesu_nlp.dispatcher import Dispatcher

SOURCE, ROW = "_jiesu_source", "_jiesu_row"
# What comes with the answers: the line of a bad row for the side file, a row's entry in the ledger.
_BAD, _LEDGER = "_jiesu_bad", "_jiesu_ledger"
_STAGING = "staging"
_WAVE_BYTES = 1 << 30
_TASKS_PER_CORE = 4
_SENT_TOGETHER = 5000
_PART = re.compile(r"part-(\d{5})-")


# --- the session ----------------------------------------------------------------------------------


@contextmanager
def session(master: str, options: Mapping[str, str]) -> Iterator[Any]:
    """Yield a Spark session; stop it afterwards.

    Parameters
    ----------
    master
        ``local[2]``, ``local-cluster[2,1,1024]``, ``spark://host:7077``, ``yarn`` …
    options
        Further Spark settings; they win over ours.

    Raises
    ------
    UsageError
        If pyspark or Java is missing, or no session starts.
    """
    need("pandas", "spark", "Spark 引擎")
    sql = need("pyspark.sql", "spark", "Spark 引擎")
    home = os.environ.get("JAVA_HOME")
    if shutil.which("java") is None and not (home and (Path(home) / "bin" / "java").exists()):
        raise UsageError(
            "Spark 引擎需要 Java，没有找到；请安装 Java 17（Debian：apt-get install "
            "openjdk-17-jre-headless）或设置 JAVA_HOME"
        )
    settings = {
        "spark.app.name": "jiesu relabel",
        "spark.log.level": "ERROR",
        "spark.sql.session.timeZone": "UTC",
        # A folder 2024=… is text on a single machine, too.
        "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(_SENT_TOGETHER),
        "spark.ui.showConsoleProgress": "false",
    }
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if master.startswith("local"):
        # The machine's own name need not resolve.
        os.environ.setdefault("SPARK_LOCAL_HOSTNAME", "localhost")
        settings |= {"spark.ui.enabled": "false", "spark.driver.host": "localhost"}
    builder = sql.SparkSession.builder.master(master)
    for key, value in (settings | dict(options)).items():
        builder = builder.config(key, value)
    try:
        spark = builder.getOrCreate()
    except Exception as fault:
        raise UsageError(
            f"Spark 起不来（--master {master}）：{_brief(fault)}；请检查 --master、--spark-conf 与 Java 版本"
        ) from None
    try:
        yield spark
    finally:
        spark.stop()


def _brief(fault: BaseException) -> str:
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
    told = [line for line in lines if "Exception" in line or "Error" in line]
    return (told or lines or [type(fault).__name__])[-1][:200]


# --- the function every task runs -----------------------------------------------------------------


@contextmanager
def shipped(spark: Any, bundle: Bundle) -> Iterator[str]:
    """Offer a bundle to the executors; yield the name by which :func:`answer` knows it.

    Each executor fetches and unpacks it once, when it first needs it.
    """
    # Spark takes no second archive of the same name.
    name = f"jiesu-bundle-{uuid.uuid4().hex}"
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / f"{name}.tar"
        with tarfile.open(archive, "w") as tar:
            for file in sorted(bundle.path.iterdir()):
                if file.is_file():
                    tar.add(file, file.name)
        spark.sparkContext.addArchive(f"{archive}#{name}")
        yield name


_loaded: dict[str, Dispatcher] = {}


def _dispatcher(name: str) -> Dispatcher:
    """Load the shipped bundle, once per Python worker process."""
    from jiesu_nlp.dispatcher import Dispatcher  # noqa: PLC0415 - not needed by the driver

    if name not in _loaded:
        _loaded.clear()
        files = need("pyspark", "spark", "Spark 引擎").SparkFiles
        _loaded[name] = Dispatcher.load(files.get(name))
    return _loaded[name]


def answer(
    frame: Any, task: Task, bundle: str, *, block: int = SHARD_ROWS, aside: bool = False
) -> Any:
    """Return the answers of a frame of tickets.

    Parameters
    ----------
    frame
        Spark frame with the columns of the tickets and, last, ``_jiesu_source`` (text) and
        ``_jiesu_row`` (long, one-based in its source).
    task
        What to do.
    bundle
        What :func:`shipped` calls the bundle; run the job within it.
    block
        So many rows of a source are a block. A frame that is partitioned by whole blocks and
        sorted gives exactly the single machine's answers; else a last digit may differ.
    aside
        Also return the bad rows and what the report needs, in columns ``_jiesu_…``; without, a bad
        row is left out.
    """
    convert = need("pyspark.sql.pandas.types", "spark", "Spark 引擎")
    schema = answered_schema(input_schema(frame), task, aside=aside)
    function = partial(
        _answer_batches,
        saved=asdict(task),
        bundle=bundle,
        block=block,
        aside=aside,
    )
    return frame.mapInArrow(function, convert.from_arrow_schema(schema, prefer_timestamp_ntz=True))


def input_schema(frame: Any) -> Any:
    """Return the Arrow schema of the tickets in a frame."""
    convert = need("pyspark.sql.pandas.types", "spark", "Spark 引擎")
    schema = convert.to_arrow_schema(frame.drop(SOURCE, ROW).schema)
    return arrow().schema([arrow().field(f.name, f.type) for f in schema])


def answered_schema(schema: Any, task: Task, *, aside: bool) -> Any:
    """Return the Arrow schema of :func:`answer` for tickets of the given schema."""
    pa = arrow()
    fields = list(output_schema(schema, task))
    if aside:
        fields.append(pa.field(_BAD, pa.string()))
        if task.old_label is not None:
            fields.append(pa.field(_LEDGER, pa.struct(list(moves_schema()))))
    return pa.schema(fields)


def _answer_batches(
    batches: Iterator[Any], *, saved: Mapping[str, Any], bundle: str, block: int, aside: bool
) -> Iterator[Any]:
    task = task_of(saved)
    for source, numbers, rows in _blocks(batches, block):
        answered = answer_batch(_dispatcher(bundle), rows, task, source=source, numbers=numbers)
        table = answered.table
        if aside:
            table = _with_aside(answered, answered_schema(rows.schema, task, aside=True), source)
        yield from table.to_batches(max_chunksize=_SENT_TOGETHER)


def _with_aside(answered: Answered, schema: Any, source: str) -> Any:
    """Return the answers and behind them the bad rows, with what is kept aside of each."""
    pa = arrow()
    table = answered.table.append_column(
        schema.field(_BAD), pa.nulls(answered.table.num_rows, pa.string())
    )
    if answered.moves is not None:
        ledger = answered.moves.combine_chunks().to_struct_array().combine_chunks()
        table = table.append_column(schema.field(_LEDGER), ledger)
    lines = [bad_line(source, b) for b in answered.bad]
    bad = [
        pa.array(lines, f.type) if f.name == _BAD else pa.nulls(len(lines), f.type) for f in schema
    ]
    return pa.concat_tables([table, pa.table(bad, schema=schema)])


def _blocks(batches: Iterator[Any], block: int) -> Iterator[tuple[str, list[int], Any]]:
    """Cut the rows of a partition where a source or a block of it ends."""
    pa = arrow()
    held: list[Any] = []
    key: tuple[str, int] | None = None
    for batch in batches:
        sources = batch.column(SOURCE).to_pylist()
        numbers = batch.column(ROW).to_pylist()
        keys = [(s, (n - 1) // block) for s, n in zip(sources, numbers, strict=True)]
        edges = [i for i in range(len(keys)) if i == 0 or keys[i] != keys[i - 1]]
        for start, end in zip(edges, [*edges[1:], len(keys)], strict=True):
            if keys[start] != key and held:
                yield _block(pa, held)
                held = []
            key = keys[start]
            held.append(batch.slice(start, end - start))
    if held:
        yield _block(pa, held)


def _block(pa: Any, held: Sequence[Any]) -> tuple[str, list[int], Any]:
    table = pa.Table.from_batches(held).combine_chunks()
    source, numbers = table.column(SOURCE)[0].as_py(), table.column(ROW).to_pylist()
    return source, numbers, table.drop_columns([SOURCE, ROW]).to_batches()[0]


# --- the driver -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _File:
    """A file of the input: its name below the input, its URI, size and time of change."""

    name: str
    uri: str
    bytes: int
    changed: int


class SparkSource:
    """Parquet files that Spark can see: a file or a folder, of any file system it knows."""

    def __init__(self, spark: Any, spec: str) -> None:
        self._spark = spark
        hadoop = spark._jvm.org.apache.hadoop.fs
        path = hadoop.Path(spec)
        try:
            system = path.getFileSystem(spark._jsc.hadoopConfiguration())
            if not system.exists(path):
                raise UsageError(f"输入不存在：{spec}")
            whole = system.makeQualified(path)
            root = whole if system.getFileStatus(whole).isDirectory() else whole.getParent()
            self._root = str(root.toUri().getPath()).rstrip("/")
            self._base = str(root.toString())
            self._files = self._list(system, whole)
        except _faults() as fault:
            raise UsageError(f"读不了输入 {spec}：{_brief(fault)}") from None
        if not self._files:
            raise UsageError(
                f"没有 Parquet 文件：{spec}；Spark 引擎只读 Parquet，别的格式请用 local"
            )
        self.pieces = tuple(f.name for f in self._files)
        try:
            reader = spark.read.option("mergeSchema", "true").option("basePath", self._base)
            self._types = reader.parquet(*(f.uri for f in self._files)).schema
        except _faults() as fault:
            raise DataError(
                f"读不了文件的列：{_brief(fault)}",
                path=spec,
                remedy="损坏的文件先移走；各文件列类型不一致的先统一，或分开处理",
            ) from None
        self.schema = input_schema(self.frame(self._files))

    def _list(self, system: Any, path: Any) -> list[_File]:
        found = []
        listing = system.listFiles(path, True)
        while listing.hasNext():
            status = listing.next()
            inside = str(status.getPath().toUri().getPath())[len(self._root) + 1 :]
            hidden = any(part[0] in "._" for part in inside.split("/"))
            if not hidden and inside.lower().endswith((".parquet", ".pq")):
                uri = str(status.getPath().toString())
                found.append(_File(inside, uri, status.getLen(), status.getModificationTime()))
        return sorted(found, key=lambda f: f.name)

    def frame(self, files: Sequence[_File]) -> Any:
        """Return the rows of some files, each with its source and its number there."""
        f = need("pyspark.sql.functions", "spark", "Spark 引擎")
        reader = self._spark.read.schema(self._types).option("basePath", self._base)
        frame = reader.parquet(*(file.uri for file in files))
        # The URI is percent-encoded; a plus sign is one.
        plain = f.expr("url_decode(replace(_metadata.file_path, '+', '%2B'))")
        path = f.regexp_replace(plain, "^[A-Za-z0-9.-]+:(//[^/]*)?(?=/)", "")
        return frame.select(
            "*",
            f.expr("_metadata.row_index + 1").alias(ROW),
            f.substring(path, len(self._root) + 2, 1 << 20).alias(SOURCE),
        )

    def read(self, piece: int, size: int) -> Iterator[Chunk]:
        """Yield the first rows of a piece (to look at, not to answer)."""
        rows = self.frame([self._files[piece]]).drop(SOURCE, ROW).limit(size).collect()
        table = arrow().Table.from_pylist([r.asDict() for r in rows], schema=self.schema)
        for batch in table.combine_chunks().to_batches():
            yield Chunk(batch, range(1, batch.num_rows + 1))

    def waves(self) -> list[list[_File]]:
        """Return the files in groups of about a gigabyte."""
        waves: list[list[_File]] = []
        size = _WAVE_BYTES
        for file in self._files:
            if size >= _WAVE_BYTES:
                waves.append([])
                size = 0
            waves[-1].append(file)
            size += file.bytes
        return waves


def _faults() -> tuple[type[Exception], ...]:
    """Return what Spark raises."""
    return (
        need("py4j.protocol", "spark", "Spark 引擎").Py4JError,
        need("pyspark.errors", "spark", "Spark 引擎").PySparkException,
    )


def relabel(
    spark: Any,
    source: SparkSource,
    plan: Plan,
    start: Start,
    *,
    bundle: Bundle,
    progress: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Answer all rows of a source into the plan's output folder, or finish doing so.

    The folder must be one that the driver and all executors see under the same path.

    Parameters
    ----------
    spark, source, plan, start
        Where, what, how, and from where on.
    bundle
        By which bundle.
    progress
        Called after every wave.

    Raises
    ------
    UsageError
        If the folder holds something else, the input changed, or a Spark job fails.
    BundleError
        If the bundle changed since the run began.
    """
    with (
        opened(source, plan, start, engine="spark") as (manifest, tally),
        shipped(spark, bundle) as name,
    ):
        waves = source.waves()
        total = max(sum(f.bytes for wave in waves for f in wave), 1)
        done = 0
        for number, wave in enumerate(waves):
            key = f"{number:05d}"
            digest = hashlib.sha256(repr(wave).encode()).hexdigest()
            old = manifest.shards.get(key)
            if old is not None and old.input != digest:
                raise UsageError(
                    f"输入在两次运行之间变了：{wave[0].name} 起的文件与已完成的第 {number + 1} 批不符；"
                    "请恢复原输入，或加 --restart 全部重做"
                )
            if old is not None and manifest.intact(old):
                tally.add(old, resumed=True)
            else:
                frame = source.frame(wave)
                shard = _do_wave(spark, frame, plan, name, key, digest, start.bundle)
                manifest.add(shard)
                tally.add(shard)
            done += sum(f.bytes for f in wave)
            tally.share = done / total
            progress(tally)
        return tally


def _do_wave(
    spark: Any, frame: Any, plan: Plan, bundle: str, key: str, digest: str, identity: str
) -> Shard:
    staging = plan.output.resolve() / FOLDER / _STAGING
    try:
        shutil.rmtree(staging, ignore_errors=True)
        decisions, bad = _write_wave(spark, frame, plan, bundle, staging)
        files = _publish(plan.output, staging, key)
        files = rewritten(plan.output, files, read_saved(plan.output, key), plan.task)
    except _faults() as fault:
        raise UsageError(
            f"Spark 作业失败：{_brief(fault)}；已完成的部分保留，排除后重新运行同一命令即可继续"
        ) from None
    except OSError as fault:
        raise UsageError(
            f"写 {plan.output} 失败：{fault.strerror or fault}；"
            "输出文件夹须是驱动程序和所有执行器都能以同一路径读写的共享目录"
        ) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Shard(key, digest, sum(decisions.values()), bad, decisions, identity, files)


def _write_wave(
    spark: Any, frame: Any, plan: Plan, bundle: str, staging: Path
) -> tuple[dict[str, int], int]:
    """Write answers, ledger and bad rows of a wave; return its decisions and how many are bad."""
    f = need("pyspark.sql.functions", "spark", "Spark 引擎")
    level = need("pyspark", "spark", "Spark 引擎").StorageLevel.DISK_ONLY
    task = plan.task
    # The decision is counted, chosen or not.
    counted = replace(task, columns=tuple(dict.fromkeys((*task.columns, "decision"))))
    blocks = frame.count() // plan.shard_rows + 1
    tasks = min(blocks, max(_TASKS_PER_CORE * spark.sparkContext.defaultParallelism, blocks // 8))
    spread = frame.repartitionByRange(
        tasks, f.col(SOURCE), f.expr(f"({ROW} - 1) div {plan.shard_rows}")
    ).sortWithinPartitions(SOURCE, ROW)
    answered = answer(spread, counted, bundle, block=plan.shard_rows, aside=True)
    answered = answered.persist(level)
    try:
        names = output_schema(input_schema(frame), task).names
        good = answered.where(f.col(_BAD).isNull())
        good.select(*(f.col(f"`{n}`") for n in names)).write.parquet(staging.as_uri() + "/rows")
        decision = f.col(f"`{task.prefix}decision`")
        counts = {row[0]: row[1] for row in answered.groupBy(decision).count().collect()}
        bad = counts.pop(None, 0)
        if task.old_label is not None:
            good.select(f"{_LEDGER}.*").write.parquet(staging.as_uri() + f"/{MOVES}")
        if bad:
            lines = answered.where(f.col(_BAD).isNotNull()).select(_BAD)
            lines.write.text(staging.as_uri() + f"/{BAD}")
    finally:
        answered.unpersist()
    return dict(sorted(counts.items())), bad


def _publish(output: Path, staging: Path, key: str) -> tuple[Written, ...]:
    """Move the files of a wave to their places; those of an earlier try are replaced."""
    places = (
        ("rows", "part-{}.parquet"),
        (MOVES, f"{FOLDER}/{MOVES}/part-{{}}.parquet"),
        (BAD, f"{FOLDER}/{BAD}/part-{{}}.jsonl"),
    )
    written = []
    for kind, place in places:
        name = place.format("")
        for old in (output / name).parent.glob(f"part-{key}-*"):
            old.unlink()
        for path in sorted((staging / kind).glob("part-*")):
            number = _PART.match(path.name)
            if number is None or not path.stat().st_size:
                continue
            name = place.format(f"{key}-{number[1]}")
            (output / name).parent.mkdir(parents=True, exist_ok=True)
            path.replace(output / name)
            size = (output / name).stat().st_size
            written.append(Written(name, size, sha256_of(output / name)))
    return tuple(written)
