"""A look at a finished scan: in napari where it is installed, otherwise in neuroglancer, which needs only a browser."""

from __future__ import annotations

import importlib.util

from ..logs import LOG
from .layers import layers_of
from .scan import FinishedScan
from .serving import StoreServer, neuroglancer_link, shown_stores


def view(scan: FinishedScan) -> None:
    """Show a scan until the window is closed or the command is interrupted.

    Raises
    ------
    InputError
        When its voxels were not kept.
    """
    if importlib.util.find_spec("napari"):
        _show_in_napari(scan)
    else:
        _serve(scan)


def _show_in_napari(scan: FinishedScan) -> None:
    import napari

    viewer = napari.Viewer(title=scan.sample)
    for layer in layers_of(scan):
        getattr(viewer, f"add_{layer.kind}")(layer.data, **layer.keywords)
    napari.run()


def _serve(scan: FinishedScan) -> None:
    with StoreServer(shown_stores(scan)) as server:
        print(neuroglancer_link(scan, server.url), flush=True)
        LOG.info(
            "Open this link in Chrome, Edge or Firefox. The page comes from the web, the data stay on this computer; "
            "where the browser asks whether the page may reach this computer or the local network, allow it. Ctrl+C "
            "ends it. With napari (`pip install 'napari[all]'`) the same command shows domains with their table."
        )
        if "labels" not in shown_stores(scan):
            LOG.info("For the domains in colours set `objects: {label_volume: true}` and run the workflow again.")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            LOG.info("Ended.")
