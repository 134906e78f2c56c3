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


def numbers(version_text):
    return tuple(int(part) for part in re.findall(r"\d+", version_text.split("+")[0]))


def floors(text):
    """Return the lower limit of each dependency that a line of pyproject.toml gives with an advisory."""
    found = re.findall(
        r'^  "([A-Za-z0-9_-]+)>=([0-9.]+)",  # (CVE-\d{4}-\d{4,}|GHSA-[a-z0-9-]{14})', text, re.MULTILINE
    )
    return {name.lower(): number for name, number, _ in found}


def too_old(limits, lock):
    return {name: lock[name] for name, limit in limits.items() if numbers(lock[name]) < numbers(limit)}


def test_the_locked_versions_have_no_vulnerability_that_a_lower_limit_excludes():
    limits = floors((ROOT / "pyproject.toml").read_text())
    assert {"monai", "torch", "pillow", "pyarrow"} <= set(limits)
    assert too_old(limits, locked()) == {}
    installed = {name: version(name) for name in limits}
    assert too_old(limits, installed) == {}


def test_a_locked_version_below_its_limit_is_seen():
    assert too_old({"monai": "1.5.2"}, {"monai": "1.5.1"}) == {"monai": "1.5.1"}
    assert too_old({"torch": "2.10.0"}, {"torch": "2.9.1+cpu"}) == {"torch": "2.9.1+cpu"}
    assert too_old({"torch": "2.10.0"}, {"torch": "2.10.0"}) == {}


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
