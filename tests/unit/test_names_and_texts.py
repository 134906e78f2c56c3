"""Names, numbers and texts that people write, spreadsheets save and disks refuse: read right, or told with the line."""

import csv
import io
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tomoprofile.cli import main
from tomoprofile.config import read_config
from tomoprofile.config_file import load_config
from tomoprofile.errors import ConfigError, InputError
from tomoprofile.layout import Layout
from tomoprofile.names import LONGEST, RESERVED, name_problem, unused_name
from tomoprofile.samples import Scan, filled_in, read_samples, write_samples
from tomoprofile.texts import SAVE_SHEET_AS
from tomoprofile.volume.proposed import read_proposed

ROW = {
    "sample": "a",
    "path": "raw/a",
    "format": "tiff_folder",
    "slices": "4",
    "rows": "5",
    "columns": "6",
    "dtype": "uint8",
    "voxel_size_um": "0.5",
}


def sheet(tmp_path, *rows):
    text = "\n".join(["\t".join(ROW), *("\t".join(row.values()) for row in rows)]) + "\n"
    (tmp_path / "samples.tsv").write_text(text, encoding="utf-8")
    return tmp_path / "samples.tsv"


def refused(path):
    with pytest.raises(ConfigError) as caught:
        read_samples(path, {"default"})
    assert all(fault.where and fault.remedy for fault in caught.value.faults)
    return str(caught.value)


# --- Names.


@pytest.mark.parametrize(
    "name",
    [
        *sorted(RESERVED),
        "Models",
        "con",
        "NUL",
        "com1",
        "aux.1",
        "a.",
        "..",
        ".",
        ".a",
        "a" * (LONGEST + 1),
        "a b",
        "a/b",
        "ä",
        "",
    ],
)
def test_names_that_cannot_be_folders_of_results(tmp_path, name):
    assert "samples.tsv:2 sample" in refused(sheet(tmp_path, ROW | {"sample": name}))


@pytest.mark.parametrize("name", ["a", "models_1", "console", "com10", "A.b-c_1", "a" * LONGEST, "log"])
def test_names_that_can(tmp_path, name):
    (scan,) = read_samples(sheet(tmp_path, ROW | {"sample": name}), {"default"})
    layout = Layout(tmp_path)
    for path in (layout.log("rule", name, "z00000"), layout.scan(name).to_label.folder / f".partial-{name}_z00000.tif"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert scan.sample == name


def test_the_names_of_results_are_those_of_the_layout():
    assert {"models", "training", "logs", "benchmarks", "check.tsv", "comparison.parquet"} <= RESERVED


def test_names_that_differ_in_case_only(tmp_path):
    said = refused(sheet(tmp_path, ROW, ROW | {"sample": "A"}))
    assert "samples.tsv:3" in said
    assert "upper and lower case" in said
    with pytest.raises(ConfigError, match="case only"):
        read_config({"models": {"m": {"method": "otsu"}, "M": {"method": "otsu"}}})
    with pytest.raises(ConfigError, match="device"):
        read_config({"models": {"nul": {"method": "otsu"}}})


@pytest.mark.parametrize("wanted", ["models", "con", "...", "a" * 300, "a.", "film"])
def test_found_scans_get_names_that_can_be(wanted):
    taken = set()
    for _ in range(3):
        name = unused_name(wanted, taken)
        assert name_problem(name, RESERVED) is None
        assert name.lower() not in taken
        taken.add(name.lower())


# --- Numbers.


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("voxel_size_um", value)
        for value in ("1e-320", "inf", "nan", "-inf", "0", "1e5", "1,nan,1", "1,1,1,1", "1,500", "0,5;1")
    ]
    + [("slices", value) for value in ("0", "-1", "1" + "0" * 30, "1e400", "nan", "9" * 5000)]
    + [("grey_slope", value) for value in ("nan", "inf", "1e-320", "1e300")]
    + [("grey_offset", value) for value in ("nan", "-inf", "1e300")]
    + [("time_h", value) for value in ("inf", "1e300")]
    + [("interface", f"slice:{value}") for value in ("4", "-1", "9" * 400, "nan", "1.5")]
    + [("interface", f"plane:{value}") for value in ("nan,0,1,0", "inf,0,0,0", "0,0,0,1", "1e308,1e308,0,1")]
    + [("interface", f"plane:{value}") for value in ("1e-320,0,0,0", "0,0,1,nan", "0,0,1,inf", "0,0,1,3", "0,0,-1,0")],
)
def test_numbers_that_cannot_be(tmp_path, column, value):
    said = refused(sheet(tmp_path, ROW | {column: value})) if column in ROW else None
    if said is None:
        path = tmp_path / "samples.tsv"
        path.write_text("\t".join([*ROW, column]) + "\n" + "\t".join([*ROW.values(), value]) + "\n")
        said = refused(path)
    assert f"samples.tsv:2 {column if column != 'interface' else ''}".strip() in said
    assert len(said) < 1000


