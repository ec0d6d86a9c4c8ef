"""What every run imports and reads sooner or later, for the process that all jobs are forked from; nothing is computed.

Whatever a job finds done here it does not do again: the classes of the usual options, the plugins that Hydra looks for,
the schema of the YAML files, the fonts of the pictures.
"""

from __future__ import annotations

import gc
from contextlib import suppress

import hydra._internal.hydra  # noqa: F401
import matplotlib.backends.backend_agg
import matplotlib.font_manager  # noqa: F401

import metarun.backbones.mf_features
import metarun.datasets.movielens
import metarun.heads.linear
import metarun.objectives.squared
import metarun.pretraining.factorisation
import metarun.run
import metarun.strategies.gradient
import metarun.strategies.meta.ridge
import metarun.strategies.transfer.ridge  # noqa: F401
from metarun import config
from metarun.errors import MetarunError

with suppress(MetarunError):  # a user's broken config is told by the job that needs it
    config.compose([])

# The first collection in a forked process would copy all that is shared.
gc.collect()
gc.freeze()
