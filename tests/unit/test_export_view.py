"""What viewers are given: layers joined with their table, and stores over real HTTP on the loopback interface."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
import zarr
from export_scan import SAMPLE, finished
from zarr.abc.store import RangeByteRequest, SuffixByteRequest
from zarr.storage import MemoryStore

from tomoprofile.domains.label_volume import write_label_volume
from tomoprofile.export.layers import features_of, layers_of
from tomoprofile.export.serving import NEUROGLANCER, StoreServer, neuroglancer_link, shown_stores

SHAPE = (20, 30, 300)  # two chunks in a shard


@pytest.fixture(scope="module")
def masks():
    rng = np.random.default_rng(2)
    domain = rng.random(SHAPE) < 0.05
    return {"domain": domain, "void": (rng.random(SHAPE) < 0.05) & ~domain}


@pytest.fixture(scope="module")
def scan(masks, tmp_path_factory):
    grey = np.random.default_rng(1).integers(0, 255, SHAPE).astype("uint8")
    return finished(tmp_path_factory.mktemp("results"), masks, grey, edges_um=(2.0, 1.0, 0.5))


def test_layers_show_the_voxels_that_were_measured(scan, masks):
    layers = {layer.keywords["name"]: layer for layer in layers_of(scan)}
    assert list(layers) == ["volume", "probability of domain", "domain", "probability of void", "void"]
    assert {layer.kind for layer in layers.values()} == {"image", "labels"}
    assert np.array_equal(layers["volume"].data.compute(), scan.volume.read(0, SHAPE[0]))
    for name, mask in masks.items():
        labels = layers[name]
        assert labels.kind == "labels"
        assert np.array_equal(labels.data.compute() > 0, mask)
        assert np.array_equal(layers[f"probability of {name}"].data.compute() == 255, mask)
    for layer in layers.values():
        assert layer.data.shape == SHAPE
        assert layer.keywords["scale"] == (2.0, 1.0, 0.5)
        assert layer.data.chunks[0] == (8, 8, 4), "a block of slices is read when it is shown"


def test_each_label_is_joined_with_its_row_of_the_table(scan):
    table = pd.read_parquet(scan.files.domains)
    for name, metadata in scan.classes.items():
        features = features_of(scan, metadata)
        (layer,) = [layer for layer in layers_of(scan) if layer.keywords["name"] == name]
        assert layer.keywords["features"].equals(features)
        assert features["index"].tolist() == [0, *range(1, metadata.n_domains + 1)]
        voxels = np.bincount(layer.data.compute().ravel())
        assert np.array_equal(features["voxels"].iloc[1:], voxels[1:]), (
            "as many voxels as the table says, label by label"
        )
        assert np.array_equal(features["voxels"].iloc[1:], table.loc[table["class"] == name, "voxels"])
        assert features.iloc[0].drop("index").isna().all(), "the background is no domain"


def test_napari_accepts_the_layers(scan):
    components = pytest.importorskip("napari.components", reason="napari is not a part of the environment")
    viewer = components.ViewerModel()  # the viewer without its window
    for layer in layers_of(scan):
        made = getattr(viewer, f"add_{layer.kind}")(layer.data, **layer.keywords)
        assert tuple(made.scale) == (2.0, 1.0, 0.5)
        if layer.kind == "labels":
            place = np.argwhere(layer.data.compute() == 7)[0] * made.scale
            row = layer.keywords["features"].set_index("index").loc[7]
            told = made._get_properties(tuple(place), dims_displayed=[1, 2], world=True)
            assert f"voxels: {row['voxels']:g}" in told


@pytest.fixture(scope="module")
def server(scan):
    write_label_volume(scan.files.objects_at("calibrated"), "../volume.ome.zarr", 8, scan.files.labels.path)
    with StoreServer(shown_stores(scan)) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def fetch(url, method="GET", **headers):
    request = urllib.request.Request(url, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


class OverHTTP(MemoryStore):
    """A store for zarr-python, read by requests for whole files and parts of them."""

    def __init__(self, url):
        super().__init__(read_only=True)
        self.url, self.parts = url, 0

    async def get(self, key, prototype, byte_range=None):
        asked = {}
        if isinstance(byte_range, RangeByteRequest):
            asked = {"Range": f"bytes={byte_range.start}-{byte_range.end - 1}"}
        elif isinstance(byte_range, SuffixByteRequest):
            asked = {"Range": f"bytes=-{byte_range.suffix}"}
        else:
            assert byte_range is None
        status, body, _ = fetch(f"{self.url}/{key}", **asked)
        self.parts += status == 206
        return prototype.buffer.from_bytes(body) if status in (200, 206) else None


def test_zarr_reads_the_stores_over_http(server, scan):
    """As neuroglancer does: of a shard first the table at its end, then the chunks that are shown."""
    for name in ("volume", "labels", "probability"):
        store = OverHTTP(f"{server.url}/{name}")
        found = zarr.open_array(store, path="0", mode="r", zarr_format=3)
        local = zarr.open_array(str(shown_stores(scan)[name]), path="0", mode="r")
        assert np.array_equal(found[..., 3:12, :9, 2:99], local[..., 3:12, :9, 2:99])
        assert store.parts > 1


def test_parts_of_a_file_are_those_that_are_asked_for(server, scan):
    path = scan.volume.shard_path(0)
    content = path.read_bytes()
    url = f"{server.url}/volume/{path.relative_to(scan.files.volume.path)}"
    size = len(content)
    assert fetch(url)[:2] == (200, content)
    for asked, part in {
        "bytes=3-9": content[3:10],
        "bytes=-20": content[-20:],
        "bytes=5-": content[5:],
        f"bytes=2-{size + 99}": content[2:],
        f"bytes=-{size + 9}": content,
    }.items():
        status, body, headers = fetch(url, Range=asked)
        assert (status, body) == (206, part), asked
        first = size - len(part) if asked.startswith("bytes=-") else content.index(part)
        assert headers["Content-Range"] == f"bytes {first}-{first + len(part) - 1}/{size}"
    for asked in (f"bytes={size}-", "bytes=9-3", "bytes=-0", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4"):
        assert fetch(url, Range=asked)[:2] == (416, b""), asked
    status, body, headers = fetch(url, method="HEAD")
    assert (status, body, headers["Content-Length"]) == (200, b"", str(size))


def test_only_pages_of_neuroglancer_may_read(server):
    _, _, headers = fetch(f"{server.url}/volume/zarr.json", Origin="https://elsewhere.example")
    assert headers["Access-Control-Allow-Origin"] == NEUROGLANCER
    status, _, headers = fetch(f"{server.url}/volume/zarr.json", method="OPTIONS")
    assert status == 204
    assert headers["Access-Control-Allow-Headers"] == "Range"
    assert headers["Access-Control-Allow-Private-Network"] == "true"
    assert server.server_address[0] == "127.0.0.1"
    assert fetch(f"{server.url}/volume/zarr.json", Host=f"127.0.0.1:{server.server_port}")[0] == 200
    assert fetch(f"{server.url}/volume/zarr.json", Host="elsewhere.example")[0] == 404, "a name that was pointed here"
    assert fetch(f"{server.url}/volume/zarr.json", method="POST")[0] == 501


def test_nothing_but_the_stores_can_be_fetched(server, scan):
    volume = scan.files.volume.path
    link = volume / "link.json"
    link.symlink_to(scan.files.domains)
    inside = volume / "inside.json"
    inside.symlink_to(volume / "zarr.json")
    try:
        assert fetch(f"{server.url}/volume/inside.json")[0] == 200
        for path in (
            *("", "/", "/volume", "/volume/", "/volume/0", "/domains.parquet", "/volume/link.json", "/volume/nothing"),
            *("/volume/../domains.parquet", "/volume/%2e%2e/domains.parquet", "/volume/..%2fdomains.parquet"),
            *(f"/volume/{scan.files.domains}", f"/volume//{scan.files.domains}", "/volume/a%00b", "//etc/passwd"),
        ):
            assert fetch(f"{server.url}{path}")[0] == 404, path
    finally:
        link.unlink()
        inside.unlink()


def test_the_link_names_what_is_served(server, scan):
    link = neuroglancer_link(scan, server.url)
    state = json.loads(unquote(link.removeprefix(f"{NEUROGLANCER}/#!")))
    assert [(layer["name"], layer["type"]) for layer in state["layers"]] == [
        ("volume", "image"),
        ("probability", "image"),
        ("labels", "segmentation"),
    ]
    for layer in state["layers"]:
        address, _, form = layer["source"].partition("|")
        assert form == "zarr3:"
        assert json.loads(fetch(f"{address}zarr.json")[1])["attributes"]["ome"]["version"] == "0.5"


def test_the_command_serves_until_it_is_interrupted(scan):
    """With napari hidden, as on most machines."""
    hide = "import importlib.util as u; f = u.find_spec; u.find_spec = lambda n, *a: n != 'napari' and f(n, *a) or None"
    # A shell starts what runs in its background with interrupts ignored, and this test may be among that.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heed}; {hide}; from tomoprofile.cli import main; main(['view', '{SAMPLE}', '--results', '.'])"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=scan.files.folder.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        link = process.stdout.readline().strip()
        (source, *_) = [layer["source"] for layer in json.loads(unquote(link.partition("#!")[2]))["layers"]]
        assert fetch(f"{source.partition('|')[0]}zarr.json")[0] == 200
    finally:
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=20)
    assert process.returncode == 0, told
    assert "the data stay on this computer" in told
