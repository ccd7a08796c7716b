"""scikit-learn's digits as an npz: ``training_digits.py OUTPUT``."""

from __future__ import annotations

import sys

import numpy as np
from sklearn.datasets import load_digits

found = load_digits()
np.savez(sys.argv[1], X=found.images.astype(np.float32), y=found.target)
