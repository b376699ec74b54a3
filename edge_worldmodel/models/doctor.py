"""`edge-worldmodel doctor`: describe this machine, and list what to correct on it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
from pathlib import Path

from edge_worldmodel.backends import open_backend
from edge_worldmodel.core.errors import EdgeWorldModelError
from edge_worldmodel.models.doctor_rules import ERROR, FINE, WARNING, DoctorFinding, examine
from edge_worldmodel.models.golden import check_golden
from edge_worldmodel.models.inventory import Inventory, Run, broken_imports, run_command, take_inventory
from edge_worldmodel.models.manifest import load_model
from edge_worldmodel.models.placement_record import record_path, variants
from edge_worldmodel.models.shipped import models_folder

_MARKS = {ERROR: "ERROR  ", WARNING: "warning", "note": "note   ", FINE: "       "}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb doctor."""
    parser.add_argument("--json", action="store_true", help="print inventory and findings as JSON")
    parser.epilog = "Changes nothing and needs no ROS. Exit status 1 when there is an error to fix."


def run(options: argparse.Namespace) -> int:
    """Examine this machine and print the findings."""
    inventory = this_machine()
    broken = broken_imports(inventory.packages, "ROS_DISTRO" in inventory.environment)
    inventory = dataclasses.replace(inventory, broken=broken)
    findings = [*examine(inventory), *examine_models(models_folder()), _placement()]
    errors = sum(finding.level == ERROR for finding in findings)
    if options.json:
        entries = [dataclasses.asdict(finding) for finding in findings]
        print(json.dumps({"errors": errors, "findings": entries, "inventory": dataclasses.asdict(inventory)}, indent=2))
    else:
        print("\n".join(line for finding in findings for line in lines_of(finding)))
        warnings = sum(finding.level == WARNING for finding in findings)
        print(f"{errors} error(s), {warnings} warning(s)")
    return 1 if errors else 0


def this_machine(run_: Run = run_command) -> Inventory:
    """Return the inventory of this machine; pass a ``run_`` that returns '' to skip slow tools."""
    return take_inventory(os.environ, platform.python_version(), platform.machine(), run_)


def lines_of(finding: DoctorFinding) -> list[str]:
    """Return a finding as one or two lines of text."""
    lines = [f"{_MARKS[finding.level]} {finding.topic:11s} {finding.text}"]
    return [*lines, f"{'':19s} -> {finding.remedy}"] if finding.remedy else lines


def examine_models(models: Path) -> list[DoctorFinding]:
    """Verify every file of every shipped model, and that this machine computes its golden vectors."""
    findings = [_examine_model(folder) for folder in variants(models)]
    return findings or [DoctorFinding(ERROR, "model", f"there is no model in {models}", "install the package again")]


def _examine_model(folder: Path) -> DoctorFinding:
    try:
        model = load_model(folder)
    except EdgeWorldModelError as error:
        return DoctorFinding(ERROR, "model", f"{folder.name}: {error}", "install the package again")
    try:
        backend = open_backend("onnxruntime")
        backend.load(model.networks)
        check_golden(backend, model.model_id, model.manifest)
    except EdgeWorldModelError as error:
        return DoctorFinding(WARNING, "model", f"{folder.name}: {error}", "nodes refuse it: run edge-worldmodel place")
    size = sum(len(data) for data in model.networks.values()) / 1e6
    precision = model.manifest.get("precision", "unknown precision")
    return DoctorFinding(
        FINE, "model", f"{folder.name}: {model.model_id}, {precision}, {size:.1f} MB, files and golden vectors right"
    )


def _placement() -> DoctorFinding:
    path = record_path()
    if path.exists():
        return DoctorFinding(FINE, "placement", f"models were measured on this device: {path}")
    return DoctorFinding("note", "placement", "no model was measured on this device", "run edge-worldmodel place")
