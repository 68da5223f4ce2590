import shutil

import pytest
from typer.testing import CliRunner

from jiesu_nlp import Dispatcher
from jiesu_nlp.cli.main import app
from jiesu_nlp.errors import BundleError

runner = CliRunner()


@pytest.fixture
def models(bundle, tmp_path, monkeypatch):
    for name in ("one", "two"):
        shutil.copytree(bundle.path, tmp_path / name)
    monkeypatch.setenv("JIESU_MODELS", str(tmp_path))
    return tmp_path


def test_list_use_back_info_verify(models):
    assert "one" in runner.invoke(app, ["model", "list"]).stdout
    assert runner.invoke(app, ["model", "use", "one"]).exit_code == 0
    assert runner.invoke(app, ["model", "use", "two"]).exit_code == 0
    assert "one" in runner.invoke(app, ["model", "use", "--back"]).stdout
    assert "classifier.safetensors" in runner.invoke(app, ["model", "info"]).stdout
    assert "完好" in runner.invoke(app, ["model", "verify", "two"]).stdout


def test_a_damaged_bundle_is_not_put_in_use(models):
    runner.invoke(app, ["model", "use", "one"])
    broken = models / "two" / "classifier.safetensors"
    broken.write_bytes(broken.read_bytes()[:-10])
    result = runner.invoke(app, ["model", "use", "two"])
    assert isinstance(result.exception, BundleError)
    assert "classifier.safetensors" in str(result.exception)
    assert "●" in runner.invoke(app, ["model", "list"]).stdout
    with pytest.raises(BundleError, match=r"classifier\.safetensors"):
        Dispatcher.load(models / "two")
