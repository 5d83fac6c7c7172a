"""Only our own progress is shown: the libraries' bars, warnings and notices are off in every command."""

import logging
import os
import warnings


def quiet_libraries() -> None:
    """Call it before any library is imported: tqdm reads its variable then."""
    os.environ["TQDM_DISABLE"] = "1"
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.simplefilter("ignore", FutureWarning)
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
