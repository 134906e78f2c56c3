"""The benchmark of inference, as small as it gets: a model is trained, every method segments, and the page has them."""

import numpy as np
import pytest

from benchmarks import inference


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inference")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"SIZE": (48, 96, 96), "TESTED": (16,), "REPEATS": 1}.items():
            patch.setattr(inference, name, value)
        stacks, truth = inference.train(folder, steps=2)
        assert [stack.shape for stack in stacks] == [(3, 96, 96)]
        assert truth.shape == (1, 96, 96)
        return inference.measure(folder, stacks, truth)


def test_every_method_is_timed_and_compared_with_the_eager_network(rows):
    eager = next(row for row in rows if row["method"].startswith("our network, sliding"))
    assert eager["changed"] == 0
    ours = [row for row in rows if row["method"].startswith("our")]
    assert {row["method"].split()[-1] for row in ours} == {"float32", "bfloat16", "int8"}
    # MONAI's windows are larger than this slice, and pad it; ours shrink. Empty masks would have a Dice of 0.
    assert all(row["changed"] < 0.1 and 0.8 < row["dice"] <= 1 for row in ours)
    assert all(np.isclose(row["core_s_per_gvoxel"] * row["mvoxel_per_core_s"], 1000) for row in rows)


def test_the_page_tells_what_the_processor_can_do(rows, monkeypatch, tmp_path):
    (tmp_path / "cpuinfo").write_text("flags : fpu amx_bf16 sse\n")
    monkeypatch.setattr(inference, "CPU_FLAGS", tmp_path / "cpuinfo")
    page = inference.table(rows, 1.0)
    assert "(amx_bf16)" in page
    assert page.count("\n| ") == len(rows) + 1
    monkeypatch.setattr(inference, "CPU_FLAGS", tmp_path / "none")
    assert "no arithmetic for bfloat16" in inference.table(rows, 1.0)
