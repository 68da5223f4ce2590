"""Log-in, sessions, CSRF, headers, and that hostile text is shown harmlessly."""

import pytest

from service.console import engineering
from tests.service.conftest import PASSWORD

TEXT = "<script>alert(1)</script> 方庄路灯不亮"


def test_pages_send_strangers_to_the_log_in(accounts):
    for page in ("/", "/queue", "/catalogue", "/quality", "/models"):
        answer = accounts.client.get(page, follow_redirects=False)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login")


@pytest.mark.parametrize("to", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_log_in_never_leads_elsewhere(accounts, to):
    data = {"name": "operator", "password": PASSWORD, "next": to}
    answer = accounts.client.post("/login", data=data, follow_redirects=False)
    assert answer.headers["location"] == "/"


def test_pages_and_their_headers(accounts):
    accounts.log_in("admin")
    for page in (
        "/",
        "/queue",
        "/catalogue?code=09-02",
        "/catalogue?q=zdjy",
        "/quality",
        "/models",
    ):
        answer = accounts.client.get(page)
        assert answer.status_code == 200, page
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "<script>" not in answer.text
        assert "style=" not in answer.text
        assert answer.headers["cache-control"] == "no-store"


def test_reports_are_shown_in_a_sandbox_and_only_those_listed(accounts, tmp_path):
    folder = accounts.service.models.registry.directory / "reports"
    folder.mkdir()
    (folder / "评测 甲.html").write_text("<style>p{color:red}</style><script>alert(1)</script>报告")
    (tmp_path / "secret.html").write_text("secret")
    (folder / "link.html").symlink_to(tmp_path / "secret.html")
    (folder / "notes.txt").write_text("secret")
    accounts.log_in("engineer")
    page = accounts.client.get("/models").text
    assert "评测 甲.html" in page
    assert "link.html" not in page
    report = accounts.client.get("/reports/评测 甲.html")
    assert "报告" in report.text
    policy = report.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "script" not in policy
    for name in (
        "link.html",
        "notes.txt",
        "..%2f..%2fsecret.html",
        "..%5csecret.html",
        "none.html",
    ):
        assert accounts.client.get(f"/reports/{name}").status_code == 404, name
    accounts.log_in("operator")
    assert accounts.client.get("/reports/评测 甲.html").status_code == 403
    accounts.client.cookies.clear()
    away = accounts.client.get("/reports/评测 甲.html", follow_redirects=False)
    assert away.status_code == 303


def test_log_in_leads_back_to_the_ticket(accounts):
    away = accounts.client.get("/?ticket=0123", follow_redirects=False)
    assert away.headers["location"] == "/login?next=/%3Fticket%3D0123"
    form = accounts.client.get(away.headers["location"]).text
    assert 'value="/?ticket=0123"' in form


def test_no_asset_comes_from_elsewhere(accounts):
    accounts.log_in("admin")
    for page in (
        "/",
        "/queue",
        "/catalogue",
        "/quality",
        "/models",
        "/static/dispatch.js",
        "/static/console.css",
    ):
        text = accounts.client.get(page).text
        assert "http://" not in text.replace("http://www.w3.org", "")
        assert "https://" not in text


@pytest.mark.parametrize("installed", [True, False])
def test_the_board_knows_whether_charts_can_be_drawn(accounts, tmp_path, monkeypatch, installed):
    library = tmp_path / "echarts.js"
    if installed:
        library.touch()
    monkeypatch.setattr(engineering, "CHARTS", library)
    accounts.log_in("engineer")
    page = accounts.client.get("/quality").text
    assert ("data-charts" in page) is installed
    assert ("图表组件未安装，运行 ./run assets" in page) is not installed


def test_hostile_text_is_shown_as_text(accounts):
    accounts.suggest(TEXT, id='"><img src=x onerror=alert(1)>')
    accounts.settle()
    accounts.log_in("operator")
    page = accounts.client.get("/queue?status=all").text
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    assert "<img" not in page
    search = accounts.client.get("/queue", params={"q": '"><script>alert(2)</script>'}).text
    assert "<script>alert" not in search


def test_a_script_needs_the_token_of_the_session(accounts):
    csrf = accounts.log_in("operator")
    client = accounts.client
    body = {"text": "路灯不亮"}
    assert client.post("/v1/suggestions", json=body).status_code == 403
    bad = {"X-CSRF-Token": "guess"}
    assert client.post("/v1/suggestions", json=body, headers=bad).status_code == 403
    good = {"X-CSRF-Token": csrf}
    assert client.post("/v1/suggestions", json=body, headers=good).status_code == 200
    foreign = {**good, "Origin": "http://evil.example"}
    assert client.post("/v1/suggestions", json=body, headers=foreign).status_code == 403
    sandboxed = {**good, "Origin": "null"}
    assert client.post("/v1/suggestions", json=body, headers=sandboxed).status_code == 403
    cross = {**good, "Sec-Fetch-Site": "cross-site"}
    assert client.post("/v1/suggestions", json=body, headers=cross).status_code == 403


def test_the_cookie_is_closed_to_scripts_and_other_sites(accounts):
    data = {"name": "operator", "password": PASSWORD}
    answer = accounts.client.post("/login", data=data, follow_redirects=False)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_wrong_passwords_are_slowed_down(accounts):
    codes = [
        accounts.client.post(
            "/login", data={"name": "operator", "password": f"wrong {i}"}
        ).status_code
        for i in range(12)
    ]
    assert set(codes) == {401}
    answer = accounts.client.post("/login", data={"name": "operator", "password": PASSWORD})
    assert "尝试次数过多" in answer.text
    accounts.log_in("engineer")
    for _ in range(12):
        accounts.log_in("admin")


def test_an_operator_sees_no_engineer_s_page(accounts):
    accounts.log_in("operator")
    for page in ("/quality", "/models", "/quality.csv"):
        assert accounts.client.get(page).status_code == 403
    assert 'href="/models"' not in accounts.client.get("/").text


def test_a_session_ends_by_log_out_and_by_closing_the_account(accounts):
    csrf = accounts.log_in("operator")
    accounts.client.post("/logout", data={"csrf": csrf})
    assert accounts.client.get("/", follow_redirects=False).status_code == 303
    accounts.log_in("operator")
    accounts.service.access.change_account("operator", active=False)
    assert accounts.client.get("/", follow_redirects=False).status_code == 303
    again = accounts.client.post("/login", data={"name": "operator", "password": PASSWORD})
    assert again.status_code == 401


def test_log_ins_are_audited(accounts):
    accounts.client.post("/login", data={"name": "operator", "password": "wrong password"})
    accounts.log_in("admin")
    accounts.settle()
    lines = accounts.call("GET", "/v1/audit", role="admin").json()["audit"]
    done = {(a["action"], a["actor"]) for a in lines}
    assert {("log-in", "user:admin"), ("log-in-failed", "user:operator")} <= done
