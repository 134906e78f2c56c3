"""The site of the documentation is whole: every page is in its menu, every link leads somewhere, nothing is fetched."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


def built(root, out):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}
    # A proxy that nobody answers: what asked the network would fail.
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    return subprocess.run(command, cwd=root, capture_output=True, text=True, env=environment | nowhere, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    done = built(ROOT, out)
    assert done.returncode == 0, done.stderr
    return out


class Loads(HTMLParser):
    """What a page loads, links apart."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        if tag in ("script", "img", "iframe") or (tag == "link" and named.get("rel") in ("stylesheet", "preconnect")):
            self.found.append(named.get("src") or named.get("href"))


def test_the_site_loads_nothing_from_outside(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 15
    loaded = [address for page in pages for address in Loads(page.read_text()).found if address]
    assert len(loaded) > 30
    assert not [address for address in loaded if "//" in address]
    assert not [style for style in site.rglob("*.css") if re.search(r"url\(['\"]?(https?:)?//", style.read_text())]
    assert Loads('<link rel="stylesheet" href="https://fonts.example/a.css">').found == ["https://fonts.example/a.css"]


def test_guides_commands_and_library_are_on_the_site(site):
    for page, words in {
        "configuration.html": "voxel_size_um",
        "cluster.html": "A copy for your site",
        "commands.html": "tomoprofile-prelabel",
        "api.html": "tomoprofile.volume.store.open_store",
        "outputs.html": "mean_equivalent_diameter_um",
        "decisions.html": "Objects are runs",
    }.items():
        assert words in (site / page).read_text(), page
    assert not re.findall(r":(?:class|func|mod|data):", (site / "api.html").read_text()), "roles are no words"
    text = (site / "configuration.html").read_text()
    assert 'href="labelling.html"' in text, "a link out of config/ leads to the page"
    assert "configuration.html#a-mask-of-your-own" in (site / "tutorial.html").read_text()


def test_what_is_broken_stops_the_build(tmp_path):
    """A lost page, a page in no menu, a dead link and a dead anchor are each named."""
    for name in ("docs", "config", "profiles", "envs", "workflow/scripts/tomoprofile"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "README.md", tmp_path)
    settings = (ROOT / "mkdocs.yml").read_text()
    assert settings.count("- tutorial.md") == 1
    (tmp_path / "mkdocs.yml").write_text(settings.replace("- tutorial.md", "- lost.md"))
    text = "[a](nowhere.md) [b](outputs.md#nothing) [c](../config/README.md#nothing) [d](../gone/README.md)\n"
    (tmp_path / "docs/labelling.md").write_text(f"# Labelling\n\n{text}")
    done = built(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    for words in ("lost.md", "tutorial.md", "nowhere.md", "outputs.md#nothing", "configuration.md#nothing", "../gone/"):
        assert words in done.stderr, words


@pytest.mark.parametrize("name", ["README.md", "config/README.md", "profiles/README.md", "envs/README.md", "docs"])
def test_links_hold_on_a_forge_as_well(name):
    """There a link leads to a file of the repository."""
    files = sorted((ROOT / name).rglob("*.md")) if (ROOT / name).is_dir() else [ROOT / name]
    dead = [
        f"{file.name}: {link}" for file in files for link in LINK.findall(file.read_text()) if not target(file, link)
    ]
    assert not dead


def target(file, link):
    return (file.parent / link).exists()


def test_a_dead_link_would_be_seen():
    assert LINK.findall("[a](docs/outputs.md#x) and [b](https://example.org)") == ["docs/outputs.md"]
    assert not target(ROOT / "README.md", "docs/nothing.md")
