"""A project that went from a simulated scan to the reports by a network and by thresholds, for several test modules."""

from project import RESULTS, Project

SAMPLES = ("unet", "otsu", "filled")
# Small and quick: this shows that the way is whole; `make demo` shows how good the result is.
MODELS = {
    "default": {"method": "unet", "steps": 60, "crop": 64, "decoder_channels": [64, 32, 16, 16]},
    "otsu": {"method": "otsu"},
    "filled": {"method": "threshold_fill"},
}
CONFIG = {
    "models": MODELS,
    "store": {"shard_slices": 8, "slab_slices": 32},
    "profile": {
        "resamples": 200,
        "block_um": 12,
        "zones": [{"name": "near", "from_um": 0, "to_um": 27}, {"name": "far", "from_um": 27}],
    },
}


def run_once(project: Project) -> None:
    """Simulate, label, and run everything once."""
    project.configure(**CONFIG)
    project.tomoprofile("phantom", "data", "--size", 64, 160, 96)
    project.tomoprofile("scan", "data/raw", "--labels", "labels")
    sheet = project.folder / "config/samples.tsv"
    header, row = sheet.read_text().splitlines()
    rows = []
    for sample, model in zip(SAMPLES, MODELS, strict=True):
        cells = dict(zip(header.split("\t"), row.split("\t"), strict=True))
        cells |= {"sample": sample, "model": model, "labels": "labels/unet" if model == "default" else ""}
        cells |= {"group": "baselines" if model != "default" else ""}
        rows.append("\t".join(cells.values()))
    sheet.write_text("\n".join([header, *rows]) + "\n")
    project.snakemake("pick")
    assert not project.results.model("default").folder.exists(), "picking slices must not train anything"
    project.tomoprofile("annotate", "data/truth", RESULTS.scan("unet").to_label.table, "labels/unet")
    project.snakemake()
