"""Listen to all that the processes of a site send, and make a site leak: on the path of the processes of one test.

``WIRE_TAP`` is a folder, which gets a file for each process with every frame before it is encrypted. ``WIRE_LEAK`` is
what the site sends beside or instead of its weights. Python imports this file by its name when it starts.
"""

import os
import sys
from pathlib import Path

LEAKS = ("extra", "hidden", "nan")


def listen(folder: Path) -> None:
    """Write every frame that leaves this process, to the server or to another process of the site."""
    from nvflare.fuel.f3.sfm.sfm_conn import SfmConnection

    folder.mkdir(parents=True, exist_ok=True)
    record = (folder / f"{os.getpid()}.bin").open("ab", buffering=0)
    begin = SfmConnection.__init__

    def begin_and_listen(self, *args, **kwargs):
        begin(self, *args, **kwargs)
        send = self.conn.send_frame

        def send_frame(frame):
            record.write(bytes(frame))
            return send(frame)

        self.conn.send_frame = send_frame

    SfmConnection.__init__ = begin_and_listen


def leak(kind: str) -> None:
    """Make the training of this process send an image; ``hidden`` and ``nan`` go past the policy of the site."""
    from dataclasses import replace

    import numpy as np

    from tomoprofile.federate.policy import Policy
    from tomoprofile.federate.site import Site

    answer = Site.answer

    def leaking(self, order, agreed):
        found = answer(self, order, agreed)
        image = np.ascontiguousarray(self.training.slices[0].image)
        if kind == "nan":
            return replace(found, tensors={name: array * np.nan for name, array in found.tensors.items()})
        return replace(found, tensors={**found.tensors, "more": image})

    Site.answer = leaking
    if kind != "extra":
        Policy.release = lambda _, update, __: update


words = " ".join(sys.orig_argv)
if "nvflare.private.fed.app.client" in words:
    listen(Path(os.environ["WIRE_TAP"]))
    if os.environ.get("WIRE_LEAK") in LEAKS and "worker_process" in words:
        leak(os.environ["WIRE_LEAK"])
