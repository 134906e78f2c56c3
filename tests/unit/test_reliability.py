"""The counts of provoked faults become a page that hides no silent failure."""

import pytest
import reliability


def test_rows_are_replaced_by_fault_and_listed_by_section(tmp_path):
    reliability.record("Kills", "SIGKILL in predict", 4, 3, 1, folder=tmp_path)
    reliability.record("Kills", "SIGKILL in predict", 5, 3, 2, "seeds 0-4", folder=tmp_path)
    reliability.record("Cut files", "a shard cut short", 7, 0, 7, folder=tmp_path)
    page = reliability.render(tmp_path)
    assert "| SIGKILL in predict | 5 | 3 | 2 | 0 | seeds 0-4 |" in page
    assert "| a shard cut short | 7 | 0 | 7 | 0 |  |" in page
    assert page.count("SIGKILL in predict") == 1
    assert page.index("## Cut files") < page.index("## Kills")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut_files.json", "kills.json"]


def test_what_neither_survived_nor_was_noticed_is_silent(tmp_path):
    reliability.record("Kills", "SIGKILL in profile", 9, 4, 3, folder=tmp_path)
    assert "| SIGKILL in profile | 9 | 4 | 3 | 2 |" in reliability.render(tmp_path)
    assert reliability.failed_silently(tmp_path) == 2


@pytest.mark.parametrize("counts", [(3, 2, 2), (1, -1, 0)])
def test_impossible_counts_are_refused(tmp_path, counts):
    with pytest.raises(ValueError, match="survived"):
        reliability.record("Kills", "any", *counts, folder=tmp_path)


def test_without_counts_there_is_no_page(tmp_path):
    with pytest.raises(ValueError, match="test-deep"):
        reliability.render(tmp_path)
