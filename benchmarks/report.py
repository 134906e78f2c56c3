"""The page of a scan of a beamtime's size in a browser: bytes, time until it answers, time of a turn of the scene.

Writes the page of 100 000 domains with sections of 2048 x 2048 voxels, as the tests do, and opens it in Chromium
without a graphics card; prints a Markdown table. From the repository: `python -m benchmarks.report`.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / folder) for folder in (".", "unit", "browser")]

from browser import opened, running_browser  # noqa: E402
from report_scan import measure_scan, write_crowded  # noqa: E402

from tomoprofile.report.page import report_sample  # noqa: E402

REPEATS = 5
TURN = """async () => {
  const scene = document.getElementById("scene");
  const begin = performance.now();
  for (let i = 0; i < 30; i++) {
    scene.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" }));
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  }
  return (performance.now() - begin) / 30;
}"""


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name, running_browser() as browser:
        page = Path(name) / "report.html"
        plain, crowded = Path(name) / "plain", Path(name) / "crowded"
        plain.mkdir()
        crowded.mkdir()
        files = write_crowded(measure_scan(plain, "plain"), crowded)
        started = time.perf_counter()
        report_sample(files, "Domains against the distance from the substrate", page)
        written = time.perf_counter() - started
        usable, drawn, turns = [], [], []
        for _ in range(REPEATS):
            with opened(browser, page) as found:
                evaluate = found.page.evaluate
                usable.append(evaluate("performance.getEntriesByName('scene-drawn')[0].startTime") / 1000)
                drawn.append(evaluate("performance.getEntriesByName('all-drawn')[0].startTime") / 1000)
                found.page.locator("#scene").scroll_into_view_if_needed()
                turns.append(evaluate(TURN))
        print(f"Median of {REPEATS}, WebGL by the processor.\n")
        print("| page (MB) | written (s) | scene answers (s) | all plots drawn (s) | a picture while turning (ms) |")
        print("|---|---|---|---|---|")
        middle = [statistics.median(values) for values in (usable, drawn, turns)]
        size = page.stat().st_size / 1e6
        print(f"| {size:.1f} | {written:.0f} | {middle[0]:.2f} | {middle[1]:.2f} | {middle[2]:.0f} |")


if __name__ == "__main__":
    main()