@pytest.mark.parametrize("interface", ["plane:0,0,1,2.9", "plane:0,0,1,-50", "plane:0,0,-1,-1", "plane:1,1,1,0"])
def test_planes_that_leave_resin(interface):
    assert Scan.model_validate(ROW | {"interface": interface}).interface == interface


@pytest.mark.parametrize(
    "change",
    [
        {"profile": {"bin_um": value}} for value in (1e-320, math.inf, math.nan, 0, 1e300)
    ]
    + [{"profile": {"zones": [{"name": "a", "from_um": 0, "to_um": math.inf}]}}, {"seed": 2**70}]
    + [{"store": {"shard_slices": 1, "slab_slices": 10**30}}, {"objects": {"band": [0.1, math.nan]}}]
    + [{"results": "a\tb"}, {"results": ""}, {"samples": "a" * 300}],
)  # fmt: skip
def test_numbers_of_the_configuration_that_cannot_be(change):
    with pytest.raises(ConfigError, match=r"config\.yaml(:\d+)?: "):
        read_config(change)


# --- Texts.


def separated(rows, mark):
    text = io.StringIO()
    csv.writer(text, delimiter=mark).writerows([*rows[:2], [""] * len(rows[0]), ["# beam; time, one"], *rows[2:]])
    return text.getvalue()


def saved_as(path, text, how):
    lines = text.rstrip("\n").split("\n")
    cells = list(csv.reader(lines, delimiter="\t"))
    written = {
        "bom": text.encode("utf-8-sig"),
        "utf-16": text.replace("\n", "\r\n").encode("utf-16"),
        "crlf": text.replace("\n", "\r\n").encode(),
        "cr": text.replace("\n", "\r").encode(),
        "quoted": "\n".join("\t".join(f'"{cell}"' for cell in row) for row in cells).encode(),
        "trailing": "\n".join(line + "\t\t" for line in lines).encode(),
        "semicolons": separated(cells, ";").encode("utf-8-sig"),
        "named separator": ("sep=;\n" + separated(cells, ";")).encode("utf-8-sig"),
        "commas": separated(cells, ",").encode("utf-8-sig"),
        "latin-1": f"{text}# dünn\n".encode("latin-1"),
        "cp932": f"{text}# 試料\n".encode("cp932"),
        "utf-16 without mark": text.encode("utf-16-le"),
        "odd utf-16": text.encode("utf-16") + b"x",
        "xlsx": b"PK\x03\x04" + b"\x14\x00" * 20,
        "xls": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 100,
        "nul": text.replace("raw", "r\0w").encode(),
        "open quote": text.replace("raw", '"raw').encode(),
    }
    path.write_bytes(written[how])


SCANS = [Scan.model_validate(ROW), Scan.model_validate(ROW | {"sample": "b", "path": 'raw "b"/c', "group": "wet; old"})]


@pytest.mark.parametrize("how", ["bom", "utf-16", "crlf", "cr", "quoted", "trailing", "semicolons", "commas"])
def test_sheets_that_spreadsheets_saved_are_read(tmp_path, how):
    write_samples(tmp_path / "s.tsv", SCANS[:1] if how == "quoted" else SCANS)
    text = (tmp_path / "s.tsv").read_text()
    saved_as(tmp_path / "s.tsv", text, how)
    assert read_samples(tmp_path / "s.tsv", {"default"}) == (SCANS[:1] if how == "quoted" else SCANS)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("latin-1", ["s.tsv:4", "0xfc", "`CSV UTF-8 (Comma delimited)` or `Unicode Text`"]),
        ("cp932", ["s.tsv:4", "`CSV UTF-8 (Comma delimited)` or `Unicode Text`"]),
        ("xlsx", ["a workbook (.xlsx or .ods)", "`CSV UTF-8 (Comma delimited)`", "`samples:`"]),
        ("xls", ["a workbook (.xls)", "`Text CSV`"]),
        ("utf-16 without mark", ["s.tsv:1", "U+0000"]),
        ("odd utf-16", ["s.tsv", "UTF-8"]),
        ("nul", ["s.tsv:2", "U+0000"]),
        ("open quote", ["s.tsv:2", "quotation mark"]),
    ],
)
def test_sheets_that_cannot_be_read_say_the_line_and_how_to_save(tmp_path, how, told):
    write_samples(tmp_path / "s.tsv", SCANS)
    saved_as(tmp_path / "s.tsv", (tmp_path / "s.tsv").read_text(), how)
    said = refused(tmp_path / "s.tsv")
    for part in told:
        assert part in said


