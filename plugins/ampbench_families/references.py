"""BibTeX of the publications that define the families."""

from __future__ import annotations

JANG_2017 = """
@inproceedings{jang2017categorical,
  author = {Jang, Eric and Gu, Shixiang and Poole, Ben},
  title = {Categorical Reparameterization with {Gumbel}-Softmax},
  booktitle = {International Conference on Learning Representations},
  year = {2017},
  eprint = {1611.01144},
  archiveprefix = {arXiv}
}
"""

MADDISON_2017 = """
@inproceedings{maddison2017concrete,
  author = {Maddison, Chris J. and Mnih, Andriy and Teh, Yee Whye},
  title = {The Concrete Distribution: A Continuous Relaxation of Discrete Random Variables},
  booktitle = {International Conference on Learning Representations},
  year = {2017},
  eprint = {1611.00712},
  archiveprefix = {arXiv}
}
"""

DURKAN_2019 = """
@inproceedings{durkan2019neural,
  author = {Durkan, Conor and Bekasov, Artur and Murray, Iain and Papamakarios, George},
  title = {Neural Spline Flows},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2019},
  eprint = {1906.04032},
  archiveprefix = {arXiv}
}
"""

PAPAMAKARIOS_2017 = """
@inproceedings{papamakarios2017masked,
  author = {Papamakarios, George and Pavlakou, Theo and Murray, Iain},
  title = {Masked Autoregressive Flow for Density Estimation},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2017},
  eprint = {1705.07057},
  archiveprefix = {arXiv}
}
"""

ZUKO_2022 = """
@misc{rozet2022zuko,
  author = {Rozet, François and others},
  title = {Zuko: Normalizing Flows in {PyTorch}},
  year = {2022},
  doi = {10.5281/zenodo.7625672}
}
"""

FIGURNOV_2018 = """
@inproceedings{figurnov2018implicit,
  author = {Figurnov, Michael and Mohamed, Shakir and Mnih, Andriy},
  title = {Implicit Reparameterization Gradients},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2018},
  eprint = {1805.08498},
  archiveprefix = {arXiv}
}
"""
