"""Run the service under uvicorn until SIGTERM or SIGINT; what is under way is finished first."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from jiesu_nlp.bundle import Registry
from jiesu_nlp.cli.console import note, out
from jiesu_nlp.errors import UsageError
from jiesu_nlp.home import models_dir
from service.models import ModelHost
from service.settings import Settings, database_url, read_settings

if TYPE_CHECKING:
    from service.core import Service

_DRAIN_SECONDS = 15


def run(*, demo: bool, host: str, port: int) -> None:
    """Serve; ``demo`` prepares a store, an account and tickets of its own."""
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    with (
        _listener(host, port) as listener,
        tempfile.TemporaryDirectory(prefix="jiesu-demo-") as folder,
    ):
        settings = _demo_settings(Path(folder)) if demo else read_settings()
        models = ModelHost(Registry(models_dir()))
        with ThreadPoolExecutor(1) as pool:
            loading = pool.submit(models.load)
            # The web's modules take about as long as the model, and much of either waits for the disk.
            import uvicorn  # noqa: PLC0415

            from service.app import create_app  # noqa: PLC0415
            from service.console.page import CHARTS, NO_CHARTS  # noqa: PLC0415
            from service.core import Service  # noqa: PLC0415

            loading.result()
        service = Service(settings, models)
        if demo:
            _prepare_demo(service, host, port)
        else:
            note(
                f"派单台 http://{host}:{port}/  存储 {_shown(service)}  模型 {service.models.active.name}"
            )
        if not CHARTS.is_file():
            note(NO_CHARTS)
        config = uvicorn.Config(
            create_app(service),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
            timeout_keep_alive=30,
            proxy_headers=True,
            forwarded_allow_ips=os.environ.get("JIESU_PROXY", "127.0.0.1"),
        )
        uvicorn.Server(config).run(sockets=[listener])


def _listener(host: str, port: int) -> socket.socket:
    """Bind before anything is loaded, so that a taken port is told at once."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as fault:
        listener.close()
        raise UsageError(
            f"无法监听 {host}:{port}（{fault.strerror}）；端口可能被占用，用 --port 换一个"
        ) from None
    return listener


def _shown(service: Service) -> str:
    return service.engine.url.render_as_string(hide_password=True)


def _demo_settings(folder: Path) -> Settings:
    return Settings(
        data=folder,
        database_url=database_url(folder, {}),
        secret=secrets.token_hex(32),
        secure_cookies=False,
        demo=True,
    )


def _prepare_demo(service: Service, host: str, port: int) -> None:
    from service.access import Role  # noqa: PLC0415
    from service.demo_tickets import DEMO_TICKETS  # noqa: PLC0415
    from service.intake import store_tickets  # noqa: PLC0415
    from service.passwords import new_password  # noqa: PLC0415
    from service.store.engine import migrate  # noqa: PLC0415

    migrate(service.engine)
    password = new_password()
    service.access.add_account("demo", Role.ADMIN, password)
    key = service.access.add_key("demo", Role.ENGINEER)
    store_tickets(service.engine, service.settings, service.models.active.dispatcher, DEMO_TICKETS)
    shown = "127.0.0.1" if host == "0.0.0.0" else host
    out.print(f"派单台   [bold]http://{shown}:{port}/[/]")
    out.print(f"用户     [bold]demo[/]   一次性口令 [bold]{password}[/]")
    out.print(f"接口密钥 {key}", soft_wrap=True)
    note("试用数据只在本次运行期间存在。按 Ctrl+C 结束。")