@pytest.mark.parametrize("how", ["semicolons", "commas", "utf-16"])
def test_no_advice_leads_in_a_circle(tmp_path, how):
    """What the message tells to do is read, and the one way of Excel that is not in Unicode is not told."""
    assert "Text (Tab delimited)" not in SAVE_SHEET_AS
    test_sheets_that_spreadsheets_saved_are_read(tmp_path, how)


CELLS = {
    "slices": [("4.0", 4), ("4,0", 4), ("4,00", 4), ("1E+01", 10)],
    "voxel_size_um": [("0,65", (0.65,) * 3), ("1,0.5,0.5", (1, 0.5, 0.5)), ("0,65; 0,5; 0,5", (0.65, 0.5, 0.5))],
    "grey_slope": [("-0,001", -0.001), ("1E-03", 0.001)],
    "time_h": [("1,5", 1.5), ("24", 24.0), ("24.0", 24.0)],
    "grey_offset": [("-1,5E+2", -150.0)],
}


@pytest.mark.parametrize("column", CELLS)
def test_numbers_as_spreadsheets_write_them(tmp_path, column):
    for text, value in CELLS[column]:
        row = ROW | {column: text}
        (tmp_path / "s.tsv").write_text("\t".join(row) + "\n" + "\t".join(row.values()) + "\n")
        (scan,) = read_samples(tmp_path / "s.tsv", {"default"})
        assert getattr(scan, column) == value, text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"voxel_size_um": "1,500"}, "the comma may stand before decimals or between thousands; write 1.500 or 1500"),
        ({"columns": "2,048"}, "write 2.048 or 2048"),
        ({"columns": "02. Jan"}, "columns: the cell must be a whole number (got '02. Jan')"),
        ({"dtype": "uint-16"}, "`float16` or `float64` (got 'uint-16'). Did you mean `uint16`?"),
        ({"model": "Defalt"}, "no such model in `models:` (default) (got 'Defalt'). Did you mean `default`?"),
        ({"Voxel size": "1"}, "unknown column (got 'Voxel size')"),
        ({"interfaces": "auto"}, "unknown column (got 'interfaces'). Did you mean `interface`?"),
        ({"Time_H": "1"}, "Did you mean `time_h`?"),
        (
            {"interface": "slice:500"},
            "s.tsv:2 interface: the slice lies outside the scan, which has slices 0..3 (got 'sl",
        ),
    ],
)
def test_messages_of_the_sheet(tmp_path, change, told):
    row = ROW | change
    (tmp_path / "s.tsv").write_text("\t".join(row) + "\n" + "\t".join(row.values()) + "\n")
    said = refused(tmp_path / "s.tsv")
    assert told in said
    assert len(said) < 400, "no row is dumped"


def test_a_bad_row_does_not_hide_the_faults_of_others(tmp_path):
    lines = ["\t".join(ROW), 'a\t"raw', "\t".join((ROW | {"rows": "x"}).values()), "\t".join(ROW.values()) + "\tmore"]
    (tmp_path / "s.tsv").write_text("\n".join(lines))
    said = refused(tmp_path / "s.tsv")
    for part in ("s.tsv:2: not a line of cells", "s.tsv:3 rows: the cell must", "s.tsv:4: the cell stands in column 9"):
        assert part in said


TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029"), min_size=1, max_size=40
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.one_of(TEXT, st.text("#;,\"' \\|a/=+-@", min_size=1, max_size=12)),
    group=st.text("#;,\"' wet", max_size=12).map(str.strip),
    edges=st.lists(st.floats(1e-3, 1e4).map(lambda edge: float(f"{edge:.9g}")), min_size=3, max_size=3),
    slope=st.floats(1e-9, 1e9),
    bounds=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", ",", ";"]),
)
def test_every_sheet_that_is_written_can_be_read_back(tmp_path, path, group, edges, slope, bounds):
    row = ROW | {"path": path, "group": group, "voxel_size_um": tuple(edges), "grey_slope": slope}
    try:
        scan = Scan.model_validate(row)
    except ValidationError:
        assert path != path.strip() or len(path.encode()) > 255
        return
    file = tmp_path / "s.tsv"
    write_samples(file, [scan, Scan.model_validate(ROW | {"sample": "b"})])
    text = file.read_text(encoding="utf-8")
    if bounds in ",;":
        file.write_text(separated(list(csv.reader(io.StringIO(text), delimiter="\t")), bounds), encoding="utf-8-sig")
    else:
        file.write_bytes(text.encode(bounds))
    assert read_samples(file, {"default"})[0] == scan


