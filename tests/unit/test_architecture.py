"""The shape of the house: data goes one way, scripts stay thin, parsing the workflow stays light."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "workflow/scripts/tomoprofile"
# In the order of the data; a package imports only what stands before it.
ORDER = ["volume", "phantom", "segment", "domains", "profile", "report"]


def imported_packages(path):
    """Return the packages of the library that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 2 and node.module:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tomoprofile."):
            found.add(node.module.split(".")[1])
    return found & set(ORDER)


def test_packages_import_only_what_comes_before_them():
    wrong = [
        f"{path.relative_to(LIBRARY)} imports {other}"
        for path in LIBRARY.glob("*/*.py")
        for other in imported_packages(path)
        if ORDER.index(other) > ORDER.index(path.parent.name)
    ]
    assert not wrong


def test_the_library_knows_nothing_of_snakemake():
    assert not [path for path in LIBRARY.rglob("*.py") if "import snakemake" in path.read_text()]


def test_what_the_snakefile_imports_is_light():
    modules = "config, errors, estimates, feasibility, runs, samples, segment.label_files, status, volume.slabs"
    heavy = ("numpy", "torch", "dask", "zarr", "pandas", "numba", "scipy", "tifffile")
    code = f"import sys; {'; '.join(f'import tomoprofile.{name}' for name in modules.split(', '))}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "tomoprofile" in loaded
    assert not loaded & set(heavy)
    common = (ROOT / "workflow/rules/common.smk").read_text()
    used = {line.split()[1].removeprefix("tomoprofile.") for line in common.splitlines() if "from tomoprofile" in line}
    assert used == set(modules.split(", "))


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
