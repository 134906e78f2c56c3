"""What the Snakemake workflow catalog asks of a repository that it lists with its use."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_the_entry_of_the_catalog_is_what_the_workflow_offers():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    offered = usage["software-stack-deployment"]
    assert set(offered) == {"conda", "apptainer", "apptainer+conda"}
    rules = [path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk")]
    per_rule = [rule for text in rules for rule in text.split("\nrule ")[1:]]
    assert len(per_rule) > 10
    assert offered["conda"] is all("    conda:" in rule for rule in per_rule)
    has_container = any("container:" in text for text in [*rules, (ROOT / "Snakefile").read_text()])
    assert offered["apptainer"] is offered["apptainer+conda"] is has_container
    assert usage["report"] is any("report(" in text for text in rules)


def test_files_lie_where_the_catalog_looks_for_them():
    assert (ROOT / "workflow/Snakefile").is_file()
    assert (ROOT / "config/README.md").is_file()
    assert not [path.name for path in (ROOT / "workflow/rules").iterdir() if path.suffix != ".smk"]
    readme = (ROOT / "README.md").read_text().lower()
    assert "snakemake" in readme
    assert "workflow" in readme
