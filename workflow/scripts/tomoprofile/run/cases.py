"""Which scans are the cases of a model that amplifies its labels, and what must be there before it can.

Light on purpose, as the Snakefile imports it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..config import Config, UNetConfig
from ..config_amplify import AmplifyConfig
from ..errors import Fault
from ..samples import Scan
from ..segment.kinds import segmenter_of
from .findings import Finding, errors_of
from .waiting import has_labels

_MINUTES = 1.5  # of a core for the registration of a case
_SHOWN = 5


def cases_of(model: str, scans: Iterable[Scan], config: Config) -> list[Scan]:
    """Return the scans that a model segments, labelled or not; a scan with a mask of its own is no case."""
    return [scan for scan in scans if scan.model == model and segmenter_of(scan, config).needs.labels]


def template_candidates(cases: Sequence[Scan]) -> list[Scan]:
    """Return the cases of which one becomes that to which the others are registered.

    The one that the sheet names; else the labelled ones, since a template needs no registration of its own and its
    labels tell the volumes of all cases.
    """
    named = [case for case in cases if case.role == "template"]
    return named or [case for case in cases if has_labels(case)] or list(cases)


def check_amplification(config: Config, scans: Sequence[Scan]) -> list[Finding]:
    """Check that the cases of each model suffice for what it draws, and report what will be done.

    Returns
    -------
    list of Finding
        ``-`` stands for the whole run.
    """
    findings: list[Finding] = []
    for name, model in config.models.items():
        cases = cases_of(name, scans, config)
        if not cases or not isinstance(model, UNetConfig):
            continue
        templates = [case.sample for case in cases if case.role == "template"]
        faults = _faults(name, model.amplify, cases, templates)
        findings += errors_of("-", "amplify", faults)
        if templates and (why := _templates_unused(name, model.amplify)):
            text = f"the role `template` of {templates[0]} has no effect: {why}"
            findings.append(Finding(templates[0], "amplify", "warning", text))
        if model.amplify.draws and not faults:
            findings.append(Finding("-", "amplify", "ok", _plan(name, model.amplify, cases)))
    return findings


def _templates_unused(name: str, amplify: AmplifyConfig) -> str:
    if not amplify.learns:
        return f"models.{name}.amplify registers no cases"
    return f"models.{name}.amplify.template is that of all sites" if amplify.template else ""


def _faults(name: str, amplify: AmplifyConfig, cases: Sequence[Scan], templates: Sequence[str]) -> list[Fault]:
    faults = []
    if len(templates) > 1:
        problem = f"two scans of the model {name} are templates; all cases are registered to one"
        told = ", ".join(templates[:_SHOWN])
        faults.append(Fault("role", told, problem, "Leave `template` in the row of one of them."))
    remedy = "Empty the cell, or move the labels elsewhere."
    faults += [
        Fault(f"{case.sample} role", "unlabelled", f"there are labels in {case.labels}, and they train", remedy)
        for case in cases
        if case.role == "unlabelled" and has_labels(case)
    ]
    for key in ("template", "sums"):
        path = getattr(amplify, key)
        if path and not Path(path).is_file():
            remedy = "Ask the coordinator of the sites for it, or leave the key empty."
            faults.append(Fault(f"models.{name}.amplify.{key}", path, "there is no such file", remedy))
    if len(cases) < amplify.fewest_cases:
        count = "1 scan" if len(cases) == 1 else f"{len(cases)} scans"
        least = amplify.fewest_cases
        problem = f"how cases differ is learned from at least {least} scans of one model, and {name} has {count}"
        remedy = "Add scans to the sheet, which need no labels, or use `elastic`."
        faults.append(Fault(f"models.{name}.amplify.kind", amplify.kind, problem, remedy))
    return faults


def _plan(name: str, amplify: AmplifyConfig, cases: Sequence[Scan]) -> str:
    labelled = sum(has_labels(case) for case in cases)
    text = f"{name}: {amplify.pairs} pairs ({amplify.kind}) from {labelled} labelled of {len(cases)} cases"
    if not amplify.learns:
        return text
    minutes = max(1, round(_MINUTES * len(cases)))
    among = template_candidates(cases)
    template = among[0].sample if len(among) == 1 else f"the most usual of {len(among)} labelled ones"
    drawn = f", and new shapes from {amplify.sums}" if amplify.sums else ""
    return f"{text}, each registered to {amplify.template or template} first (about {minutes} core-minutes){drawn}"
