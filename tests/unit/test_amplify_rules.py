"""Amplification in the workflow: what the sheet and the configuration say, what is refused, which jobs there are."""

import pytest
from project import Project

from tomoprofile.amplify.model import FEWEST
from tomoprofile.config import UNetConfig, read_config
from tomoprofile.config_amplify import FEWEST_CASES
from tomoprofile.errors import ConfigError
from tomoprofile.run.cases import cases_of, template_candidates
from tomoprofile.run.feasibility import check_run
from tomoprofile.samples import Scan, read_samples, write_samples

RULES = {"amplify_template", "amplify_register", "amplify_model", "amplify_sample"}


@pytest.fixture
def labels(tmp_path):
    """Return a folder with a label file, of which only the name is read."""
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a_z00003.tif").touch()
    return str(tmp_path / "labels")


def row(sample, **cells):
    size = {"slices": 32, "rows": 32, "columns": 32, "dtype": "uint8", "voxel_size_um": "1000"}
    return Scan(sample=sample, path=f"{sample}.tif", format="tiff_stack", **size | {"interface": "none"} | cells)


def config_of(**amplify):
    return read_config({"models": {"default": {"amplify": amplify}}})


def found(scans, **amplify):
    return [finding for finding in check_run(config_of(**amplify), scans) if finding.item == "amplify"]


def test_roles_agree_with_labels(tmp_path):
    assert row("a", role="template").role == "template"
    assert row("a", role="labelled", labels="l").role == "labelled"
    with pytest.raises(ValueError, match="needs a folder"):
        row("a", role="labelled")
    write_samples(tmp_path / "samples.tsv", [row("a", role="template", labels="l")])
    (scan,) = read_samples(tmp_path / "samples.tsv", {"default"})
    assert scan.role == "template"
    text = (tmp_path / "samples.tsv").read_text().replace("template", "templat")
    (tmp_path / "samples.tsv").write_text(text)
    with pytest.raises(ConfigError, match="Did you mean `template`"):
        read_samples(tmp_path / "samples.tsv", {"default"})


def test_labels_of_a_scan_that_is_called_unlabelled_are_no_surprise(labels):
    scans = [row("a", labels=labels), row("b", labels="not yet", role="unlabelled"), row("c")]
    assert [finding.status for finding in found(scans, kind="mixed")] == ["ok"], "the folder is empty"
    scans[1] = row("b", labels=labels, role="unlabelled")
    refused, *_ = found(scans, kind="mixed")
    assert refused.status == "error"
    assert "they train" in refused.message


def test_a_role_changes_neither_voxels_nor_header():
    assert row("a", role="template").voxels == row("a").voxels


@pytest.mark.parametrize("kind", ["deformation", "mixed"])
def test_what_is_learned_from_several_cases_needs_them_before_any_job(kind, labels):
    few = [row("a", labels=labels), *(row(f"u{n}") for n in range(FEWEST - 2))]
    (refused,) = found(few, kind=kind)
    assert refused.status == "error"
    assert "use `elastic`" in refused.message
    enough = [*few, row("z")]
    (told,) = found(enough, kind=kind)
    assert told.status == "ok"
    assert "registered to a first" in told.message
    assert FEWEST == FEWEST_CASES
    (elastic,) = found(few[:1], kind="elastic")
    assert elastic.status == "ok"
    assert not found(few[:1])


def test_a_scan_with_a_mask_is_no_case():
    scans = [row("a", labels="l"), row("b"), row("c", mask="m.tif")]
    assert [finding.status for finding in found(scans, kind="mixed")] == ["error"]
    assert [case.sample for case in cases_of("default", scans, config_of())] == ["a", "b"]


def test_one_template_is_named_or_chosen_among_the_labelled(labels):
    scans = [row("empty", labels="not yet"), row("a", labels=labels), row("bare"), row("b", labels=labels)]
    assert [case.sample for case in template_candidates(scans)] == ["a", "b"]
    (told,) = found(scans, kind="mixed")
    assert "the most usual of 2 labelled ones" in told.message
    assert [case.sample for case in template_candidates([*scans, row("t", role="template")])] == ["t"]
    both = [row("a", role="template"), row("b", role="template", labels="l"), row("c")]
    assert [finding.status for finding in found(both, kind="mixed")] == ["error"]
    (unused,) = found([row("a", role="template"), row("b", labels="l")])
    assert unused.status == "warning"


