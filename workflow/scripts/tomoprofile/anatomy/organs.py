"""The organs that are labelled, drawn for a torso of 320 x 230 mm, and the large vessels beside them."""

from __future__ import annotations

import numpy as np

from .bodies import Body, Layer, PlacedShape
from .frame import Place
from .settings import Torso
from .shapes import Box, Floats, Knot, Points, chain, common, ellipsoid, joined, tilted
from .wall import below_dome, vertebra_y

RIGHT_KIDNEY, LEFT_KIDNEY = (-61.0, 41.0, -28.0), (60.0, 40.0, -10.0)
LIVER_TIP = (-98.0, 8.0, -18.0)
_STOMACH = (
    Knot(60, 12, 68, 34),
    Knot(68, -14, 42, 31),
    Knot(60, -42, 10, 25),
    Knot(28, -54, -14, 19),
    Knot(-12, -46, -6, 14),
)
_PANCREAS = (
    Knot(-34, -2, -22, 13),
    Knot(-26, -8, -4, 14),
    Knot(2, -14, 10, 10),
    Knot(32, -8, 18, 11),
    Knot(58, 10, 24, 11),
    Knot(74, 26, 30, 8),
)
_PORTAL = ((Knot(-10, -2, -2, 6), Knot(-28, -6, 22, 6), Knot(-52, -2, 34, 6)), (Knot(-8, 0, 4, 4), Knot(60, 18, 28, 3)))
_RENAL = ((Knot(-16, 22, -20, 4), Knot(-48, 36, -28, 4)), (Knot(8, 14, -4, 4), Knot(46, 34, -10, 4)))
_LIVER_VESSELS = (
    (Knot(-52, -2, 34, 6), Knot(-82, 4, 34, 4.5), Knot(-108, 26, 22, 2.5), Knot(-118, 34, -4, 1.8)),
    (Knot(-82, 4, 34, 4), Knot(-100, -18, 50, 3), Knot(-112, -28, 66, 1.8)),
    (Knot(-100, 14, 30, 3), Knot(-98, -14, 10, 2.5), Knot(-92, -26, -10, 1.5)),
    (Knot(-52, -2, 34, 4.5), Knot(-30, -36, 52, 4), Knot(2, -52, 60, 2.5), Knot(40, -56, 62, 1.5)),
    (Knot(-20, 20, 84, 6), Knot(-62, 18, 70, 4.5), Knot(-100, 18, 50, 2.5), Knot(-112, 6, 12, 1.5)),
    (Knot(-22, 14, 82, 5), Knot(-52, -22, 66, 4), Knot(-72, -46, 44, 2)),
    (Knot(-18, 12, 82, 5), Knot(4, -24, 72, 3.5), Knot(36, -50, 66, 2)),
)


def organs(torso: Torso) -> list[Body]:
    """Return the organs in the order in which they are painted."""
    sides = {"left": LEFT_KIDNEY, "right": RIGHT_KIDNEY}
    content = (Layer("gastric fluid", 4.5),)
    return [
        Body("pancreas", "pancreas", _pancreas, _inside, Box.around(_PANCREAS, 14)),
        Body("stomach", "stomach wall", _stomach, _inside, Box.around(_STOMACH, 20), content),
        Body("spleen", "spleen", _spleen, _inside, Box((25, 150), (-45, 100), (-50, 120))),
        Body("liver", "liver", _liver, _inside, Box((-150, 110), (-110, 100), (-90, 110)), (_VESSELS,)),
        *(_vein(name, knots) for name, knots in (("portal vein", _PORTAL[0]), ("splenic vein", _PORTAL[1]))),
        *(Body(f"kidney_{side}", "cortex", _kidney(at), None, _around(at), _layers(at)) for side, at in sides.items()),
        *(_vein("renal vein", knots) for knots in _RENAL),
        Body("gallbladder", "bile", _gallbladder, _inside, Box((-110, -15), (-100, 10), (-75, 45))),
        Body("vena_cava", "vena cava", _vena_cava(torso.vena_cava_mm / 2), box=Box((-50, 10), (-10, 60))),
        Body("aorta", "aorta", _aorta(torso.aorta_mm / 2), box=Box((-60, 60), (-10, 60))),
    ]


def _inside(place: Place) -> Floats:
    """Return the function of the space of organs: the abdomen without the spine and what runs along it."""
    x, y, z = place.points
    return np.maximum(below_dome(place, 2.0), 36 - np.hypot(x, y - vertebra_y(z)))


def _vein(name: str, knots: tuple[Knot, ...]) -> Body:
    return Body(name, "vein", lambda place: chain(place.points, knots, 3), box=Box.around(knots, 5))


