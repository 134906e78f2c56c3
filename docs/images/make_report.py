"""Take the picture of README.md: ``python docs/images/make_report.py results/demo/phantom_A/report.html``.

Needs the report of `make demo` and Chromium, as the tests of the browser do.
"""

import io
import sys
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
sys.path += [str(HERE.parents[1] / "tests"), str(HERE.parents[1] / "tests/browser")]

from browser import opened, running_browser  # noqa: E402

WIDTH, HEIGHT = 1180, 2380  # headline numbers, profile and the first pictures


def main() -> None:
    """Write report.png."""
    with running_browser() as browser, opened(browser, Path(sys.argv[1]).resolve(), WIDTH) as page:
        page.assert_clean()
        page.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        shown = page.page.screenshot(clip={"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT})
    picture = Image.open(io.BytesIO(shown)).convert("RGB").quantize(256)
    picture.save(HERE / "report.png", optimize=True)


if __name__ == "__main__":
    main()
