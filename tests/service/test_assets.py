"""``./run assets`` with a stand-in for npm, in a folder of its own."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = Path("service/console/static/vendor/echarts.js")
# What npm would leave behind, and a note that it was called.
NPM = """#!/bin/sh
echo "$@" >> "$CALLS"
[ -f package.json ] || exit 9
[ -n "$DIST" ] || { mkdir half; echo "npm error network" >&2; exit 1; }
mkdir -p node_modules/echarts/dist
echo "Apache License" > node_modules/echarts/LICENSE
echo "Apache ECharts" > node_modules/echarts/NOTICE
for name in $DIST; do echo "export const init = '$name';" > "node_modules/echarts/dist/$name"; done
"""


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "checkout"
    (folder / "service/console").mkdir(parents=True)
    shutil.copy(ROOT / "run", folder)
    shutil.copy(ROOT / "service/console/package.json", folder / "service/console")
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "sh", "env", "dirname", "mkdir", "mktemp", "cp", "mv", "rm"):
        (tools / tool).symlink_to(shutil.which(tool))
    (tmp_path / "temporary").mkdir()
    return folder


def assets(checkout, npm=None, kept=None):
    """Run the verb; ``npm`` names the files it brings, ``None`` means there is no npm."""
    around = checkout.parent
    if npm is not None:
        (around / "tools" / "npm").write_text(NPM)
        (around / "tools" / "npm").chmod(0o755)
    environment = {
        "PATH": str(around / "tools"),
        "TMPDIR": str(around / "temporary"),
        "CALLS": str(around / "calls"),
        "DIST": npm or "",
        **({"JIESU_ASSETS": str(kept)} if kept else {}),
    }
    done = subprocess.run(
        [checkout / "run", "assets"], env=environment, capture_output=True, text=True, check=False
    )
    assert not list((around / "temporary").iterdir())
    assert not list(around.rglob("*.tmp"))
    return done


def test_the_smallest_module_is_installed_once(checkout):
    found = "echarts.js echarts.esm.js echarts.esm.min.js echarts.esm.min.mjs"
    assert assets(checkout, npm=found).returncode == 0
    assert "'echarts.esm.min.mjs'" in (checkout / LIBRARY).read_text()
    calls = (checkout.parent / "calls").read_text()
    assert "--no-package-lock" in calls
    done = assets(checkout, npm="echarts.esm.js")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (checkout.parent / "calls").read_text() == calls
    left = {p.name for p in checkout.rglob("*") if p.is_file()}
    assert left == {"run", "package.json", "echarts.js", "echarts.LICENSE", "echarts.NOTICE"}


@pytest.mark.parametrize("name", ["echarts.esm.min.js", "echarts.esm.js"])
def test_other_names_of_the_module_will_do(checkout, name):
    assert assets(checkout, npm=f"echarts.js {name}").returncode == 0
    assert f"'{name}'" in (checkout / LIBRARY).read_text()


def test_what_was_fetched_is_kept_for_the_next_checkout(checkout, tmp_path):
    kept = tmp_path / "cache" / "assets"
    assert assets(checkout, npm="echarts.esm.js", kept=kept).returncode == 0
    folder = checkout / LIBRARY.parent
    first = {path.name: path.read_text() for path in folder.iterdir()}
    assert len(first) == 3
    shutil.rmtree(folder)
    (tmp_path / "tools" / "npm").unlink()
    assert assets(checkout, kept=kept).returncode == 0
    assert {path.name: path.read_text() for path in folder.iterdir()} == first


def test_a_library_kept_without_its_licence_will_do(checkout, tmp_path):
    kept = tmp_path / "cache"
    kept.mkdir()
    (kept / "echarts.js").write_text("export const init = 1;")
    assert assets(checkout, kept=kept).returncode == 0
    assert [path.name for path in (checkout / LIBRARY).parent.iterdir()] == ["echarts.js"]


@pytest.mark.parametrize(
    ("npm", "words"),
    [(None, "缺少 npm"), ("", "npm 取不到 echarts"), ("echarts.js", "没有可用的 ES 模块")],
)
def test_a_failure_is_told_and_leaves_nothing(checkout, tmp_path, npm, words):
    done = assets(checkout, npm=npm, kept=tmp_path / "cache")
    assert done.returncode == 1
    assert words in done.stderr.splitlines()[-1]
    assert not (checkout / LIBRARY).exists()
    assert not (tmp_path / "cache").exists()
