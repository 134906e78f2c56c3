"""nnU-Net in two dimensions, as it configures itself, for a number of CPU seconds instead of 1000 epochs.

Its own fingerprint, plan, network, loss, augmentation and optimiser; all labels train, and its polynomial decay of the
learning rate follows the CPU seconds. It sees one slice at a time. Imported in the peers' environment only.
"""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
import torch
from numpy.typing import NDArray

from . import ours

NUMBER, NAME = 1, "Dataset001_labels"
APART = 999.0  # distance of slices, as nnU-Net reads single pictures
ROUND = 10  # iterations between two looks at the clock
SAVE_CPU_S = 60.0
ENDING = ".nii.gz"


def cpu_s() -> float:
    """Return the CPU seconds of this process and of its finished children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def train(training: ours.TrainingSet, seed: int, budget_s: float, folder: Path) -> Any:
    """Return a trainer whose network is trained; a run that was killed goes on from the state in ``folder``.

    Parameters
    ----------
    training : TrainingSet
    seed : int
    budget_s : float
        CPU seconds, preparation included.
    folder : Path
    """
    os.environ |= {f"nnUNet_{name}": str(folder / name) for name in ("raw", "preprocessed", "results")}
    begun = cpu_s()
    _prepare(training, folder)
    os.environ |= {"nnUNet_n_proc_DA": "0"}  # crops are made in this process, so that its clock counts them
    trainer = _trainer(folder, seed)
    state = folder / "state.pt"
    spent = 0.0
    if state.is_file():
        saved = torch.load(state, weights_only=True)
        spent = saved["spent"]
        trainer.network.load_state_dict(saved["network"])
        trainer.optimizer.load_state_dict(saved["optimiser"])
    begun -= spent
    kept = spent
    while (spent := cpu_s() - begun) < budget_s:
        trainer.network.train()
        for group in trainer.optimizer.param_groups:
            group["lr"] = trainer.initial_lr * (1 - spent / budget_s) ** 0.9
        for _ in range(ROUND):
            trainer.train_step(next(trainer.dataloader_train))
        if spent - kept > SAVE_CPU_S:
            kept = spent
            parts = {"network": trainer.network.state_dict(), "optimiser": trainer.optimizer.state_dict()}
            with ours.whole_file(state) as partial:
                torch.save({"spent": spent, **parts}, partial)
    return trainer


def mask(trainer: Any, grey: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the segmentation of slices (z, y, x)."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    trainer.set_deep_supervision_enabled(False)
    trainer.network.eval()
    predictor = nnUNetPredictor(device=trainer.device, perform_everything_on_device=False, allow_tqdm=False)
    predictor.manual_initialization(
        trainer.network,
        trainer.plans_manager,
        trainer.configuration_manager,
        None,
        trainer.dataset_json,
        type(trainer).__name__,
        trainer.inference_allowed_mirroring_axes,
    )
    predictor.list_of_parameters = [trainer.network.state_dict()]
    return predictor.predict_single_npy_array(grey[None], {"spacing": [APART, 1.0, 1.0]}) == 1


def _prepare(training: ours.TrainingSet, folder: Path) -> None:
    """Write the labels as a dataset of nnU-Net's, and let it plan."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprint_dataset,
        plan_experiment_dataset,
        preprocess_dataset,
    )

    raw, done = folder / "raw" / NAME, folder / "prepared"
    if done.exists():
        return
    for name in ("imagesTr", "labelsTr"):
        (raw / name).mkdir(parents=True, exist_ok=True)
    for number, item in enumerate(training.slices):
        _write(raw / "imagesTr" / f"case{number:03d}_0000{ENDING}", item.image[len(item.image) // 2])
        _write(raw / "labelsTr" / f"case{number:03d}{ENDING}", item.label)
    labels = {"background": 0, "domain": 1}
    told = {"channel_names": {"0": "grey"}, "labels": labels, "numTraining": len(training.slices)}
    (raw / "dataset.json").write_text(json.dumps(told | {"file_ending": ENDING}))
    (folder / "preprocessed").mkdir(exist_ok=True)
    extract_fingerprint_dataset(NUMBER, num_processes=1, show_progress_bar=False)
    plan_experiment_dataset(NUMBER)
    preprocess_dataset(NUMBER, configurations=("2d",), num_processes=(1,), show_progress_bar=False)
    done.touch()


def _write(path: Path, picture: NDArray[Any]) -> None:
    image = SimpleITK.GetImageFromArray(picture[None])
    image.SetSpacing((1.0, 1.0, APART))
    SimpleITK.WriteImage(image, str(path))


def _trainer(folder: Path, seed: int) -> Any:
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    prepared = folder / "preprocessed" / NAME
    plans, dataset = (json.loads((prepared / name).read_text()) for name in ("nnUNetPlans.json", "dataset.json"))
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002, its augmentation draws from the global generator
    device = ours.choose_device()
    trainer = nnUNetTrainer(plans | {"continue_training": False}, "2d", "all", dataset, device)  # type: ignore[arg-type]
    trainer.initialize()
    trainer.on_train_start()
    return trainer
