"""How property tests run: the same examples every time, or many new ones with `--hypothesis-profile=thorough`."""

import numpy as np
from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("thorough", deadline=None, max_examples=2000)
settings.load_profile("repeatable")
np.set_printoptions(threshold=8, edgeitems=2)  # a failing table of plans stays readable
