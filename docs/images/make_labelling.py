"""Draw the pictures of docs/labelling.md from a simulated scan: ``python docs/images/make_labelling.py``."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from tomoprofile.phantom.scan import PhantomSettings, simulate

HERE = Path(__file__).parent
ZOOM, SIDE = 5, 96
GREEN, RED, BLUE = (60, 220, 90), (255, 70, 60), (80, 150, 255)


def main() -> None:
    """Write both pictures."""
    phantom = simulate(PhantomSettings.of_kind("A", size=(128, 128, 128), seed=1))
    domains = phantom.labels == 1
    # A slice that cuts well through a large domain and through many small ones.
    numbered, _ = ndimage.label(domains, np.ones((3, 3, 3)))
    biggest = np.bincount(numbered.ravel())[1:].argmax() + 1
    area = (numbered == biggest).sum(axis=(1, 2))
    z = max(np.flatnonzero(area > 0.7 * area.max()), key=lambda at: len(np.unique(numbered[at])))
    row, column = (int(centre) for centre in ndimage.center_of_mass(numbered[z] == biggest))
    top, left = (min(max(corner, 0), 128 - SIDE) for corner in (row - 30, column - SIDE // 2))
    window = slice(top, top + SIDE), slice(left, left + SIDE)
    grey, domain = phantom.grey[z][window], domains[z][window]
    # From the darkest of the domains to as far above the matrix; the substrate's fringes go beyond.
    shade = np.clip((grey + 40) / 80, 0, 1) * 255
    image = np.repeat(shade.astype(np.uint8)[..., None], 3, axis=2)

    rim = domain & (ndimage.gaussian_filter(grey, 0.5) < -8) & ~ndimage.binary_erosion(domain, iterations=4)
    inside, outside = ndimage.binary_erosion(domain), ~ndimage.binary_dilation(domain, iterations=6)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    strokes = (rows + columns) % 9 < 2, (rows + 3 * np.sin(columns / 6)) % 33 < 2
    scribbles = {GREEN: inside & strokes[0], BLUE: outside & strokes[1] & (columns % 45 < 30)}
    draw(
        HERE / "labelling_outline.png",
        [
            ("the slice, native grey", enlarged(image)),
            ("outline: where dark meets bright", outlined(image, domain, GREEN)),
        ],
    )
    draw(
        HERE / "labelling_masks.png",
        [
            ("right: the whole domain", painted(image, {GREEN: domain})),
            ("wrong: only the rim", painted(image, {RED: rim})),
            ("scribbles: some of both classes", painted(image, scribbles)),
        ],
    )


def enlarged(image: np.ndarray) -> np.ndarray:
    """Return an image with visible voxels."""
    return image.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)


def outlined(image: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Return the enlarged image with a line along the faces of a mask's voxels."""
    large = mask.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
    picture = enlarged(image).copy()
    picture[large ^ ndimage.binary_erosion(large, iterations=2, border_value=1)] = colour
    return picture


def painted(image: np.ndarray, masks: dict[tuple[int, int, int], np.ndarray]) -> np.ndarray:
    """Return the enlarged image with masks over it."""
    picture = image.astype(float)
    for colour, mask in masks.items():
        picture[mask] = 0.45 * picture[mask] + 0.55 * np.array(colour)
    return enlarged(picture.astype(np.uint8))


def draw(path: Path, panels: list[tuple[str, np.ndarray]]) -> None:
    """Write panels side by side with a title above each."""
    side, gap, title = panels[0][1].shape[0], 12, 30
    sheet = Image.new("RGB", (len(panels) * (side + gap) - gap, side + title), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(20)
    for n, (text, picture) in enumerate(panels):
        sheet.paste(Image.fromarray(picture), (n * (side + gap), title))
        pen.text((n * (side + gap), 2), text, fill="black", font=font)
    sheet.save(path, optimize=True)


if __name__ == "__main__":
    main()
