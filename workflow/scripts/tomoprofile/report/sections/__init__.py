"""The page of a scan as a list of sections: each is a module here, a template of the same name, and a line below."""

from . import (
    baselines,
    correlation,
    flags,
    heading,
    headline,
    interface,
    method,
    pictures,
    profile,
    provenance,
    reading,
    scene,
    sizes,
    zones,
)
from .section import Section

SECTIONS = (
    Section("heading", heading.build),
    Section("flags", flags.build),
    Section("headline", headline.build, per_class=True),
    Section("pictures", pictures.build),
    Section("interface", interface.build),
    Section("baselines", baselines.build),
    Section("profile", profile.build, per_class=True),
    Section("zones", zones.build, per_class=True),
    Section("sizes", sizes.build, per_class=True),
    Section("correlation", correlation.build, per_class=True),
    Section("scene", scene.build, per_class=True),
    Section("method", method.build),
    Section("reading", reading.build),
    Section("provenance", provenance.build),
)
