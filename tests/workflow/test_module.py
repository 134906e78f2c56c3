"""Another workflow imports this one as a module; and the record of the run for archives."""

import hashlib
import json

import crate
import pytest
import yaml
from project import ROOT
from rocrate_validator.models import Severity

from tomoprofile.errors import InputError
from tomoprofile.run import record
from tomoprofile.run.crate import write_crate

SNAKEFILE = f"""
module tomoprofile:
    snakefile:
        "{ROOT / "workflow/Snakefile"}"
    config:
        config["ct"]


use rule * from tomoprofile as ct_*


onstart:
    tomoprofile.onstart()


onsuccess:
    tomoprofile.onsuccess()


onerror:
    tomoprofile.onerror()


rule summary:
    default_target: True
    input:
        rules.ct_report_beamtime.output.page,
    output:
        "summary.txt",
    shell:
        "wc -c < {{input}} > {{output}}"
"""


@pytest.fixture(scope="module")
def importing(project):
    """A workflow of its own, with its own configuration, that went through the stages of this one."""
    project.tomoprofile("phantom", "data", "--size", 64, 80, 80)
    project.tomoprofile("scan", "data/raw", "--out", "sheets/ct.tsv")
    settings = {
        "samples": "sheets/ct.tsv",
        "results": "ct",
        "models": {"default": {"method": "otsu"}},
        "store": {"shard_slices": 64, "slab_slices": 64},
        "profile": {"resamples": 200, "block_um": 12, "zones": [{"name": "all", "from_um": 0}]},
    }
    (project.folder / "config.yaml").write_text(yaml.safe_dump({"ct": settings, "mine": 1}))
    (project.folder / "Snakefile").write_text('configfile: "config.yaml"\n' + SNAKEFILE)
    planned = project.run("snakemake", "--cores", "2", "--dry-run", "--quiet", "rules")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert "ct_measure_domains" in planned.stdout + planned.stderr
    done = project.run("snakemake", "--cores", "2", "--quiet", "rules")
    assert done.returncode == 0, done.stdout + done.stderr
    return project


@pytest.fixture
def described(importing):
    """The run and its crate as a dictionary of entities."""
    folder = importing.folder / "ct"
    entities = json.loads((folder / "ro-crate-metadata.json").read_text())["@graph"]
    return folder, {entity["@id"]: entity for entity in entities}


def test_an_imported_workflow_runs_to_its_page_and_keeps_its_record(importing):
    folder = importing.folder
    assert int((folder / "summary.txt").read_text()) == (folder / "ct/index.html").stat().st_size
    assert (folder / "ct/phantom_A/domains.parquet").exists()
    assert not (folder / "results").exists()
    assert "phantom_A" in importing.tomoprofile("status", "ct").stdout
    again = importing.run("snakemake", "--cores", "2")
    assert "Nothing to be done" in again.stdout + again.stderr


def test_the_validator_accepts_the_record_of_the_run(described):
    """All that is required; of what is recommended, nobody has told author, publisher and agent, or written a README.

    The other two are about names of the validator's own types.
    """
    found = crate.issues(described[0], Severity.RECOMMENDED)
    known = ("`author`", "`publisher`", "README.md", "an agent", "SoftwareApplication id SHOULD be an absolute URI")
    assert [issue for issue in found if not any(words in issue for words in known)] == []


@pytest.mark.parametrize(
    ("entity", "key", "expected"),
    [("./", "license", "license"), ("#run", "instrument", "instrument")],
)
def test_the_validator_would_find_a_mistake(described, tmp_path, entity, key, expected):
    folder, entities = described
    copy = tmp_path / "crate"
    copy.mkdir()
    for one in entities.values():
        if one["@type"] in ("File", "Dataset") and one["@id"] != "./":
            (copy / one["@id"]).mkdir(parents=True) if one["@type"] == "Dataset" else write_empty(copy / one["@id"])
    write_empty(copy / "workflow.smk")
    wrong = {**entities, entity: {name: value for name, value in entities[entity].items() if name != key}}
    text = json.loads((folder / "ro-crate-metadata.json").read_text()) | {"@graph": list(wrong.values())}
    (copy / "ro-crate-metadata.json").write_text(json.dumps(text))
    assert expected.lower() in "".join(crate.issues(copy, Severity.REQUIRED)).lower()


def write_empty(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def test_the_record_names_inputs_outputs_and_software(described):
    folder, entities = described
    (raw,) = [entity for entity in entities.values() if entity["@id"].startswith("#raw-phantom")]
    provenance = json.loads((folder / "phantom_A/provenance.json").read_text())
    assert raw["identifier"] == f"z00000:{provenance['raw']['sha256_of_slabs']['z00000']}"
    files = [entity for entity in entities.values() if entity["@type"] == "File"]
    assert {"phantom_A/domains.parquet", "phantom_A/report.html", "index.html"} <= {file["@id"] for file in files}
    for file in files:
        content = (folder / file["@id"]).read_bytes()
        assert file["sha256"] == hashlib.sha256(content).hexdigest(), file["@id"]
        assert file["contentSize"] == str(len(content))
    software = {entity["name"]: entity for entity in entities.values() if entity["@type"] == "SoftwareApplication"}
    assert software["zarr"]["softwareVersion"] == provenance["software"]["zarr"]
    run = entities["#run"]
    assert run["startTime"] < run["endTime"]
    assert run["actionStatus"].endswith("CompletedActionStatus")
    assert (folder / "workflow.smk").read_text() == (ROOT / "Snakefile").read_text()


def test_a_run_that_left_something_out_is_not_called_complete(described):
    folder, before = described
    taken = [folder / "phantom_A" / name for name in ("zones.parquet", "volume.ome.zarr")]
    for path in taken:
        path.rename(folder / path.name)
    try:
        entities = json.loads(write_crate(record.read_run(folder)).read_text())["@graph"]
    finally:
        for path in taken:
            (folder / path.name).rename(path)
        write_crate(record.read_run(folder))
    after = {entity["@id"]: entity for entity in entities}
    assert after["#run"]["actionStatus"] == "http://schema.org/FailedActionStatus"
    assert not {"phantom_A/zones.parquet", "phantom_A/volume.ome.zarr/"} & set(after)
    assert after["#raw-phantom_A"] == before["#raw-phantom_A"], "known from its provenance when the store is gone"


def test_a_new_run_takes_the_record_of_the_earlier_one_away(described, monkeypatch):
    folder, _ = described
    earlier = record.read_run(folder)
    monkeypatch.chdir(folder.parent)
    record.begin_run(earlier.config, earlier.scans, "9")
    assert not (folder / "ro-crate-metadata.json").exists()
    with pytest.raises(InputError, match=r"run.json: the run has not ended\. Run the workflow to its end"):
        write_crate(record.read_run(folder))
    assert not (folder / "ro-crate-metadata.json").exists()
    record.end_run(folder)
    assert write_crate(record.read_run(folder)).exists()
