"""What the link of `tomoprofile view` points at, fetched by a real browser from a page of neuroglancer's address.

Neuroglancer itself is on the web, where tests do not go: an empty page answers under its address, and asks for what
neuroglancer asks for.
"""

import json
import threading
from urllib.parse import unquote

import pytest
from export_scan import finished
from numpy import arange, random

from tomoprofile.export.serving import NEUROGLANCER, StoreServer, neuroglancer_link, shown_stores

SHAPE = (20, 30, 300)  # two chunks in a shard
ASKING = 142  # from this version on Chromium asks people before a page on the web may reach their computer
FETCH = """async ([url, range]) => {
  const answer = await fetch(url, range ? {headers: {Range: range}} : {});
  const bytes = new Uint8Array(await answer.arrayBuffer());
  return {status: answer.status, range: answer.headers.get("Content-Range"), bytes: Array.from(bytes)};
}"""


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    rng = random.default_rng(1)
    grey = arange(20 * 30 * 300).reshape(SHAPE).astype("uint16")
    return finished(tmp_path_factory.mktemp("results"), {"domain": rng.random(SHAPE) < 0.05}, grey)


@pytest.fixture(scope="module")
def link(scan):
    with StoreServer(shown_stores(scan)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield neuroglancer_link(scan, server.url)
        server.shutdown()
        thread.join()


@pytest.fixture
def page_at(browser):
    """Return an empty page under any address on the web; nothing is asked of the web."""
    context = browser.new_context()

    def opened(address):
        if int(browser.version.split(".")[0]) >= ASKING:
            context.grant_permissions(["local-network-access"], origin=address)
        page = context.new_page()
        page.route(f"{address}/**", lambda route: route.fulfill(body="<title>empty</title>", content_type="text/html"))
        page.goto(f"{address}/")
        return page

    yield opened
    context.close()


def sources(link):
    state = json.loads(unquote(link.removeprefix(f"{NEUROGLANCER}/#!")))
    return {layer["name"]: layer["source"].removesuffix("|zarr3:") for layer in state["layers"]}


def test_neuroglancer_gets_metadata_and_chunks(page_at, link, scan):
    page = page_at(NEUROGLANCER)
    for name, url in sources(link).items():
        store = shown_stores(scan)[name]
        group = page.evaluate(FETCH, [f"{url}zarr.json", None])
        multiscales = json.loads(bytes(group["bytes"]))["attributes"]["ome"]["multiscales"]
        array = page.evaluate(FETCH, [f"{url}{multiscales[0]['datasets'][0]['path']}/zarr.json", None])
        assert json.loads(bytes(array["bytes"]))["shape"][-3:] == list(SHAPE)
        (shard, *_) = sorted(path for path in store.rglob("c/**/*") if path.is_file())
        content = shard.read_bytes()
        url += shard.relative_to(store).as_posix()
        # The table of chunks at the end of a shard, then a chunk: the first of these is asked for beforehand.
        for asked, part in {"bytes=-20": content[-20:], "bytes=3-99": content[3:100]}.items():
            answer = page.evaluate(FETCH, [url, asked])
            assert (answer["status"], bytes(answer["bytes"])) == (206, part), (name, asked)
            first = content.rindex(part) if asked == "bytes=-20" else 3
            assert answer["range"] == f"bytes {first}-{first + len(part) - 1}/{len(content)}", (
                "not hidden from the page"
            )


def test_a_chunk_of_zeros_is_missing_and_no_error_of_access(page_at, link):
    """Neuroglancer takes 404 for zeros; an answer without permission would be a failure to fetch."""
    answer = page_at(NEUROGLANCER).evaluate(FETCH, [f"{sources(link)['volume']}0/c/9/9/9", None])
    assert answer["status"] == 404


def test_no_other_page_may_read(page_at, link):
    page = page_at("https://elsewhere.example")
    with pytest.raises(Exception, match="Failed to fetch"):
        page.evaluate(FETCH, [f"{sources(link)['volume']}zarr.json", None])