def test_a_model_that_draws_nothing_is_recorded_as_before():
    assert "amplify" not in UNetConfig().model_dump(mode="json")
    drawing = UNetConfig(amplify={"kind": "elastic", "pairs": 7})
    assert drawing.model_dump(mode="json")["amplify"]["pairs"] == 7
    assert UNetConfig.model_validate(drawing.model_dump(mode="json")) == drawing


def test_less_than_a_quarter_of_labelled_slices_is_refused():
    with pytest.raises(ConfigError, match="real"):
        config_of(kind="elastic", real=0.2)
    with pytest.raises(ConfigError, match="Did you mean"):
        config_of(kind="elastc")


def jobs(said):
    """Return (rule, wildcard, input) of the jobs of a dry run that concern amplification and training."""
    made, rule, inputs = {}, "", ""
    for line in said.splitlines():
        key, _, value = line.strip().partition(" ")
        if key in ("rule", "localrule"):
            rule = value.rstrip(":")
        elif key == "input:":
            inputs = value
        elif key == "wildcards:" and rule in RULES | {"fine_tune"}:
            made[rule, value.split("=")[1]] = inputs
    return made


def test_the_plan_has_a_registration_for_each_case_of_models_that_learn_and_no_job_for_others(tmp_path, labels):
    project = Project(tmp_path)
    kinds = {"plain": "none", "single": "elastic", "several": "mixed"}
    project.configure(models={name: {"amplify": {"kind": kind}} for name, kind in kinds.items()})
    cells = {"labels": labels}
    scans = [row(f"{name}_{end}", model=name, **(cells if end == "a" else {})) for name in kinds for end in "abc"]
    write_samples(tmp_path / "config/samples.tsv", scans)
    planned = jobs(project.dry_run())
    assert {(rule, of) for rule, of in planned if rule != "fine_tune"} == {
        ("amplify_sample", "single"),
        ("amplify_template", "several"),
        *(("amplify_register", f"several_{end}") for end in "abc"),
        ("amplify_model", "several"),
        ("amplify_sample", "several"),
    }
    trains = {name: planned["fine_tune", name] for name in kinds}
    assert trains == {
        "plain": "results/training/plain.npz",
        "single": "results/training/single.amplified.npz",
        "several": "results/training/several.amplified.npz",
    }


def test_cases_are_registered_to_the_template_of_all_sites(tmp_path, labels):
    """A site of two scans draws from the sums of all sites; no scan of its own becomes the template."""
    for name in ("template", "pooled"):
        (tmp_path / name).touch()
    shared = {"kind": "deformation", "template": str(tmp_path / "template"), "sums": str(tmp_path / "pooled")}
    scans = [row("a", labels=labels, role="template"), row("b")]
    told = {finding.status: finding.message for finding in found(scans, **shared)}
    assert "is that of all sites" in told["warning"], "the role of a scan says nothing then"
    assert str(tmp_path / "template") in told["ok"]
    assert str(tmp_path / "pooled") in told["ok"]
    (few,) = (one for one in found(scans, **shared | {"sums": ""}) if one.status == "error")
    assert "from at least 3 scans" in few.message
    (missing,) = (one for one in found(scans, **shared | {"sums": str(tmp_path / "none")}) if one.status == "error")
    assert "no such file" in missing.message
    project = Project(tmp_path)
    train = {"mode": "federated", "run": "all"}
    project.configure(models={"default": {"amplify": shared, "train": train, "input_scale": 2}})
    write_samples(tmp_path / "config/samples.tsv", scans)
    planned = jobs(project.dry_run("results/training/default.amplified.npz"))
    assert {rule for rule, _ in planned} == {"amplify_register", "amplify_model", "amplify_sample"}
    assert all(shared["template"] in planned["amplify_register", name] for name in "ab")
    assert shared["sums"] in planned["amplify_sample", "default"]
    said = project.dry_run("results/training/default.federated/deformations.safetensors")
    assert "rule fed_deformations:" in said, "its own sums are for the coordinator"
    assert "amplify_sample" not in said


@pytest.mark.parametrize("key", ["template", "sums"])
def test_a_file_of_all_sites_without_effect_is_refused(key):
    with pytest.raises(ConfigError, match="has no effect"):
        config_of(kind="elastic", **{key: "file"})
    if key == "sums":
        with pytest.raises(ConfigError, match="the file that all sites have"):
            config_of(kind="mixed", sums="file")