def test_a_column_twice_is_told(tmp_path):
    path = tmp_path / "s.tsv"
    path.write_text("\t".join([*ROW, "path"]) + "\n" + "\t".join([*ROW.values(), "other"]) + "\n")
    assert "there twice" in refused(path)


CONFIGS = {
    "tab": (b"seed: 1\nmodels:\n\tdefault: {method: otsu}\n", ["c.yaml:3", "tabs"]),
    "cp932": ("seed: 1\nreport: {title: 試料}\n".encode("cp932"), ["c.yaml:2", "UTF-8"]),
    "latin-1": ("report: {title: dünn}\n".encode("latin-1"), ["c.yaml:1", "UTF-8"]),
    "utf-16": ("seed: 1\n".encode("utf-16"), ["c.yaml:1", "UTF-8"]),
    "empty": (b"# nothing\n", ["c.yaml", "empty", "`{}`"]),
    "list": (b"- a\n- b\n", ["c.yaml:1", "list", "key: value"]),
    "text": (b"hello\n", ["c.yaml:1", "str"]),
    "twice": (b"seed: 1\nreport: {title: a}\nseed: 2\n", ["c.yaml:3", "'seed'", "twice"]),
    "twice within": (b"store:\n  shard_slices: 8\n  shard_slices: 16\n", ["c.yaml:3", "'shard_slices'"]),
    "code": (b"seed: !!python/object/apply:os.getcwd []\n", ["c.yaml:1", "no YAML"]),
    "number": (b"seed: " + b"9" * 5000 + b"\n", ["c.yaml", "no YAML"]),
    "deep": (b"[" * 900, ["c.yaml", "no YAML"]),
    "brackets": (b"[" * 10**6, ["c.yaml", "brackets"]),
    "control": (b"report: {title: a\x07b}\n", ["c.yaml:1", "U+0007"]),
}


@pytest.mark.parametrize("what", CONFIGS)
def test_configurations_that_cannot_be_read_say_the_line(tmp_path, what):
    content, told = CONFIGS[what]
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    for part in told:
        assert part in str(caught.value)


def test_configurations_that_can_be_read(tmp_path):
    path = tmp_path / "c.yaml"
    for content in (b"{}", b"\xef\xbb\xbfseed: 1\n", b"seed: 1\r\nkeep: all\r\n", "report: {title: 試料}".encode()):
        path.write_bytes(content)
        read_config(load_config(path), str(path))
    with pytest.raises(ConfigError, match="the configuration does not exist"):
        load_config(tmp_path / "none.yaml")


def test_lists_of_lists_without_an_end_are_told_briefly(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    path = tmp_path / "c.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(ConfigError, match="unknown key") as caught:
        read_config(load_config(path), str(path))
    assert len(str(caught.value)) < 10_000


def test_the_commands_say_it_too(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    for content, told in CONFIGS.values():
        (tmp_path / "config/config.yaml").write_bytes(content)
        assert main(["check"]) == 1
        said = capsys.readouterr().err
        assert told[0].replace("c.yaml", "config.yaml") in said
        assert main(["prelabel", "slices.tsv", "labels"]) == 1
        assert told[0].replace("c.yaml", "config.yaml") in capsys.readouterr().err


def test_options_of_the_command_are_checked_like_cells():
    scan = Scan.model_validate(ROW)
    assert filled_in(scan, interface="slice:2", model="m", labels="l").interface == "slice:2"
    with pytest.raises(ConfigError, match="slice:9"):
        filled_in(scan, interface="slice:9")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("slice\tfile\n-1\ta.tif\n", ":2 slice"),
        ("slice\tfile\n1\t../a.tif\n", ":2 file"),
        ("slice\tfile\n1\t/etc/a.tif\n", ":2 file"),
        ("slice\tfile\n1\n", ":2 file"),
        ("z\tfile\n1\ta.tif\n", "columns `slice` and `file`"),
        ("slice\tfile\n", "proposes no slice"),
        ("", "columns `slice` and `file`"),
    ],
)
def test_lists_of_slices_that_cannot_be(tmp_path, text, told):
    path = tmp_path / "slices.tsv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_proposed(path)
    assert told in str(caught.value)


def test_a_list_of_slices_saved_by_a_spreadsheet_is_read(tmp_path):
    (tmp_path / "s.tsv").write_bytes("why\tslice\tfile\r\nspread\t12\ta_z00012.tif\r\n".encode("utf-16"))
    assert read_proposed(tmp_path / "s.tsv") == [(12, "a_z00012.tif")]
