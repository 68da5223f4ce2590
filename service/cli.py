"""Verbs of the operator's side, added to ``jiesu`` through the entry point ``jiesu.commands``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from jiesu_nlp.cli.console import load_dispatcher, note, out, say, say_table
from jiesu_nlp.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from service.access import Access, Role

_users = typer.Typer(no_args_is_help=True, help="派单台用户：新增、列出、改口令、改角色、停用。")
_keys = typer.Typer(no_args_is_help=True, help="接口密钥：生成（只显示一次）、列出、吊销。")
_records = typer.Typer(
    no_args_is_help=True, help="工单与处理结果：导出训练数据、导入工单、清理、备份。"
)
_RoleName = Annotated[
    str, typer.Option("--role", help="operator 派单员、engineer 工程师、admin 管理员。")
]
_INSTALL = "没有安装服务部件；请安装：pip install 'jiesu-nlp[service]'"


def add_to(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.command("serve", help="启动派单服务与派单台（--demo 无需任何准备）。")(serve)
    app.add_typer(_users, name="user")
    app.add_typer(_keys, name="key")
    app.add_typer(_records, name="records")


def serve(
    demo: Annotated[
        bool, typer.Option("--demo", help="试用：临时密钥与一次性口令，自带示例工单。")
    ] = False,
    host: Annotated[
        str, typer.Option(help="监听地址；对外服务请放在 HTTPS 反向代理之后。")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="端口。", min=1, max=65535)] = 8000,
) -> None:
    """Run the service until it is told to stop."""
    try:
        from service.run import run
    except ModuleNotFoundError as fault:
        raise UsageError(f"{_INSTALL}（缺 {fault.name}）") from None
    from jiesu_nlp.bundle import Registry
    from jiesu_nlp.home import models_dir

    if not Registry(models_dir()).names():
        load_dispatcher(None)  # Builds the default bundle, with progress.
    run(demo=demo, host=host, port=port)


def _engine() -> Engine:
    try:
        from service.settings import data_dir, database_url
        from service.store.engine import migrate, open_engine
    except ModuleNotFoundError as fault:
        raise UsageError(f"{_INSTALL}（缺 {fault.name}）") from None
    from sqlalchemy.exc import SQLAlchemyError

    from jiesu_nlp.batch.address import shown

    engine = open_engine(database_url(data_dir()))
    file = engine.url.database if engine.dialect.name == "sqlite" else None
    store = str(Path(file).resolve()) if file else shown(str(engine.url))
    # A shell without the service's environment means another store: who runs the verb must see it.
    note(f"存储：{store}")
    try:
        migrate(engine)
    except SQLAlchemyError as fault:
        raise UsageError(
            f"连不上数据库 {store}（{type(fault).__name__}）；"
            "请检查 JIESU_DATABASE_URL 与数据库是否启动"
        ) from None
    return engine


def _audit(engine: Engine, action: str, detail: str) -> None:
    """Write who did what on the command line into the audit log."""
    import getpass

    from sqlalchemy import insert

    from service.store.tables import audit, new_id, stamp

    try:
        who = getpass.getuser()
    except (KeyError, OSError):
        who = "?"
    row = {"id": new_id(), "created_at": stamp(), "actor": f"cli:{who}", "action": action}
    with engine.begin() as c:
        c.execute(insert(audit).values(**row, detail=detail, peer=None))


def _access() -> Access:
    engine = _engine()
    from service.access import Access

    return Access(engine)


def _role(name: str) -> Role:
    from service.access import Role

    try:
        return Role(name)
    except ValueError:
        raise UsageError(f"没有角色“{name}”；可选 {'、'.join(r.value for r in Role)}") from None


@_users.command("add", help="新增用户；不给口令时生成一个并显示一次。")
def add_user(
    name: Annotated[str, typer.Argument(help="用户名。")],
    role: _RoleName = "operator",
    password: Annotated[
        str | None, typer.Option("--password-stdin", help="口令从标准输入读取时写 -。")
    ] = None,
) -> None:
    """Make an account."""
    access = _access()
    secret, shown = _password(password)
    access.add_account(name, _role(role), secret)
    _audit(access.engine, "user-add", f"{name}（{_role(role).label}）")
    say(f" {name}（{_role(role).label}）", head="已新增")
    _show(shown)


@_users.command("password", help="重设口令；该用户的登录随即失效。")
def reset_password(
    name: Annotated[str, typer.Argument(help="用户名。")],
    password: Annotated[
        str | None, typer.Option("--password-stdin", help="口令从标准输入读取时写 -。")
    ] = None,
) -> None:
    """Set a new password."""
    access = _access()
    secret, shown = _password(password)
    access.change_account(name, password=secret)
    _audit(access.engine, "user-password", name)
    say(f" {name} 的口令", head="已重设")
    _show(shown)


def _password(source: str | None) -> tuple[str, str | None]:
    from service.passwords import new_password

    if source is None:
        made = new_password()
        return made, made
    if source != "-":
        raise UsageError("口令不能写在命令行里；用 --password-stdin - 从标准输入读取")
    return typer.get_text_stream("stdin").readline().rstrip("\r\n"), None


def _show(password: str | None) -> None:
    if password is not None:
        say(password, head="口令（只显示这一次）：", style="")


@_users.command("role", help="改角色；该用户须重新登录。")
def change_role(
    name: Annotated[str, typer.Argument(help="用户名。")],
    role: Annotated[str, typer.Argument(help="operator、engineer 或 admin。")],
) -> None:
    """Change an account's role."""
    access = _access()
    access.change_account(name, role=_role(role))
    _audit(access.engine, "user-role", f"{name}（{_role(role).label}）")
    say(f" {_role(role).label}：{name}", head="已改为")


