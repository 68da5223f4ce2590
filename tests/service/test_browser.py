"""The console in Debian's Chromium: the operator's whole flow by keyboard, trouble, accessibility.

The service runs in a process of its own on a quickly trained bundle. Any console error, page error
or request to another host fails the test.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from jiesu_nlp.bundle import Registry
from service.console.page import CHARTS, NO_CHARTS
from tests.service.conftest import PASSWORD
from tests.service.served import Served

pytestmark = pytest.mark.slow
playwright = pytest.importorskip("playwright.sync_api", reason="playwright 未安装")
expect = playwright.expect
# Generous: a loaded machine is slow, and none of this is about time.
expect.set_options(timeout=20_000)

LAMP = "丰台区方庄芳古园一区门口路灯坏了半个月没人修"
TWO = "反映两个问题：1、请问住房公积金怎么提取，需要带什么材料？2、楼上装修每天早上六点就开始砸墙，噪音太大。"
FLAGS = ["--headless", "--no-sandbox", "--disable-background-networking", "--disable-gpu"]


@pytest.fixture(scope="module")
def chromium():
    # Debian's wrapper only adds the flags of /etc/chromium.d; the tests give their own.
    path = (
        os.environ.get("JIESU_CHROMIUM")
        or shutil.which("chromium", path="/usr/lib/chromium")
        or shutil.which("chromium")
    )
    if path is None:
        pytest.skip("缺少 Debian 软件包 chromium：apt-get install chromium")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def served(models_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    models = folder / "models"
    models.mkdir()
    for name in ("quick", "other"):
        (models / name).symlink_to(models_folder / name)
    Registry(models).use("quick")
    one = Served(folder / "data", models)
    one.models = models
    for name, role in (("li", "operator"), ("wang", "operator"), ("gong", "admin")):
        one.jiesu(
            "user", "add", name, "--role", role, "--password-stdin", "-", stdin=PASSWORD + "\n"
        )
    one.key = one.jiesu("key", "add", "orders", "--role", "engineer").strip().splitlines()[-1]
    one.start()
    yield one
    if one.process.poll() is None:
        one.stop()


class Desk:
    """An operator at a screen."""

    def __init__(self, browser, url, name, size=(1280, 720)):
        self.url = url
        self.context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, locale="zh-CN"
        )
        self.page = self.context.new_page()
        self.faults: list[str] = []
        self.requests: list[str] = []
        self.expected: tuple[str, ...] = ()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda e: self.faults.append(str(e)))
        self.page.on("request", self._request)
        self.page.goto(url)
        self.keys = self.page.keyboard
        expect(self.page.locator("#name")).to_be_focused()
        self.keys.insert_text(name)
        self.keys.press("Tab")
        self.keys.insert_text(PASSWORD)
        self.keys.press("Enter")
        expect(self.page.locator("#text")).to_be_focused()

    def _console(self, message):
        if message.type == "error" and not any(e in message.text for e in self.expected):
            self.faults.append(message.text)

    def _request(self, request):
        self.requests.append(urlsplit(request.url).path)
        if urlsplit(request.url).netloc != urlsplit(self.url).netloc:
            self.faults.append(f"request to {request.url}")

    def type(self, text):
        self.keys.insert_text(text)
        expect(self.page.locator(".cats li").first).to_be_visible()

    def notice(self, words):
        expect(self.page.locator("#notice")).to_contain_text(words)

    def close(self):
        self.context.close()
        assert self.faults == []


@pytest.fixture
def desk(chromium, served):
    open_desks = []

    def sit(name="li", **options):
        one = Desk(chromium, served.url, name, **options)
        open_desks.append(one)
        return one

    yield sit
    for one in open_desks:
        one.close()


def decisions(served):
    import httpx

    headers = {"Authorization": f"Bearer {served.key}"}
    found, after = [], None
    while True:
        params = {"limit": 500, **({"after": after} if after else {})}
        page = httpx.get(served.url + "/v1/decisions", params=params, headers=headers).json()
        found += page["decisions"]
        after = page["next"]
        if after is None:
            return found


def test_the_whole_flow_by_keyboard_alone(desk, served):
    before = len(decisions(served))
    one = desk()
    one.type(LAMP)
    expect(one.page.locator(".mk.place").nth(1)).to_contain_text("方庄")
    one.keys.press("Escape")
    one.keys.press("Enter")
    one.notice("已采纳")
    expect(one.page.locator("#text")).to_be_focused()
    expect(one.page.locator("#text")).to_have_value("")

    one.type(LAMP + "，已经第二次了")
    one.keys.press("Escape")
    one.keys.press("2")
    expect(one.page.locator(".cats li").nth(1)).to_have_attribute("aria-selected", "true")
    one.keys.press("Enter")
    one.notice("已改派")

    one.type(LAMP + "，第三次")
    one.keys.press("Escape")
    one.keys.press("/")
    one.keys.insert_text("jgdsqs")
    one.keys.insert_text("")
    one.keys.press("Control+A")
    one.keys.insert_text("井盖")
    expect(one.page.locator("#picker-list li").first).to_contain_text("井盖")
    one.keys.press("ArrowDown")
    one.keys.press("ArrowUp")
    one.keys.press("Enter")
    expect(one.page.locator("#chosen")).to_contain_text("井盖")
    one.keys.press("e")
    one.keys.insert_text("方庄街道")
    expect(one.page.locator("#picker-list li").first).to_contain_text("方庄")
    one.keys.press("Enter")
    expect(one.page.locator(".lead")).to_contain_text("方庄")
    one.keys.press("Enter")
    one.notice("已改派")

    one.type(LAMP + "，第四次")
    one.keys.press("Escape")
    one.keys.press("r")
    one.keys.insert_text("不属于本市管理范围")
    one.keys.press("Control+Enter")
    one.notice("已退回")
    done = decisions(served)[before:]
    assert [d["kind"] for d in done] == ["accepted", "changed", "changed", "returned"]
    assert {d["actor"] for d in done} == {"user:li"}
    assert "方庄" in done[2]["unit"]
    assert done[3]["reason"] == "不属于本市管理范围"


def test_a_dialog_opened_again_at_once_keeps_its_choice(desk):
    """The event of the first closing comes when the second is already open."""
    one = desk()
    first, second, closed = one.page.evaluate(
        """async () => {
          const { pickLeaf, pickUnit } = await import("/static/picker.js");
          const dialog = document.getElementById("picker");
          const wait = () => new Promise((resolve) => setTimeout(resolve, 200));
          const leaf = pickLeaf();
          dialog.close();
          let unit = "waiting";
          pickUnit().then((found) => { unit = found; });
          const first = await leaf;
          await wait();
          const second = unit;
          dialog.close();
          await wait();
          return [first, second, unit];
        }"""
    )
    assert (first, second, closed) == (None, "waiting", None)


def test_typing_on_while_a_decision_is_recorded_loses_nothing(desk, served):
    one = desk()
    one.type(LAMP)
    one.page.route(
        "**/v1/decisions", lambda route: (one.page.wait_for_timeout(600), route.continue_())
    )
    one.keys.press("Control+Enter")
    one.keys.press("Control+A")
    one.keys.insert_text("小区门口的井盖丢了，晚上很危险")
    one.notice("已采纳")
    expect(one.page.locator("#text")).to_have_value("小区门口的井盖丢了，晚上很危险")
    expect(one.page.locator("#chosen")).to_contain_text("井盖")
    one.page.unroute("**/v1/decisions")
    one.keys.press("Control+Enter")
    one.notice("井盖")
    one.notice("已采纳")
    first, second = decisions(served)[-2:]
    assert first["suggestion_id"] != second["suggestion_id"]
    assert first["code"] != second["code"]


def test_a_text_changed_between_two_demands_is_a_ticket_of_its_own(desk, served):
    one = desk()
    one.type(TWO)
    one.keys.press("Control+Enter")
    expect(one.page.locator("[role=tab]").first).to_have_class("done")
    one.keys.press("Control+A")
    one.keys.insert_text("小区门口的井盖丢了，晚上很危险")
    expect(one.page.locator("#chosen")).to_contain_text("井盖")
    one.keys.press("Control+Enter")
    expect(one.page.locator("#text")).to_have_value("")
    first, second = decisions(served)[-2:]
    assert first["suggestion_id"] != second["suggestion_id"]


def test_a_text_typed_back_keeps_the_choices(desk):
    one = desk()
    one.type(LAMP)
    one.keys.press("Alt+2")
    second = one.page.locator(".cats li").nth(1)
    expect(second).to_have_attribute("aria-selected", "true")
    one.keys.insert_text("。")
    one.keys.press("Backspace")
    one.page.wait_for_timeout(600)
    expect(second).to_have_attribute("aria-selected", "true")


def test_a_double_click_decides_one_demand(desk, served):
    one = desk()
    one.type(TWO)
    before = len(decisions(served))
    # Slowly, so that the first is recorded when the second comes.
    one.page.locator("#accept").click()
    expect(one.page.locator("[role=tab]").first).to_have_class("done")
    one.page.locator("#accept").dispatch_event("click", {"detail": 2})
    one.page.locator("#result").dispatch_event(
        "keydown", {"key": "Enter", "repeat": True, "bubbles": True}
    )
    one.page.wait_for_timeout(600)
    assert len(decisions(served)) == before + 1


def test_several_demands_are_tabs(desk, served):
    one = desk()
    one.type(TWO)
    tabs = one.page.locator("[role=tab]")
    expect(tabs).to_have_count(2)
    one.keys.press("Escape")
    one.keys.press("ArrowRight")
    expect(tabs.nth(1)).to_have_attribute("aria-selected", "true")
    one.keys.press("Enter")
    expect(tabs.nth(1)).to_have_class("done")
    one.keys.press("Enter")
    expect(one.page.locator("#text")).to_have_value("")
    assert sorted(d["demand"] for d in decisions(served)[-2:]) == [0, 1]


def test_a_gate_is_a_banner_and_can_be_overruled(desk, served):
    one = desk()
    one.type("楼道里全是煤气味，怀疑燃气泄漏，赶紧派人来！")
    expect(one.page.locator(".advice")).to_contain_text("119")
    one.keys.press("Escape")
    one.keys.press("Enter")
    one.notice("未采纳分流提示")
    assert decisions(served)[-1]["kind"] == "overruled"


def test_personal_data_is_masked_and_hostile_text_is_text(desk):
    one = desk()
    one.type(
        '<img src=x onerror="document.title=1"><script>alert(1)</script>我叫王建国，电话13800138000，路灯不亮'
    )
    expect(one.page.locator("#marked")).to_contain_text("<script>alert(1)</script>")
    assert "13800138000" not in one.page.locator("#marked").inner_text()
    expect(one.page.locator("#marked .mk.personal").first).to_be_visible()
    assert one.page.locator("#marked img").count() == 0
    assert one.page.title().startswith("派单")


def test_digits_and_slashes_in_the_text_are_text(desk):
    one = desk()
    one.page.locator("#text").press_sequentially("1/2号楼路灯不亮 er", delay=5)
    expect(one.page.locator("#text")).to_have_value("1/2号楼路灯不亮 er")
    assert one.page.locator("dialog[open]").count() == 0


def test_the_queue_by_keyboard_and_two_operators_at_once(desk, served):
    import httpx

    headers = {"Authorization": f"Bearer {served.key}"}
    for i in range(3):
        body = {"text": "我家那个又不行了，一直没人管", "id": f"Q-{i}"}
        made = httpx.post(served.url + "/v1/suggestions", json=body, headers=headers).json()
        assert made["demands"][0]["decision"] == "review"
    first, second = desk("li"), desk("wang")
    second.expected = ("409",)
    for one in (first, second):
        one.page.goto(served.url + "/queue")
        one.keys.press("j")
        one.keys.press("Enter")
        expect(one.page.locator("#source")).to_contain_text("Q-2")
    first.keys.press("Enter")
    first.notice("已打开队列下一件")
    expect(first.page.locator("#source")).to_contain_text("Q-1")
    second.keys.press("Enter")
    second.notice("他人处理")


def test_an_expired_session_keeps_the_ticket(desk, served):
    one = desk()
    one.expected = ("401",)
    one.type(LAMP)
    one.context.clear_cookies()
    one.keys.press("Escape")
    one.keys.press("Enter")
    expect(one.page.locator("#relogin")).to_be_visible()
    expect(one.page.locator("#relogin-password")).to_be_focused()
    one.keys.insert_text("wrong password")
    one.keys.press("Enter")
    expect(one.page.locator("#relogin-fault")).to_contain_text("口令")
    one.keys.press("Control+A")
    one.keys.insert_text(PASSWORD)
    one.keys.press("Enter")
    one.notice("已采纳")


def test_a_restart_in_mid_flow_loses_nothing(desk, served):
    one = desk()
    one.expected = ("Failed to load resource", "ERR_")
    one.type(LAMP + "，重启之前")
    one.keys.press("Escape")
    before = len(decisions(served))
    served.kill()
    one.keys.press("Enter")
    one.notice("诉求不会丢")
    served.start()
    expect(one.page.locator("#notice")).to_contain_text("已采纳", timeout=60_000)
    assert len(decisions(served)) == before + 1


@pytest.mark.parametrize("size", [(1280, 720), (420, 760)])
def test_nothing_is_cut_off(desk, size, tmp_path):
    one = desk(size=size)
    one.type(LAMP)
    width = one.page.evaluate("document.documentElement.scrollWidth")
    assert width <= size[0]
    expect(one.page.locator("#accept")).to_be_in_viewport()
    if size[0] > 1000:
        expect(one.page.locator(".lead")).to_be_in_viewport()
        expect(one.page.locator(".cats li").nth(4)).to_be_in_viewport()
    one.page.screenshot(path=tmp_path / "dispatch.png")
    assert (tmp_path / "dispatch.png").stat().st_size > 10_000


def check_with_axe(one, where):
    axe_module = pytest.importorskip("axe_playwright_python.sync_playwright")
    # The policy forbids inline scripts; the tool is put in by the test, not by the page.
    results = axe_module.Axe().run(one.page, options={"resultTypes": ["violations"]})
    found = [
        (v["id"], [n["html"][:120] for n in v["nodes"]][:3]) for v in results.response["violations"]
    ]
    assert found == [], f"{where}: {json.dumps(found, ensure_ascii=False, indent=1)}"


def test_axe_finds_nothing_on_any_page(desk):
    one = desk("gong")
    one.type(TWO + "楼道里全是煤气味")
    check_with_axe(one, "dispatch")
    one.keys.press("Escape")
    one.keys.press("/")
    one.keys.insert_text("井盖")
    expect(one.page.locator("#picker-list li").first).to_be_visible()
    check_with_axe(one, "picker")
    for page in ("/queue?status=all", "/catalogue?code=09-02-003", "/quality", "/models"):
        one.page.goto(one.url + page)
        check_with_axe(one, page)


def test_the_engineer_switches_and_goes_back(desk):
    one = desk("gong")
    one.page.on("dialog", lambda d: d.accept())
    one.page.goto(one.url + "/models")
    with one.page.expect_navigation():
        one.page.locator("[data-activate=other]").click()
    expect(one.page.locator("tr:has(b:text-is('other'))")).to_contain_text("启用中")
    with one.page.expect_navigation():
        one.page.locator("#rollback").click()
    expect(one.page.locator("tr:has(b:text-is('quick'))")).to_contain_text("启用中")


def decide_some(served):
    """Six decided tickets: enough for every chart."""
    import httpx

    headers = {"Authorization": f"Bearer {served.key}"}
    for i in range(6):
        body = {"text": f"{LAMP}，第 {i} 次", "requester": "同一人"}
        made = httpx.post(served.url + "/v1/suggestions", json=body, headers=headers).json()
        second = made["demands"][0]["categories"][1]["code"]
        choice = {"kind": "changed", "code": second} if i % 3 == 0 else {"kind": "accepted"}
        httpx.post(
            served.url + "/v1/decisions",
            json={"suggestion_id": made["suggestion_id"], **choice},
            headers={**headers, "Idempotency-Key": f"board-{i}"},
        ).raise_for_status()


@pytest.mark.skipif(not CHARTS.is_file(), reason=NO_CHARTS)
def test_every_chart_is_drawn_and_can_be_saved(desk, served):
    decide_some(served)
    one = desk("gong")
    figures = one.page.locator("#charts figure")

    def save_each(what):
        # Opened anew each time: Chromium lets a page save ten files, then asks the user.
        one.page.goto(one.url + "/quality?days=90")
        expect(figures).to_have_count(9)
        expect(one.page.locator(".chart[data-drawn] canvas")).to_have_count(9)
        expect(one.page.locator(".alarm")).to_contain_text("把握")
        for i in range(9):
            title = figures.nth(i).locator("figcaption b").inner_text()
            with one.page.expect_download() as saved:
                figures.nth(i).get_by_role("button", name=f"保存{what}").click()
            yield title, saved.value

    for title, saved in save_each("图"):
        picture = saved.path()
        assert picture.read_bytes().startswith(b"\x89PNG"), title
        assert picture.stat().st_size > 5000, title
    for title, saved in save_each("数据"):
        assert len(saved.path().read_text("utf-8-sig").splitlines()) >= 2, title
        assert saved.suggested_filename == f"{title}.csv"
    trend = figures.filter(has_text="随时间的变化")
    for by in ("unit", "district", "model"):
        with one.page.expect_response(lambda r, by=by: f"trend?by={by}" in r.url):
            trend.locator("select").first.select_option(by)
    with one.page.expect_response("**/v1/quality/hot?place=town"):
        figures.filter(has_text="高频与上升").locator("select").select_option("town")


@pytest.fixture
def served_without_charts(served, tmp_path):
    """The service as it is before `./run assets`."""
    import service

    left_out = shutil.ignore_patterns("vendor", "__pycache__")
    shutil.copytree(Path(service.__file__).parent, tmp_path / "code" / "service", ignore=left_out)
    one = Served(tmp_path / "data", served.models, code=tmp_path / "code")
    one.jiesu("user", "add", "gong", "--role", "admin", "--password-stdin", "-", stdin=PASSWORD)
    one.key = one.jiesu("key", "add", "orders", "--role", "engineer").strip().splitlines()[-1]
    one.start()
    yield one
    one.stop()


def test_without_the_chart_library_the_board_shows_tables(chromium, served_without_charts):
    served = served_without_charts
    decide_some(served)
    one = Desk(chromium, served.url, "gong")
    one.page.goto(one.url + "/quality?days=90")
    expect(one.page.get_by_text(NO_CHARTS, exact=True)).to_be_visible()
    figures = one.page.locator("#charts figure")
    expect(figures).to_have_count(9)
    expect(figures.locator(".rows[data-drawn] table")).to_have_count(9)
    assert one.page.locator("canvas").count() == 0
    assert one.page.get_by_role("button", name="保存图").count() == 0
    for i in range(9):
        figure = figures.nth(i)
        title = figure.locator("figcaption b").inner_text()
        shown = [row.locator("th, td").all_inner_texts() for row in figure.locator("tr").all()]
        with one.page.expect_download() as saved:
            figure.get_by_role("button", name="保存数据").click()
        lines = list(csv.reader(saved.value.path().read_text("utf-8-sig").splitlines()))
        assert len(shown) >= 2, title
        assert [[cell.replace("—", "") for cell in row] for row in shown] == [
            [cell.replace("—", "") for cell in row] for row in lines
        ], title
    volume = figures.first.locator("tbody tr")
    expect(volume).to_have_count(1)
    assert volume.locator("td").all_inner_texts()[1:] == ["6", "6"]
    with one.page.expect_response(lambda r: "trend?by=unit" in r.url):
        figures.filter(has_text="随时间的变化").locator("select").select_option("unit")
    expect(figures.filter(has_text="随时间的变化").locator("th").nth(1)).to_have_text("承办单位")
    check_with_axe(one, "/quality as tables")
    assert not [path for path in one.requests if "vendor" in path]
    one.close()


def test_a_report_runs_nothing(desk, served):
    reports = served.models / "reports"
    reports.mkdir()
    (reports / "甲.html").write_text(
        "<!doctype html><title>原来</title><h1>报告</h1><script>document.title='改了'</script>"
    )
    one = desk("gong")
    one.expected = ("sandbox", "script")
    one.page.goto(one.url + "/models")
    with one.context.expect_page() as opened:
        one.page.get_by_role("link", name="甲.html").click()
    expect(opened.value.locator("h1")).to_have_text("报告")
    assert opened.value.title() == "原来"
