"""What a page is made of: templates, translations, the files it reads, and the package they lie in."""

import dataclasses
import os
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from page_parser import Page, templates

from tomoprofile.errors import InputError
from tomoprofile.report.page import report_sample
from tomoprofile.report.rendering import TEMPLATES, Renderer
from tomoprofile.report.results import PARTS, SampleFiles
from tomoprofile.report.sections import SECTIONS
from tomoprofile.report.words import translator

ROOT = Path(__file__).parents[2]


def messages():
    found, environment = set(), Renderer().templates
    for name in templates():
        text, _, _ = environment.loader.get_source(environment, name)
        extracted = environment.extract_translations(text)
        found |= {message if isinstance(message, str) else message[0] for _, _, message in extracted}
    return found


def test_every_text_has_a_translation_and_none_is_left_over():
    texts = yaml.safe_load((TEMPLATES / "ja.yaml").read_text(encoding="utf-8"))
    assert len(messages()) > 100
    assert messages() - set(texts) == set(), "without a translation"
    assert set(texts) - messages() == set(), "no longer used"
    for english, japanese in texts.items():
        assert set(re.findall(r"%\(\w+\)s|%%", english)) == set(re.findall(r"%\(\w+\)s|%%", japanese))
        assert not japanese.isascii() or english == japanese


def test_a_japanese_page(scan, page, tmp_path):
    report_sample(scan, "Title", tmp_path / "report.html", "ja")
    parsed = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert parsed.all("html")[0]["lang"] == "ja"
    assert page[0].all("html")[0]["lang"] == "en"
    assert "体積率" in parsed.text
    for message in messages():
        if "%" not in message and len(message) > 25:
            assert message not in parsed.text


def test_a_text_without_a_translation_is_an_error(tmp_path):
    (tmp_path / "xx.yaml").write_text("Zones: Zonen\n")
    translate = translator("xx", tmp_path)
    assert translate("Zones") == "Zonen"
    with pytest.raises(InputError, match=r"xx\.yaml.*no translation.*Domains"):
        translate("Domains")


def test_every_section_is_a_template_and_names_what_it_reads():
    assert {section.template for section in SECTIONS} == {name for name in templates() if name.startswith("sections/")}
    needs = {name for section in SECTIONS for name in section.needs}
    assert needs == set(PARTS), "a part of the results that no section asks for, or one that nothing can read"
    assert {PARTS[name].file for name in needs} == {field.name for field in dataclasses.fields(SampleFiles)}


def test_the_rule_declares_every_file_that_the_page_reads():
    rule = (ROOT / "workflow/rules/report.smk").read_text().split("rule report_sample:")[1].split("\nrule ")[0]
    declared = set(re.findall(r"^        (\w+)=", rule, re.M)) | {"sample", "objects", "provenance", "links", "written"}
    assert {field.name for field in dataclasses.fields(SampleFiles)} <= declared
    assert {"low", "calibrated", "high"} <= declared, "the run files of the objects"


def test_an_installed_wheel_writes_pages(scan, tmp_path):
    """From the files of a wheel alone: templates, scripts and translations are part of the package."""
    package = "workflow/scripts/tomoprofile"
    unwanted = shutil.ignore_patterns("__pycache__")  # where other tests may be writing
    shutil.copytree(ROOT / package, tmp_path / "source" / package, ignore=unwanted)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path / "source")
    build = "import sys; from hatchling.builders.wheel import WheelBuilder; print(*WheelBuilder('.').build())"
    subprocess.run([sys.executable, "-c", build], cwd=tmp_path / "source", check=True)
    (wheel,) = (tmp_path / "source/dist").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    (tmp_path / "files.pickle").write_bytes(pickle.dumps(scan))
    code = (
        "import pickle, tomoprofile; from pathlib import Path; from tomoprofile.report.page import report_sample; "
        "assert 'installed' in tomoprofile.__file__; files = pickle.loads(Path('files.pickle').read_bytes()); "
        "[report_sample(files, 'Title', Path(f'{language}.html'), language) for language in ('en', 'ja')]"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    for language in ("en", "ja"):
        assert Page((tmp_path / f"{language}.html").read_text(encoding="utf-8")).all("html")[0]["lang"] == language
