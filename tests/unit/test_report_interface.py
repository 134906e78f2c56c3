"""What the page says of the substrate is what interface.json holds."""

from types import SimpleNamespace

import numpy as np
import pytest
from test_substrate_interface import SHAPE, edge_volume, fit, store_of, tilted

from tomoprofile.report.rendering import Renderer
from tomoprofile.report.sections import interface
from tomoprofile.report.sections.section import Section
from tomoprofile.volume.plane import Plane

VOXELS = (64, 120, 64)
GIVEN = {"residual_um": None, "n_columns": 0, "inlier_fraction": None, "axis": "z", "tilt_deg": 0.0, "air": None}


def build(record, normal=(0.0, 1.0, 0.0)):
    return interface.build(record, Plane.through(normal, 1.0), SimpleNamespace(shape=VOXELS, voxel_size_um=(0.5,) * 3))


def text_of(content):
    section = Section("interface", interface.build)
    return " ".join(Renderer().section(section, content, sample="a", suffix="").split())


def test_a_fit_shows_its_map_and_how_far_to_trust_it(tmp_path):
    store_of(tmp_path, edge_volume(SHAPE, tilted(SHAPE, 1, 1, 1.0, 0.4)))
    _, record = fit(tmp_path)
    section = build(record)
    (heat,) = section.figures["interface"].data
    assert np.allclose(np.array(heat.z, float), np.array(record["residual_map_um"], float))
    assert heat.zmin == -heat.zmax
    assert heat.zmax == pytest.approx(np.abs(np.array(record["residual_map_um"], float)).max())
    assert (heat.x[0] + heat.x[-1], heat.y[0] + heat.y[-1]) == (32, 32)
    assert section.words["trust_um"] == max(record["residual_um"], 0.125)
    text = text_of(section)
    assert f"{record['n_columns']} columns" in text
    assert 'id="plot-interface"' in text
    assert "Air" not in text


@pytest.mark.parametrize(
    ("how", "told"),
    [("slice:4", "smears every depth"), ("plane:1,0,0,2", "given in the sample sheet"), ("mask:m", "mask")],
)
def test_what_was_given_says_so(how, told):
    section = build(GIVEN | {"how": how})
    assert section.figures == {}
    assert (section.words["trust_um"] is None) == (not how.startswith("mask"))
    assert told in text_of(section)


def test_air_and_gaps_of_the_map_are_told():
    record = GIVEN | {"how": "auto", "inlier_fraction": 1.0, "air": {"share": 0.4}, "reconstructed_radius_um": 31.0}
    section = build(record | {"residual_map_um": [[0.1, None], [-0.3, 0.2]]})
    assert section.figures["interface"].data[0].z[0][1] is None
    assert section.figures["interface"].data[0].zmax == 0.3
    text = text_of(section)
    assert "Air fills 40 %" in text
    assert "31 µm radius" in text
    assert build(record | {"residual_map_um": [[None]]}).figures == {}
