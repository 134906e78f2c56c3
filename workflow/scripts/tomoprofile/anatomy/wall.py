"""The bodies around the organs: layers of the wall, lungs and heart, muscles, bones and bowel."""

from __future__ import annotations

import math

import numpy as np

from .bodies import Body, Layer, PlacedShape
from .frame import Place
from .shapes import Box, Floats, Knot, chain, common, ellipsoid, joined

_VERTEBRA_MM = 34.0  # from one to the next
_CORTEX_MM = 2.2
# Height at the spine, and how far it reaches around the body in radians: from the twelfth to the seventh rib.
_RIBS = ((26.0, 1.25), (60.0, 1.9), (94.0, 2.45), (128.0, 2.6), (162.0, 2.65), (196.0, 2.7))
_RIB_FALLS = 76.0  # from the spine to the front
_COLON = (
    (Knot(-97, 18, -190, 21), Knot(-99, 14, -60, 20), Knot(-88, -8, -44, 19)),
    (Knot(-88, -8, -44, 18), Knot(-50, -58, -56, 17), Knot(30, -66, -60, 16), Knot(84, -36, -24, 15)),
    (Knot(84, -36, -24, 15), Knot(105, 8, -6, 15), Knot(108, 24, -50, 14), Knot(104, 30, -190, 14)),
)
_DUODENUM = (
    Knot(-14, -45, -6, 12),
    Knot(-44, -30, 0, 12),
    Knot(-55, 0, -16, 12),
    Knot(-46, 10, -46, 12),
    Knot(-8, 10, -56, 11),
    Knot(26, 4, -46, 11),
)
_LOOPS = [  # y, z, phase and length of the coils, irregular
    (y, z + 6 * math.sin(3 * row + 5 * column), 0.7 * row + 1.9 * column, 11 + 3 * math.sin(5 * row + 3 * column))
    for row, z in enumerate((-24, -50, -77, -104, -131, -158, -185))
    for column, y in enumerate((-64, -38, -12))
    if z < -30 or y > -30
]


def vertebra_y(z: Floats) -> Floats:
    """Return how far the middle of the vertebral bodies lies behind the middle of the torso, in millimetres."""
    return 52 - 8 * np.exp(-(((z + 80) / 70) ** 2))


def surroundings() -> list[Body]:
    """Return the bodies below the organs, in the order in which they are painted."""
    return [
        Body("skin", "skin", lambda place: place.skin),
        Body("fat", "fat", lambda place: place.fat),
        Body("muscle", "muscle", lambda place: place.muscle, layers=(_FASCIA,)),
        Body("cavity", "visceral fat", lambda place: place.cavity),
        Body("diaphragm", "muscle", _above_dome(-2.5)),
        Body("lungs", "lung", _lungs, box=Box(z=(-20, 1e3))),
        Body("mediastinum", "mediastinum", _mediastinum, _above_dome(1), Box(x=(-60, 70), z=(20, 1e3))),
        Body(
            "heart",
            "muscle",
            lambda place: ellipsoid(place.points, (24, -28, 136), (62, 46, 50)),
            _above_dome(3),
            Box(x=(-45, 95), y=(-85, 30), z=(60, 1e3)),
            (Layer("blood", 9),),
        ),
        Body("bowel", "bowel", _loops, _in_cavity(3), Box(x=(-95, 100), y=(-90, 8), z=(-1e3, 0)), (_GAS,)),
        *(Body("colon", "bowel", _tube(knots), _in_cavity(2), Box.around(knots, 6), (_STOOL,)) for knots in _COLON),
        Body("duodenum", "bowel", _tube(_DUODENUM), _in_cavity(2), Box.around(_DUODENUM, 6)),
        Body("psoas", "muscle", _psoas, box=Box(x=(-90, 90), y=(0, 100), z=(-1e3, 30))),
        Body("ribs", "bone", _ribs, box=Box(z=(-30, 1e3)), layers=(Layer("marrow", _CORTEX_MM),)),
        Body("iliac bones", "bone", _iliac_bones, box=Box(y=(-40, 1e3), z=(-1e3, -80)), layers=(Layer("marrow", 2),)),
        Body("discs", "disc", _discs, box=Box((-40, 40), (15, 85))),
        Body("arches", "bone", _arches, box=Box((-60, 60), (35, 120)), layers=(Layer("marrow", _CORTEX_MM),)),
        Body("canal", "fluid", _canal, box=Box((-20, 20), (45, 105))),
        Body("vertebrae", "bone", _vertebrae, box=Box((-40, 40), (15, 85)), layers=(Layer("marrow", _CORTEX_MM),)),
    ]


def _above_dome(gap: float) -> PlacedShape:
    """Return the function of the chest, which begins so many millimetres above the diaphragm."""
    return lambda place: np.maximum(place.cavity + 1, (place.dome + np.float32(gap) - place.points.z) * 0.7)


def _in_cavity(gap: float) -> PlacedShape:
    """Return the function of the abdomen, so many millimetres from wall and diaphragm."""
    return lambda place: below_dome(place, gap)


def below_dome(place: Place, gap: float) -> Floats:
    """Return the function of the abdomen, so many millimetres from wall and diaphragm."""
    return np.maximum(place.cavity, (place.points.z - place.dome) * 0.7 + 2) + np.float32(gap)


def _tube(knots: tuple[Knot, ...]) -> PlacedShape:
    return lambda place: chain(place.points, knots, 6)