@_users.command("disable", help="停用用户；登录随即失效。")
def disable(name: Annotated[str, typer.Argument(help="用户名。")]) -> None:
    """Close an account."""
    access = _access()
    access.change_account(name, active=False)
    _audit(access.engine, "user-disable", name)
    say(f" {name}", head="已停用")


@_users.command("enable", help="重新启用用户。")
def enable(name: Annotated[str, typer.Argument(help="用户名。")]) -> None:
    """Open an account again."""
    access = _access()
    access.change_account(name, active=True)
    _audit(access.engine, "user-enable", name)
    say(f" {name}", head="已启用")


@_users.command("list", help="列出用户。")
def list_users() -> None:
    """List the accounts."""
    table = Table("用户", "角色", "状态", "建立时间", box=None)
    for row in _access().accounts():
        state = "启用" if row["active"] else "停用"
        table.add_row(row["name"], _role(row["role"]).label, state, row["created_at"][:16])
    say_table(table)


@_keys.command("add", help="生成密钥，只显示这一次。")
def add_key(
    name: Annotated[str, typer.Argument(help="给谁用，如 工单系统。")], role: _RoleName = "operator"
) -> None:
    """Make a key."""
    access = _access()
    key = access.add_key(name, _role(role))
    _audit(access.engine, "key-add", f"{name}（{_role(role).label}）")
    note("密钥只显示这一次，请立即保存：")
    say(key)


@_keys.command("list", help="列出密钥（不含密钥本身）。")
def list_keys() -> None:
    """List the keys."""
    table = Table("编号", "名称", "角色", "状态", "生成时间", box=None)
    for row in _access().api_keys():
        state = f"已吊销 {row['revoked_at'][:16]}" if row["revoked_at"] else "有效"
        table.add_row(
            row["id"], row["name"], _role(row["role"]).label, state, row["created_at"][:16]
        )
    say_table(table)


@_keys.command("revoke", help="吊销密钥；各实例几秒内生效。")
def revoke_key(
    identity: Annotated[str, typer.Argument(help="编号（jiesu key list 第一列）。")],
) -> None:
    """End a key."""
    access = _access()
    access.revoke_key(identity)
    _audit(access.engine, "key-revoke", identity)
    say(f" {identity}", head="已吊销")


