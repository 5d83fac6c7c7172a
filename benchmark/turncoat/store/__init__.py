"""Content-addressed stages that many processes on many hosts share: made once, whole or not there.

folder = Store(root).stage("adapter", {"rows": 200, "seed": 0}, build=lambda tmp: train(tmp))
"""

from turncoat.store.digests import canonical_json, code_digest, digest, file_digest
from turncoat.store.lease import Holder, LeaseLost
from turncoat.store.manifest import MANIFEST_FILE
from turncoat.store.stages import SPEC_FILE, STAGE_FILES, TIMING_FILE, StageBusy, Store

__all__ = [
    "MANIFEST_FILE",
    "SPEC_FILE",
    "STAGE_FILES",
    "TIMING_FILE",
    "Holder",
    "LeaseLost",
    "StageBusy",
    "Store",
    "canonical_json",
    "code_digest",
    "digest",
    "file_digest",
]
