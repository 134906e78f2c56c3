"""The shape of the house: data goes one way, scripts stay thin, parsing the workflow stays light."""

import ast
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "workflow/scripts/tomoprofile"
# In the order of the data; a room imports only what stands before it, and the ground under all of them.
ROOMS = [
    "volume",
    "phantom",
    "anatomy",
    "substrate",
    "shift",
    "labels",
    "amplify",
    "network",
    "base",
    "federate",
    "segment",
    "domains",
    "profile",
    "phase",
    "baselines",
    "report",
    "export",
    "run",
]
GROUND = {
    "__init__",
    "errors",
    "files",
    "logs",
    "config",
    "config_amplify",
    "config_augment",
    "config_predict",
    "config_profile",
    "config_train",
    "config_file",
    "validation",
    "samples",
    "sheet",
    "earlier",
    "cells",
    "names",
    "texts",
    "layout",
    "tables",
    "units",
}
ROOF = "cli"


def imported(path):
    """Return the first part below ``tomoprofile`` of everything in the library that a module imports."""
    depth = len(path.relative_to(LIBRARY).parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            found |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tomoprofile."):
            found.add(node.module.split(".")[1])
    return found - {"__version__"}


def test_every_room_and_every_module_of_the_ground_is_known():
    assert {path.parent.name for path in LIBRARY.glob("*/*.py")} == {*ROOMS, ROOF}
    assert {path.stem for path in LIBRARY.glob("*.py")} == GROUND


def test_rooms_import_only_what_stands_before_them():
    wrong = [
        f"{path.relative_to(LIBRARY)} imports {other}"
        for room in ROOMS
        for path in (LIBRARY / room).rglob("*.py")
        for other in imported(path) - GROUND
        if other not in ROOMS[: ROOMS.index(room) + 1]
    ]
    assert not wrong


def test_the_ground_rests_on_nothing_but_itself():
    assert not {
        f"{name} imports {other}"
        for name in GROUND
        for other in imported(LIBRARY / f"{name}.py")
        if other not in GROUND
    }


def test_imports_are_seen_at_any_depth():
    """What the tests above look with must see every way to import."""
    room = LIBRARY / "volume" / "store.py"
    assert {"errors", "files"} <= imported(room)
    assert imported(LIBRARY / "segment" / "predict.py") >= {"logs", "network", "volume"}
    assert {"run", "volume", "samples"} <= imported(LIBRARY / "cli" / "inputs.py")


def test_only_the_room_of_runs_knows_snakemake():
    """Its name, in code or text; elsewhere the library is what any script could call."""
    knowing = {path.relative_to(LIBRARY).parts[0] for path in LIBRARY.rglob("*.py") if "snakemake" in path.read_text()}
    assert knowing <= {"run", ROOF}
    assert not [path for path in LIBRARY.rglob("*.py") if "import snakemake" in path.read_text()]


def loaded_by(modules):
    """Return all that a process has loaded which imports some modules."""
    code = f"import sys; {'; '.join(f'import {name}' for name in modules)}; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    loaded = set(done.stdout.split())
    assert "tomoprofile" in loaded
    return loaded


def test_what_the_snakefile_imports_is_light():
    """Every cluster job parses the workflow again."""
    heavy = {"numpy", "torch", "dask", "zarr", "pandas", "numba", "scipy", "tifffile"}
    rules = "\n".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    modules = [line.split()[1] for line in rules.splitlines() if line.startswith("from tomoprofile")]
    assert len(modules) > 5
    assert not loaded_by(modules) & heavy


def test_stages_without_a_network_do_not_wait_for_one():
    """Nor for the many distributions of SciPy, which take half a second to import."""
    scripts = ("check_inputs", "convert_slab", "find_sample", "fit_interface", "fit_threshold", "predict_slab")
    scripts += ("measure_domains", "profile_depth")
    modules = set()
    for name in scripts:
        body = ast.parse((ROOT / f"workflow/scripts/{name}.py").read_text()).body
        modules |= {node.module for node in body if isinstance(node, ast.ImportFrom)}
    assert {"tomoprofile.profile.depth", "tomoprofile.domains.table"} <= modules
    assert not loaded_by(modules - {"pathlib"}) & {"torch", "monai", "scipy.stats", "plotly"}


def test_rule_scripts_are_thin_and_modules_have_one_reason_to_exist():
    scripts = list((ROOT / "workflow/scripts").glob("*.py"))
    assert len(scripts) >= 14
    assert not [path.name for path in scripts if len(path.read_text().splitlines()) > 40]
    assert not [path.name for path in LIBRARY.rglob("*.py") if len(path.read_text().splitlines()) > 500]


def test_every_rule_has_its_script_log_benchmark_and_docstring():
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        for rule in path.read_text().split("\nrule ")[1:]:
            name = rule.split(":")[0]
            assert (ROOT / f"workflow/scripts/{name}.py").is_file()
            for part in ('    """', "    log:", "    benchmark:", "    resources:", "    conda:", f"scripts/{name}.py"):
                assert part in rule, f"{name} lacks {part}"


def test_every_line_of_a_profile_has_its_reason():
    for path in (ROOT / "profiles").glob("*/config.yaml"):
        lines = path.read_text().splitlines()
        keys = [n for n, line in enumerate(lines) if line and line[0] not in "# "]
        assert len(keys) > 4
        assert not [lines[n] for n in keys if not lines[n - 1].startswith("#")]


def test_no_input_is_ancient():
    """Snakemake 9.27 would not see what else must be computed: docs/decisions.md."""
    rules = [path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk")]
    assert not [text for text in rules if "ancient(" in text]
