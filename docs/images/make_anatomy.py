"""Draw the picture of docs/anatomy.md: ``python docs/images/make_anatomy.py``."""

from pathlib import Path

from PIL import Image

from tomoprofile.anatomy.case import simulate_case
from tomoprofile.anatomy.picture import three_planes
from tomoprofile.anatomy.settings import AnatomySettings


def main() -> None:
    """Write the picture."""
    case = simulate_case(AnatomySettings(size=(112, 103, 131)), seed=2)
    shown = three_planes(case.hu, case.labels, case.spacing_mm)
    Image.fromarray(shown).save(Path(__file__).with_name("anatomy.png"), optimize=True)


if __name__ == "__main__":
    main()