def _lungs(place: Place) -> Floats:
    return np.maximum(_above_dome(2.0)(place), 4 - _mediastinum(place))


def _mediastinum(place: Place) -> Floats:
    x, y, _ = place.points
    column = (np.hypot((x - 2) / 30, (y - 12) / 75) - 1) * 28
    return joined(column, ellipsoid(place.points, (24, -28, 136), (66, 50, 54)) - 2, 12)


def _loops(place: Place) -> Floats:
    """Return the function of the small bowel: coils from one side to the other, row upon row, which touch."""
    x, y, z = place.points
    found = np.full(x.shape, np.float32(1e3))
    for row_y, row_z, phase, length in _LOOPS:
        turn = x / length + 2.3 * phase
        middle_y, middle_z = row_y + 8 * np.sin(x / 17 + phase), row_z + 13 * np.sin(turn) * np.cos(x / 41 + phase)
        radius = 11 + 2.2 * np.sin(x / 9 + 1.3 * phase)
        steep = np.hypot(8 / 17, 13 / length * np.cos(turn))
        distance = np.hypot(y - middle_y, z - middle_z) / np.sqrt(1 + 0.6 * steep**2)
        found = np.minimum(found, distance - radius)
    left_only = np.where(z > -40, 24 - x, np.float32(-99))  # below the stomach, not where the duodenum lies
    return np.maximum(np.maximum(found, np.abs(x) - 84), left_only)


# A thin sheet of fat between the muscles of the flanks, and the seam in front.
_FASCIA = Layer("fascia", 0, lambda place: np.minimum(_between_muscles(place), _seam(place)))
_GAS = Layer("bowel gas", 6, lambda place: 8 * (0.75 - np.sin(place.points.x / 23) * np.sin(place.points.z / 31)))
_STOOL = Layer("stool", 3.5)


def _between_muscles(place: Place) -> Floats:
    return np.maximum(np.abs(place.muscle + 6.5) - 0.8, (np.abs(place.back) - 0.75) * 100)


def _seam(place: Place) -> Floats:
    return np.maximum(np.abs(place.points.x) - 2.0, place.points.y)


def _psoas(place: Place) -> Floats:
    x, y, z = place.points
    down = np.clip((30 - z) / 180, 0, 1)
    side, radius = 31 + 26 * down, 9 + 17 * down
    return (np.hypot((np.abs(x) - side) / 0.9, (y - vertebra_y(z) - 8)) - radius) * 0.95


def _ribs(place: Place) -> Floats:
    """Return the function of the ribs: rings in the wall that fall from the spine to the front, longer higher up."""
    x, y, z = place.points
    turn = np.abs(np.arctan2(x, y))  # 0 at the back
    found = np.full(x.shape, np.float32(1e3))
    for height, reach in _RIBS:
        middle = height - _RIB_FALLS * (1 - np.cos(turn)) / 2
        thick = (np.hypot((place.cavity - 5.5) / 4, (z - middle) / 6.5) - 1) * 4
        found = np.minimum(found, np.maximum(thick, (turn - reach) * 100))
    return np.maximum(found, 22 - np.abs(x))


def _iliac_bones(place: Place) -> Floats:
    turn = np.abs(np.arctan2(place.points.x, place.points.y))
    crest = -104 - 45 * ((turn - 1.2) / 0.7) ** 2
    return common(np.abs(place.cavity - 5) - 4.5, (place.points.z - crest) * 0.7, 4)


def _from_vertebra(z: Floats) -> Floats:
    """Return the height above the middle of the vertebra."""
    return z - _VERTEBRA_MM * np.rint(z / _VERTEBRA_MM)


def _column(place: Place, smaller: float) -> Floats:
    x, y, z = place.points
    wide = 23.5 - 2.5 * np.tanh(z / 80) - smaller
    deep = 17 - np.tanh(z / 80) - smaller
    behind = y - vertebra_y(z)
    # The back of a vertebral body is flat.
    return common((np.hypot(x / wide, behind / deep) - 1) * deep, behind - 0.8 * deep, 6)


def _discs(place: Place) -> Floats:
    return _column(place, 1.0)


def _vertebrae(place: Place) -> Floats:
    height = np.abs(_from_vertebra(place.points.z))
    waist = 2.2 * np.clip(1 - height / 12.5, 0, 1)
    return common(_column(place, 0.0) + waist, height - 13, 2)


def _canal(place: Place) -> Floats:
    x, y, z = place.points
    return np.hypot(x / 1.15, y - vertebra_y(z) - 24) - 8


def _arches(place: Place) -> Floats:
    """Return the function of the arches around the canal with their processes to the sides and to the back."""
    x, y, z = place.points
    height, behind = _from_vertebra(z), y - vertebra_y(z)
    ring = np.maximum(np.abs(np.hypot(x / 1.15, behind - 24) - 11) - 3.5, np.abs(height) - 11)
    sides = np.hypot(behind - 24 - 0.12 * np.abs(x), height - 2) - 4.5
    sides = np.maximum(sides, np.maximum(12 - np.abs(x), np.abs(x) - 38))
    spine = np.maximum(np.abs(x) - 3.2, np.maximum(np.abs(behind - 40) - 9, np.abs(height + 4) - 10))
    return np.minimum(joined(ring, sides, 4), spine)


def spine_bend(z: Floats) -> Floats:
    """Return how far a bent spine lies to the side, relative to its middle."""
    return np.cos(math.pi * z / 260)
