"""One writer and one reader of tables: what is written is what was said, and what is wrong is named."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tomoprofile import __version__
from tomoprofile.errors import InputError
from tomoprofile.files import digest_file
from tomoprofile.tables import (
    BREAKPOINTS,
    CORRELATION,
    DOMAINS,
    FLAGS,
    TABLES,
    has_flag,
    read_columns,
    read_facts,
    with_tables,
)

ROOT = Path(__file__).parents[2]
FRAME = pd.DataFrame(
    {
        "pairs": [7, 9],
        "class": "domain",
        "zone": "bulk",
        "lag_um": [0.0, 0.5],
        "s2": [0.1, np.nan],
        "s2_lo": 0.0,
        "s2_hi": 1.0,
        "autocovariance": 1.0,
    }
)


def bends(**columns):
    """Return a table of breakpoints with some other columns."""
    row = {field.name: [1.0] if field.type == pa.float64() else [""] for field in BREAKPOINTS.schema}
    return pd.DataFrame(row | columns)


def domains(**columns):
    """Return the columns of one domain, as arrays."""
    fields = [field for field in DOMAINS.schema if field.name not in ("flag", "label")]
    values = {
        field.name: ["domain"] if field.name == "class" else np.ones(1, field.type.to_pandas_dtype())
        for field in fields
    }
    return values | {"flag": ["small_for_axes"]} | columns


def test_a_table_has_the_columns_types_and_units_of_its_schema(tmp_path):
    path = tmp_path / "new" / "correlation.parquet"
    CORRELATION.write(path, FRAME, {"seed": 3})
    schema = pq.read_schema(path)
    assert schema.equals(CORRELATION.schema)
    assert schema.field("s2_hi").metadata[b"definition"] == b"upper end of the 95 % interval of `s2`"
    facts = read_facts(path)
    assert facts["units"]["lag_um"] == "um"
    assert (facts["seed"], facts["tomoprofile_version"]) == (3, __version__)
    pd.testing.assert_frame_equal(CORRELATION.read(path), FRAME[CORRELATION.schema.names])
    assert set(path.parent.iterdir()) == {path, digest_file(path)}


def test_a_forgotten_or_unknown_column_is_an_error_and_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match=r"correlation: unknown columns \[\], missing columns \['pairs'\]"):
        CORRELATION.write(tmp_path / "a.parquet", FRAME.drop(columns="pairs"))
    with pytest.raises(ValueError, match=r"correlation: unknown columns \['s3'\], missing columns \[\]"):
        CORRELATION.write(tmp_path / "a.parquet", FRAME.assign(s3=1.0))
    with pytest.raises(ValueError, match=r"domains: unknown columns \['roundness'\]"):
        DOMAINS.write(tmp_path / "a.parquet", domains(roundness=np.ones(1)))
    assert not list(tmp_path.iterdir())


def test_a_flag_that_this_table_does_not_know_is_an_error(tmp_path):
    BREAKPOINTS.write(tmp_path / "a.parquet", bends(flag=["few_blocks;too_short"]))
    for wrong in ("too_dark", "few_blocks;small_for_axes"):
        with pytest.raises(ValueError, match="breakpoints: unknown flags"):
            BREAKPOINTS.write(tmp_path / "b.parquet", bends(flag=[wrong]))
    assert not (tmp_path / "b.parquet").exists()


def test_an_optional_column_may_be_there_or_not(tmp_path):
    for columns in (domains(), domains(label=np.array([12]))):
        DOMAINS.write(tmp_path / "a.parquet", columns, grey_unit="1/cm")
        found = DOMAINS.read(tmp_path / "a.parquet")
        assert ("label" in found) == ("label" in columns)
        assert list(found) == [name for name in DOMAINS.schema.names if name in columns]
    assert read_facts(tmp_path / "a.parquet")["units"]["grey_sd"] == "1/cm"
    assert pq.read_schema(tmp_path / "a.parquet").field("grey_sd").metadata[b"unit"] == b"1/cm"
    assert "label" not in DOMAINS.read(tmp_path / "a.parquet", ["voxels"])


def test_what_cannot_be_read_is_named_with_a_remedy(tmp_path):
    FRAME.drop(columns=["pairs", "s2"]).to_parquet(tmp_path / "older.parquet")
    with pytest.raises(InputError, match=r"older\.parquet: the table lacks s2, pairs\. Remove it"):
        CORRELATION.read(tmp_path / "older.parquet")
    assert list(CORRELATION.read(tmp_path / "older.parquet", ["zone"])) == ["zone"]
    with pytest.raises(KeyError):  # a slip in the code, not in the file
        CORRELATION.read(tmp_path / "older.parquet", ["zones"])
    (tmp_path / "broken.parquet").write_text("x")
    for read in (CORRELATION.read, read_facts, lambda path: read_columns(path, ["a"])):
        with pytest.raises(InputError, match=r"broken\.parquet: the table cannot be read"):
            read(tmp_path / "broken.parquet")


def test_the_table_of_another_program_may_have_no_flags(tmp_path):
    for flags in (pd.Series([None, "few_blocks"], dtype="category"), [np.nan, np.nan], [None, None]):
        pd.concat([bends(), bends()], ignore_index=True).assign(flag=flags).to_parquet(tmp_path / "theirs.parquet")
        found = has_flag(BREAKPOINTS.read(tmp_path / "theirs.parquet"), "few_blocks")
        assert found.tolist() == [flag == "few_blocks" for flag in flags]
    table = pq.read_table(tmp_path / "theirs.parquet").replace_schema_metadata({"made by": "them", "seed": "1"})
    pq.write_table(table, tmp_path / "theirs.parquet")
    assert read_facts(tmp_path / "theirs.parquet") == {"seed": 1}


def test_every_column_and_flag_is_defined():
    for table in TABLES.values():
        assert all(field.metadata[b"definition"] for field in table.schema)
    assert {name for reason in FLAGS.values() for name in reason.tables} <= set(TABLES)
    assert {reason.severity for reason in FLAGS.values()} == {"error", "warning", "note"}
    assert not [name for name, reason in FLAGS.items() if reason.sentence.endswith(".")]


def test_the_documentation_lists_the_tables_as_they_are():
    text = (ROOT / "docs/outputs.md").read_text()
    assert with_tables(text) == text, "run `make schema`"
    for name in (*(set(TABLES) - {"zones", "band"}), "zones beyond profile", "flags"):
        assert text.count(f"<!-- table: {name} -->") == 1
    stale = text.replace("| `clark_evans` | float64 |", "| `clark_evans` | int64 |")
    assert stale != text
    assert with_tables(stale) == text
    assert json.dumps(text).count("<!-- end -->") == len(TABLES)
