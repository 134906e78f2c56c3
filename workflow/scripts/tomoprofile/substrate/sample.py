"""A scan without a substrate: which part of it is sample."""

from __future__ import annotations

from pathlib import Path

from .. import __version__
from ..files import sealed_file
from ..logs import LOG
from ..volume.plane import WithoutSubstrate
from ..volume.store import open_store
from . import edges
from .resin import find_resin


def find_sample(volume: Path, out: Path, resin_out: Path) -> None:
    """Find the air around a sample and what was not reconstructed; everything else is sample.

    Parameters
    ----------
    volume : Path
        Store of the grey values.
    out : Path
        Receives that there is no substrate, and how much air there is.
    resin_out : Path
        Receives where air and the outside of the reconstruction are.
    """
    store, nowhere = open_store(volume), WithoutSubstrate()
    outside, side = edges.constant_outside(store), edges.block_side(store.shape)
    sample, told = find_resin(store, nowhere, edges.block_means(store, side, outside), side, outside)
    LOG.info("no substrate; %s", told)
    sample.save(resin_out)
    with sealed_file(out) as partial:
        nowhere.save(partial, **told, tomoprofile_version=__version__)