@_records.command(
    "export", help="导出处理结果为训练数据（.parquet 或 .csv），即 jiesu train 所读。"
)
def export_records(
    target: Annotated[Path, typer.Option("--output", "-o", help="目标文件。")],
    since: Annotated[str | None, typer.Option(help="只导出此后受理的工单，如 2026-11-01。")] = None,
) -> None:
    """Write the labelled tickets to a file."""
    from jiesu_nlp.files import replace_file

    if target.suffix not in (".csv", ".parquet"):
        raise UsageError("目标文件应以 .csv 或 .parquet 结尾")
    engine = _engine()
    from service.store.export import labelled, stamp_of, to_csv, to_parquet

    start = stamp_of(since) if since is not None else None
    rows = list(labelled(engine, since=start))
    data = to_parquet(iter(rows)) if target.suffix == ".parquet" else b"".join(to_csv(iter(rows)))
    replace_file(target, data)
    _audit(engine, "export", f"{target.name} since={since or ''}")
    say(f" {len(rows)} 条 → {target}", head="已导出")


@_records.command("purge", help="删除过期的工单文本（默认保留已处理的，它们是训练数据）。")
def purge_records(
    days: Annotated[int, typer.Option("--older-than", help="多少天以前。", min=1)],
    decided: Annotated[
        bool, typer.Option("--with-decisions", help="连同已处理的工单、处理结果与审计记录。")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="不再询问。")] = False,
) -> None:
    """Delete old records."""
    engine = _engine()
    from service.store.export import purge
    from service.store.tables import ago

    before = ago(days)
    if not yes:
        typer.confirm(f"删除 {before[:10]} 以前的记录，无法恢复。继续吗？", abort=True)
    gone = purge(engine, before, with_decisions=decided)
    _audit(engine, "purge", f"before={before[:10]} with_decisions={decided}")
    names = {
        "suggestion": "派单建议",
        "decision": "处理结果",
        "shadow": "影子结果",
        "audit": "审计记录",
    }
    out.print("，".join(f"{names[k]} {v} 条" for k, v in gone.items()) + " 已删除")


@_records.command("import", help="导入一天的工单（CSV、XLSX、JSONL），逐件给出建议并存入队列。")
def import_records(
    source: Annotated[
        Path,
        typer.Argument(
            help="列：text 或 诉求内容；可选 id、channel、created_at、requester、address。"
        ),
    ],
) -> None:
    """Answer the tickets of a file and store them."""
    engine = _engine()
    from service.intake import read_table_of_tickets, store_tickets
    from service.settings import read_settings

    settings = read_settings()
    dispatcher = load_dispatcher(None)
    done, bad = store_tickets(engine, settings, dispatcher, read_table_of_tickets(source))
    out.print(f"已导入 {done} 件" + (f"，[yellow]{len(bad)} 行有误[/]" if bad else ""))
    for line in bad[:20]:
        note(line)
    if bad:
        raise typer.Exit(1)


@_records.command("backup", help="备份 SQLite 存储（服务运行中也可；PostgreSQL 请用 pg_dump）。")
def backup(target: Annotated[Path, typer.Option("--output", "-o", help="目标文件。")]) -> None:
    """Copy the SQLite store while it is in use."""
    import sqlite3

    engine = _engine()
    if engine.dialect.name != "sqlite" or not engine.url.database:
        raise UsageError("当前不是 SQLite 存储；PostgreSQL 请用 pg_dump")
    if target.exists():
        raise UsageError(f"目标已存在，不覆盖：{target}")
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        with sqlite3.connect(engine.url.database) as live, sqlite3.connect(temporary) as copy:
            live.backup(copy)
        temporary.replace(target)
    except (sqlite3.Error, OSError) as fault:
        raise UsageError(f"备份失败：{fault}") from None
    finally:
        temporary.unlink(missing_ok=True)
    say(f" → {target}", head="已备份")
