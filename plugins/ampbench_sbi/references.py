"""BibTeX of the toolbox, and of the publications that define its methods."""

from __future__ import annotations

BOELTS_2024 = """
@misc{boelts2024sbi,
  author = {Boelts, Jan and others},
  title = {sbi reloaded: a toolkit for simulation-based inference workflows},
  year = {2024},
  eprint = {2411.17337},
  archiveprefix = {arXiv}
}
"""

DAX_2023 = """
@inproceedings{dax2023flow,
  author = {Dax, Maximilian and Wildberger, Jonas and Buchholz, Simon and Green, Stephen R. and Macke, Jakob H. and
            Schölkopf, Bernhard},
  title = {Flow Matching for Scalable Simulation-Based Inference},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2023},
  eprint = {2305.17161},
  archiveprefix = {arXiv}
}
"""

PRITCHARD_1999 = """
@article{pritchard1999population,
  author = {Pritchard, Jonathan K. and Seielstad, Mark T. and Perez-Lezaun, Anna and Feldman, Marcus W.},
  title = {Population Growth of Human {Y} Chromosomes: A Study of {Y} Chromosome Microsatellites},
  journal = {Molecular Biology and Evolution},
  volume = {16},
  year = {1999}
}
"""

GEFFNER_2023 = """
@inproceedings{geffner2023compositional,
  author = {Geffner, Tomas and Papamakarios, George and Mnih, Andriy},
  title = {Compositional Score Modeling for Simulation-Based Inference},
  booktitle = {International Conference on Machine Learning},
  year = {2023},
  eprint = {2209.14249},
  archiveprefix = {arXiv}
}
"""

DURKAN_2020 = """
@inproceedings{durkan2020contrastive,
  author = {Durkan, Conor and Murray, Iain and Papamakarios, George},
  title = {On Contrastive Learning for Likelihood-free Inference},
  booktitle = {International Conference on Machine Learning},
  year = {2020},
  eprint = {2002.03712},
  archiveprefix = {arXiv}
}
"""

HERMANS_2020 = """
@inproceedings{hermans2020likelihood,
  author = {Hermans, Joeri and Begy, Volodimir and Louppe, Gilles},
  title = {Likelihood-free {MCMC} with Amortized Approximate Ratio Estimators},
  booktitle = {International Conference on Machine Learning},
  year = {2020},
  eprint = {1903.04057},
  archiveprefix = {arXiv}
}
"""

BEAUMONT_2009 = """
@article{beaumont2009adaptive,
  author = {Beaumont, Mark A. and Cornuet, Jean-Marie and Marin, Jean-Michel and Robert, Christian P.},
  title = {Adaptive Approximate {Bayesian} Computation},
  journal = {Biometrika},
  year = {2009},
  eprint = {0805.2256},
  archiveprefix = {arXiv}
}
"""

DEISTLER_2022 = """
@inproceedings{deistler2022truncated,
  author = {Deistler, Michael and Gonçalves, Pedro J. and Macke, Jakob H.},
  title = {Truncated Proposals for Scalable and Hassle-Free Simulation-Based Inference},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2022},
  eprint = {2210.04815},
  archiveprefix = {arXiv}
}
"""

MILLER_2022 = """
@inproceedings{miller2022contrastive,
  author = {Miller, Benjamin Kurt and Weniger, Christoph and Forré, Patrick},
  title = {Contrastive Neural Ratio Estimation},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2022},
  eprint = {2210.06170},
  archiveprefix = {arXiv}
}
"""
