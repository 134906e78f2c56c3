"""The page of a scan as a list of sections: each is a module here, a template of the same name, and a line below."""

from . import (
    baselines,
    citing,
    class_heading,
    classes,
    correlation,
    flags,
    heading,
    headline,
    interface,
    method,
    phase,
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
    Section("classes", classes.build, if_several=True),
    Section("class_heading", class_heading.build, per_class=True, if_several=True),
    Section("headline", headline.build, per_class=True, if_domains=True),
    Section("profile", profile.build, per_class=True, if_domains=True, if_depth=True),
    Section("pictures", pictures.build, per_class=True),
    Section("zones", zones.build, per_class=True, if_domains=True),
    Section("sizes", sizes.build, per_class=True, if_domains=True),
    Section("correlation", correlation.build, per_class=True, if_domains=True),
    Section("phase", phase.build, per_class=True, if_domains=True),
    Section("scene", scene.build, per_class=True, if_domains=True),
    Section("baselines", baselines.build, per_class=True),
    Section("interface", interface.build, if_depth=True),
    Section("method", method.build),
    Section("citing", citing.build),
    Section("reading", reading.build),
    Section("provenance", provenance.build),
)
