"""What the page says of the substrate is what interface.json holds."""

import numpy as np
import pytest
from test_substrate_interface import SHAPE, edge_volume, fit, store_of, tilted

from tomoprofile.report.interface import interface_section
from tomoprofile.report.page import environment

SIZE = (32.0, 60.0, 32.0)
GIVEN = {"residual_um": None, "n_columns": 0, "inlier_fraction": None, "axis": "z", "tilt_deg": 0.0, "air": None}


def text_of(section):
    template = environment("en").get_template("interface.html.j2")
    return " ".join(template.render(interface=section, plot=lambda name, _label: f"<i>plot {name}</i>").split())


def test_a_fit_shows_its_map_and_how_far_to_trust_it(tmp_path):
    store_of(tmp_path, edge_volume(SHAPE, tilted(SHAPE, 1, 1, 1.0, 0.4)))
    _, record = fit(tmp_path)
    section = interface_section(record, SIZE, 0.5)
    (heat,) = section["figure"].data
    assert np.allclose(np.array(heat.z, float), np.array(record["residual_map_um"], float))
    assert heat.zmin == -heat.zmax
    assert heat.zmax == pytest.approx(np.abs(np.array(record["residual_map_um"], float)).max())
    assert (heat.x[0] + heat.x[-1], heat.y[0] + heat.y[-1]) == (32, 32)
    assert section["trust_um"] == max(record["residual_um"], 0.125)
    text = text_of(section)
    assert f"{record['n_columns']} columns" in text
    assert "plot interface" in text
    assert "Air" not in text


@pytest.mark.parametrize(
    ("how", "told"),
    [("slice:4", "smears every depth"), ("plane:1,0,0,2", "given in the sample sheet"), ("mask:m", "mask")],
)
def test_what_was_given_says_so(how, told):
    section = interface_section(GIVEN | {"how": how}, SIZE, 0.5)
    assert section["figure"] is None
    assert (section["trust_um"] is None) == (not how.startswith("mask"))
    assert told in text_of(section)


def test_air_and_gaps_of_the_map_are_told():
    record = GIVEN | {"how": "auto", "inlier_fraction": 1.0, "air": {"share": 0.4}, "reconstructed_radius_um": 31.0}
    section = interface_section(record | {"residual_map_um": [[0.1, None], [-0.3, 0.2]]}, SIZE, 0.5)
    assert section["figure"].data[0].z[0][1] is None
    assert section["figure"].data[0].zmax == 0.3
    text = text_of(section)
    assert "Air takes 40 %" in text
    assert "31 µm radius" in text
    assert interface_section(record | {"residual_map_um": [[None]]}, SIZE, 0.5)["figure"] is None
