"""What a model bundle says of its model, shared by tests that need no trained one."""

import json
from pathlib import Path

from tomoprofile.layout import BundleLayout
from tomoprofile.network.facts import Calibration, HeldOutScores, MeasuredClass, ModelFacts

NOTHING = {"n_labelled": 0, "n_matched": 0, "n_false": 0, "recall": None, "precision": None, "f1": None}


def scores(**changes) -> HeldOutScores:
    """Return held-out scores of which only Dice and IoU are known, unless told otherwise."""
    unknown = dict.fromkeys(("precision", "recall", "area_ratio", "labelled_fraction", "interior_recall"))
    record = {
        **unknown,
        "dice": 0.9312,
        "iou": 0.8713,
        "dice_interval": None,
        "boundary_um": {"mean": None, "p95": None, "n": 0, "n_one_sided": 0},
        "objects": NOTHING,
        "sizes": [],
        "reliability": {
            "deciles": [],
            "expected_calibration_error": None,
            "expected_calibration_error_unsure": None,
        },
        "conditions": {
            "level": 0.5,
            "n_slices": 1,
            "n_voxels": 100,
            "voxel_size_um": (0.5, 0.5, 0.5),
            "interior_um": 1.0,
            "match_iou": 0.5,
        },
    }
    return HeldOutScores.model_validate(record | changes)


def measured(level=0.55, calibrated=True, held_out=None, at_its_limit=False) -> MeasuredClass:
    fit = Calibration(slope=1.0, offset=0.0, level_at_its_limit=at_its_limit)
    return MeasuredClass(level=level, calibrated=calibrated, calibration=fit, held_out=held_out)


def model_facts(**changes) -> ModelFacts:
    """Return the facts of a network that measures domains."""
    channels = [128, 64, 48, 32]
    record = {
        "network": {
            "in_channels": 3,
            "input_scale": 2,
            "encoder": "efficientnet-lite0",
            "decoder_channels": channels,
            "classes": 2,
            "measured": [1],
        },
        "window": 576,
        "voxel_size_um": (0.5, 0.5, 0.5),
        "classes": ("background", "domain"),
        "measured": {"domain": measured(held_out=scores())},
        "seen": {"features": [], "scans": {}, "doubt": None},
        "conditions": {"steps": 300, "learning_rate": 0.002, "decoder_channels": channels},
        "base": "imagenet",
        "labels": {
            "labels": {},
            "training": ["epoxy_1 z00004", "epoxy_1 z00030"],
            "groups": [["epoxy_1 z00004"], ["epoxy_1 z00030"]],
        },
        "steps": 300,
        "folds": {"kind": "slices", "n_folds": 2, "steps": 150},
        "learning_curve": [{"step": step, "loss": 1.5 / (1 + step / 20)} for step in range(0, 300, 10)],
    }
    return ModelFacts.model_validate(record | changes)


def write_bundle(folder: Path, facts: ModelFacts | None = None) -> Path:
    """Write the metadata of a model bundle, as fine_tune does."""
    path = folder / BundleLayout("").metadata
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"version": "0.1.0", "task": "domains", "tomoprofile": (facts or model_facts()).record()}
    path.write_text(json.dumps(record))
    return folder
