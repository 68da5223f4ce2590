import pytest

from jiesu_nlp.errors import UsageError
from service.settings import database_url, read_settings

GOOD = "5d41402abc4b2a76b9719d911017c592"


@pytest.mark.parametrize(
    "secret", ["", "short", "changethis-changethis-changethis!!", "x" * 40, "my-secret-key-" + GOOD]
)
def test_no_default_weak_or_missing_secret(secret, tmp_path):
    with pytest.raises(UsageError, match="JIESU_SECRET"):
        read_settings({"JIESU_SECRET": secret, "JIESU_DATA": str(tmp_path)})


def test_secret_from_a_file(tmp_path):
    (tmp_path / "secret").write_text(GOOD + "\n")
    assert read_settings({"JIESU_SECRET_FILE": str(tmp_path / "secret")}).secret == GOOD


def test_cookies_are_secure_unless_told_otherwise():
    assert read_settings({"JIESU_SECRET": GOOD}).secure_cookies
    assert not read_settings({"JIESU_SECRET": GOOD, "JIESU_COOKIE_SECURE": "0"}).secure_cookies


@pytest.mark.parametrize("bad", ["abc", "-1", "0", "nan"])
def test_a_bad_number_names_its_variable(bad):
    with pytest.raises(UsageError, match="JIESU_RATE"):
        read_settings({"JIESU_SECRET": GOOD, "JIESU_RATE": bad})


def test_plain_postgres_urls_find_the_driver(tmp_path):
    for scheme in ("postgres", "postgresql"):
        url = database_url(tmp_path, {"JIESU_DATABASE_URL": f"{scheme}://u:p@h/d"})
        assert url == "postgresql+psycopg://u:p@h/d"
