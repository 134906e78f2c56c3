import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def pins(text):
    """Return {package: version} of every pin in a text."""
    found = re.findall(r"^\s*(?:- )?([A-Za-z0-9._-]+)==([^\s;#]+)", text, flags=re.MULTILINE)
    return {name.lower().replace("_", "-"): number for name, number in found}


def locked():
    cpu, gpu, lock = (pins((ROOT / "envs" / name).read_text()) for name in ("cpu.txt", "gpu.txt", "lock.txt"))
    assert cpu == gpu
    assert "torch" not in lock, "torch is installed first and must not be replaced"
    return cpu | lock


def test_the_running_environment_is_the_locked_one():
    wrong = {}
    for name, number in locked().items():
        installed = version(name).split("+")[0]
        if installed != number.split("+")[0]:
            wrong[name] = (installed, number)
    assert not wrong


def test_every_dependency_is_pinned_and_conda_has_the_same_versions():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = {re.split(r"[<>=]", name)[0].lower() for name in project["dependencies"]}
    conda = yaml.safe_load((ROOT / "envs/conda.yaml").read_text())
    recipe = pins("\n".join(conda["dependencies"][-1]["pip"]))
    assert direct <= set(recipe)
    lock = locked()
    assert recipe == {name: lock[name] for name in recipe}


def test_the_container_installs_the_locked_files_torch_first():
    recipe = (ROOT / "envs/apptainer.def").read_text()
    installs = re.findall(r"pip install .*-r /opt/tomoprofile/(\S+)", recipe)
    assert installs == ["gpu.txt", "lock.txt"]
    conda = yaml.safe_load((ROOT / "envs/conda.yaml").read_text())
    python = next(item for item in conda["dependencies"] if str(item).startswith("python="))
    assert f"python:{python.split('=')[1]}-slim" in recipe


def test_the_peers_of_the_benchmarks_leave_the_locked_versions_alone():
    lines = (ROOT / "envs/bench.txt").read_text().splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    assert lines[0] == "-c lock.txt"
    lock = locked()
    own = pins("\n".join(lines[1:]))
    assert not set(own) & set(lock), "what the workflow has is pinned in one place"
    shared = {line.lower().replace("_", "-") for line in lines[1:] if "==" not in line}
    assert shared <= set(lock), "the rest has a version of its own"
    assert "torch" not in own
