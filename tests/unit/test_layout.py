"""Names of files are a contract: docs/outputs.md has them for people, ``Layout`` for rules, library and tests."""

import re
from pathlib import Path

from tomoprofile.layout import BundleLayout, Layout, StoreLayout, ToLabelLayout

ROOT = Path(__file__).parents[2]
OUTPUTS = (ROOT / "docs/outputs.md").read_text()


def documented():
    """Return the paths that docs/outputs.md lists first."""
    listing = OUTPUTS.split("```")[1]
    return {Path(place) for place in re.findall(r"<results>/\S+", listing)}


def laid_out():
    """Return every path that a layout knows, folders for what has many files."""
    layout = Layout("<results>")
    scan = layout.scan("<sample>")
    known = {layout.check, layout.run, layout.claim, layout.index, layout.comparison, layout.logs, layout.benchmarks}
    known |= {layout.crate, layout.workflow, layout.model("<model>").folder, layout.training_set("<model>")}
    known |= {*vars(layout.amplification("<model>")).values()}
    federation = layout.federation("<run>")
    known |= {layout.site("<model>").folder, federation.checkpoint("0").parent, federation.evaluation}
    known |= {scan.objects_at("low").parent, scan.domains_at("low").parent}
    known |= {StoreLayout(scan.folder / "*.ome.zarr").record("z00000").parent}
    helpers = {scan.folder, scan.measure_workers, scan.profile_workers, scan.phase_workers}  # gone when the job is done
    for found in vars(scan).values():
        match found:
            case StoreLayout():
                known.add(found.path)
            case ToLabelLayout():
                known.add(found.folder)
            case Path():
                known.add(found)
    return known - helpers


def test_the_documented_files_are_those_of_the_layout():
    assert len(documented()) > 30
    assert laid_out() == documented()


def test_names_inside_folders():
    layout = Layout("r")
    scan, bundle = layout.scan("a.b"), layout.model("m")
    assert {path.as_posix() for path in bundle.files} == {
        "r/models/m/models/model.pt",
        "r/models/m/configs/inference.json",
        "r/models/m/docs/README.md",
        "r/models/m/configs/metadata.json",
    }
    assert bundle.files[-1] == bundle.metadata, "written last, it says that the rest is there"
    assert BundleLayout("elsewhere/m").metadata == Path("elsewhere/m/configs/metadata.json")
    assert scan.volume.metadata == Path("r/a.b/volume.ome.zarr/zarr.json")
    assert scan.probability.record("z00512") == Path("r/a.b/probability.ome.zarr/slabs/z00512.json")
    assert scan.to_label.table == Path("r/a.b/to_label/slices.tsv")
    assert scan.to_label.prelabels == Path("r/a.b/to_label/prelabels")
    assert [scan.objects_at(level).name for level in ("low", "high")] == ["low.parquet", "high.parquet"]
    assert scan.domains_at("calibrated") == scan.domains == Path("r/a.b/domains.parquet")
    assert scan.domains_at("high") == Path("r/a.b/band/high.parquet")


def test_logs_and_records_of_time_have_the_same_names():
    layout = Layout("r")
    log = layout.log("convert_slab", "a.b", "z00000")
    assert log == Path("r/logs/convert_slab/a.b.z00000.log")
    assert layout.benchmark("convert_slab", "a.b", "z00000") == layout.benchmark_of(log)
    assert layout.benchmark_of(log) == Path("r/benchmarks/convert_slab/a.b.z00000.tsv")
    assert layout.log("report_beamtime") == Path("r/logs/report_beamtime.log")


def test_what_was_written_is_found(tmp_path):
    layout = Layout(tmp_path)
    logs = [layout.log("report_beamtime"), layout.log("fine_tune", "m"), layout.log("convert_slab", "a", "z00000")]
    records = [layout.scan("a").volume.record(slab) for slab in ("z00016", "z00000")]
    for path in (*logs, *records):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert layout.written_logs() == sorted(logs)
    assert layout.scan("a").volume.written_records() == sorted(records)
    assert layout.scan("b").volume.written_records() == []


def test_wildcards_stay_as_rules_need_them():
    scan = Layout("results").scan("{sample}")
    assert str(scan.volume.record("{slab}")) == "results/{sample}/volume.ome.zarr/slabs/{slab}.json"


def test_rules_take_every_path_from_the_layout():
    """A name of a file in a rule would be a second home for it."""
    names = {path.name for path in laid_out() if path.suffix} | {"zarr.json", "slices.tsv", "metadata.json", "model.pt"}
    names -= {"README.md"}
    for path in [ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk")]:
        strings = re.findall(r'f?"[^"\n]*"', re.sub(r'""".*?"""', "", path.read_text(), flags=re.DOTALL))
        assert not [text for text in strings if any(name in text for name in names)], path.name
