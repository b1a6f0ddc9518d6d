"""What the rules share: the checked config, the list of scans, and small input functions. No rule lives here."""

import sys

import pandas as pd
import yaml
from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.current_basedir).parent
sys.path.insert(0, str(ROOT))

from ctstyle import settings
from ctstyle.cohorts import catalogue
from ctstyle.errors import CTStyleError
from ctstyle.provenance.code import code_digest

SCHEMA = yaml.safe_load((ROOT / "config" / "schema" / "config.schema.yaml").read_text())


def checked(config):
    """The config with its defaults, or one error that names the key and the fix."""
    filled = settings.with_defaults(config, SCHEMA)
    settings.check(filled, SCHEMA)
    return filled


def list_scans(config):
    """All scans of the configured cohorts as a frame, one row per scan."""
    return catalogue.list_scans(config, workflow.pathvars.apply("<cohorts>"))


try:
    config.update(checked(config))
    SCANS = list_scans(config)
except CTStyleError as error:
    raise WorkflowError(str(error)) from None
