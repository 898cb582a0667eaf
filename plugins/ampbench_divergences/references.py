"""BibTeX of the publications that define the divergences."""

from __future__ import annotations

NOWOZIN_2016 = """
@inproceedings{nowozin2016fgan,
  author = {Nowozin, Sebastian and Cseke, Botond and Tomioka, Ryota},
  title = {f-{GAN}: Training Generative Neural Samplers using Variational Divergence Minimization},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2016},
  eprint = {1606.00709},
  archiveprefix = {arXiv}
}
"""

GOODFELLOW_2014 = """
@inproceedings{goodfellow2014generative,
  author = {Goodfellow, Ian J. and Pouget-Abadie, Jean and Mirza, Mehdi and Xu, Bing and Warde-Farley, David and
            Ozair, Sherjil and Courville, Aaron and Bengio, Yoshua},
  title = {Generative Adversarial Nets},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2014},
  eprint = {1406.2661},
  archiveprefix = {arXiv}
}
"""

GULRAJANI_2017 = """
@inproceedings{gulrajani2017improved,
  author = {Gulrajani, Ishaan and Ahmed, Faruk and Arjovsky, Martin and Dumoulin, Vincent and Courville, Aaron},
  title = {Improved Training of {Wasserstein} {GANs}},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2017},
  eprint = {1704.00028},
  archiveprefix = {arXiv}
}
"""

PACCHIARDI_2022 = """
@misc{pacchiardi2022likelihood,
  author = {Pacchiardi, Lorenzo and Dutta, Ritabrata},
  title = {Likelihood-Free Inference with Generative Neural Networks via Scoring Rule Minimization},
  year = {2022},
  eprint = {2205.15784},
  archiveprefix = {arXiv}
}
"""

HERTRICH_2024 = """
@inproceedings{hertrich2024generative,
  author = {Hertrich, Johannes and Wald, Christian and Altekrüger, Fabian and Hagemann, Paul},
  title = {Generative Sliced {MMD} Flows with {Riesz} Kernels},
  booktitle = {International Conference on Learning Representations},
  year = {2024},
  eprint = {2305.11463},
  archiveprefix = {arXiv}
}
"""