def _liver(place: Place) -> Floats:
    """Return the function of the liver: a right and a left lobe, cut from below, with fissure and a free tip."""
    x, y, z = points = place.points
    right = ellipsoid(points, (-70, 6, 42), (80, 92, 82))
    left = ellipsoid(points, (-4, -46, 64), (66, 42, 32))
    tip = ellipsoid(points, (-104, 8, 0), (28, 44, 46))
    lobes = joined(joined(right, left, 14), tip, 14)
    # The lower surface rises to the left, and behind where the kidney lies.
    below = -34 + 0.62 * np.maximum(x + 108, -20) + 0.45 * np.maximum(y - 14, 0) - 0.12 * np.minimum(y + 40, 0)
    cut = common(lobes, (below - z) * 0.85, 12)
    fissure = np.hypot((x + 14) / 3, np.maximum(0, y + 50) / 8 + np.maximum(0, z - 62) / 14) - 1
    return np.maximum(cut, -3 * fissure)


_VESSELS = Layer(
    "liver vessel",
    3,
    lambda place: np.minimum.reduce([chain(place.points, knots) for knots in _LIVER_VESSELS]),
)


def _spleen(place: Place) -> Floats:
    points = tilted(place.points, (92, 30, 42), 0.12, -0.25)
    outer = ellipsoid(points, (92, 30, 42), (36, 48, 58))
    # Stomach and kidney press into its inner side.
    return common(outer, -ellipsoid(points, (38, 4, 40), (46, 46, 60)), 8)


def _stomach(place: Place) -> Floats:
    return chain(place.points, _STOMACH, 12)


def _pancreas(place: Place) -> Floats:
    x, y, z = place.points
    lobules = 1.6 * np.sin(x / 2.6) * np.sin(y / 2.9 + 1) * np.sin(z / 2.7 + 2)
    return chain(place.points, _PANCREAS, 8) + lobules


def _gallbladder(place: Place) -> Floats:
    points = tilted(place.points, (-58, -44, -14), 0.2, 0.45)
    taper = 1 + 0.008 * (points.z + 14)
    shrunk = Points((points.x + 58) * taper, (points.y + 44) * taper, points.z)
    return ellipsoid(shrunk, (0, 0, -14), (15, 15, 34))


def _kidney(at: tuple[float, float, float]) -> PlacedShape:
    def shape(place: Place) -> Floats:
        points = _upright(place.points, at)
        bean = ellipsoid(points, at, (28, 25, 55))
        # The sinus opens to the middle and to the front.
        return common(bean, -ellipsoid(points, _sinus(at), (15, 10, 19)), 5)

    return shape


def _around(at: tuple[float, float, float]) -> Box:
    x, y, z = at
    return Box((x - 48, x + 48), (y - 50, y + 50), (z - 75, z + 75))


def _upright(points: Points, at: tuple[float, float, float]) -> Points:
    """Return points for a kidney that leans: its upper end to the middle and to the back."""
    return tilted(points, at, -0.2 * np.sign(at[0]), 0.15)


def _sinus(at: tuple[float, float, float]) -> tuple[float, float, float]:
    return at[0] - 20 * np.sign(at[0]), at[1] - 9, at[2]


def _layers(at: tuple[float, float, float]) -> tuple[Layer, ...]:
    def pyramids(place: Place) -> Floats:
        points = _upright(place.points, at)
        return 6 * (-0.25 - np.cos((points.z - at[2]) * (2 * np.pi / 24)))

    def pelvis(place: Place) -> Floats:
        x, y, z = at
        return ellipsoid(_upright(place.points, at), (x - 8 * np.sign(x), y - 4, z), (11, 8, 20))

    return Layer("medulla", 6, pyramids), Layer("urine", 5, pelvis)


def _vena_cava(radius: float) -> PlacedShape:
    def shape(place: Place) -> Floats:
        x, y, z = place.points
        forward = 10 * np.clip(z / 90, 0, 1.3)  # through the back of the liver to the heart
        side = np.where(z < -110, -20 + 0.45 * np.minimum(z + 110, 0), -20)
        return np.hypot((x - side) / 1.1, (y - vertebra_y(z) + 26 + forward) * 1.1) - radius

    return shape


def _aorta(radius: float) -> PlacedShape:
    def shape(place: Place) -> Floats:
        x, y, z = place.points
        middle = vertebra_y(z) - 16 - radius - 2
        trunk = np.maximum(np.hypot(x - 11 - 4 * np.clip(z / 60, -1, 1), y - middle) - radius, -112 - z)
        # Below its end, one artery for each leg.
        apart = np.clip(-106 - z, 0, None)
        legs = np.hypot(np.minimum(np.abs(x - 7 - 0.55 * apart), np.abs(x - 7 + 0.45 * apart)), y - middle + 2) - 6
        return np.minimum(trunk, np.maximum(legs, z + 108))

    return shape
