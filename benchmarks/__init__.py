"""Speed and accuracy, tracked by asv; see README.md. Every benchmark has one thread."""

import torch

torch.set_num_threads(1)
