"""BibTeX of the publications that several packages cite, or that the core cites.

A component gives its entries as a text ``bibtex``, of :class:`ampbench.hookspecs.Lazy` or of its class, and ``ampbench
cite`` collects them. Plugins keep their own entries beside their components.
"""

from __future__ import annotations

KARALETSOS_2016 = """
@misc{karaletsos2016adversarial,
  author = {Karaletsos, Theofanis},
  title = {Adversarial Message Passing For Graphical Models},
  year = {2016},
  eprint = {1612.05048},
  archiveprefix = {arXiv}
}
"""

LAKSHMINARAYANAN_2017 = """
@inproceedings{lakshminarayanan2017simple,
  author = {Lakshminarayanan, Balaji and Pritzel, Alexander and Blundell, Charles},
  title = {Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {30},
  year = {2017},
  eprint = {1612.01474},
  archiveprefix = {arXiv}
}
"""

LUECKMANN_2021 = """
@inproceedings{lueckmann2021benchmarking,
  author = {Lueckmann, Jan-Matthis and Boelts, Jan and Greenberg, David S. and Gonçalves, Pedro J. and
            Macke, Jakob H.},
  title = {Benchmarking Simulation-Based Inference},
  booktitle = {International Conference on Artificial Intelligence and Statistics},
  year = {2021},
  eprint = {2101.04653},
  archiveprefix = {arXiv}
}
"""

LOPEZ_PAZ_2017 = """
@inproceedings{lopezpaz2017revisiting,
  author = {Lopez-Paz, David and Oquab, Maxime},
  title = {Revisiting Classifier Two-Sample Tests},
  booktitle = {International Conference on Learning Representations},
  year = {2017},
  eprint = {1610.06545},
  archiveprefix = {arXiv}
}
"""

TEJERO_CANTERO_2020 = """
@article{tejerocantero2020sbi,
  author = {Tejero-Cantero, Alvaro and Boelts, Jan and Deistler, Michael and Lueckmann, Jan-Matthis and
            Durkan, Conor and Gonçalves, Pedro J. and Greenberg, David S. and Macke, Jakob H.},
  title = {sbi: A Toolkit for Simulation-Based Inference},
  journal = {Journal of Open Source Software},
  volume = {5},
  year = {2020}
}
"""

GRETTON_2012 = """
@article{gretton2012kernel,
  author = {Gretton, Arthur and Borgwardt, Karsten M. and Rasch, Malte J. and Schölkopf, Bernhard and Smola, Alexander},
  title = {A Kernel Two-Sample Test},
  journal = {Journal of Machine Learning Research},
  volume = {13},
  year = {2012}
}
"""

BONNEEL_2015 = """
@article{bonneel2015sliced,
  author = {Bonneel, Nicolas and Rabin, Julien and Peyré, Gabriel and Pfister, Hanspeter},
  title = {Sliced and {Radon} {Wasserstein} Barycenters of Measures},
  journal = {Journal of Mathematical Imaging and Vision},
  volume = {51},
  year = {2015}
}
"""

SZEKELY_2013 = """
@article{szekely2013energy,
  author = {Székely, Gábor J. and Rizzo, Maria L.},
  title = {Energy Statistics: A Class of Statistics Based on Distances},
  journal = {Journal of Statistical Planning and Inference},
  volume = {143},
  year = {2013}
}
"""

LIU_2016 = """
@inproceedings{liu2016kernelized,
  author = {Liu, Qiang and Lee, Jason D. and Jordan, Michael I.},
  title = {A Kernelized {Stein} Discrepancy for Goodness-of-Fit Tests},
  booktitle = {International Conference on Machine Learning},
  year = {2016}
}
"""

PAPAMAKARIOS_2016 = """
@inproceedings{papamakarios2016fast,
  author = {Papamakarios, George and Murray, Iain},
  title = {Fast ε-free Inference of Simulation Models with {Bayesian} Conditional Density Estimation},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2016},
  eprint = {1605.06376},
  archiveprefix = {arXiv}
}
"""

PAPAMAKARIOS_2019 = """
@inproceedings{papamakarios2019sequential,
  author = {Papamakarios, George and Sterratt, David C. and Murray, Iain},
  title = {Sequential Neural Likelihood: Fast Likelihood-free Inference with Autoregressive Flows},
  booktitle = {International Conference on Artificial Intelligence and Statistics},
  year = {2019},
  eprint = {1805.07226},
  archiveprefix = {arXiv}
}
"""

GREENBERG_2019 = """
@inproceedings{greenberg2019automatic,
  author = {Greenberg, David S. and Nonnenmacher, Marcel and Macke, Jakob H.},
  title = {Automatic Posterior Transformation for Likelihood-Free Inference},
  booktitle = {International Conference on Machine Learning},
  year = {2019},
  eprint = {1905.07488},
  archiveprefix = {arXiv}
}
"""

RADEV_2020 = """
@misc{radev2020bayesflow,
  author = {Radev, Stefan T. and Mertens, Ulf K. and Voss, Andreas and Ardizzone, Lynton and Köthe, Ullrich},
  title = {{BayesFlow}: Learning Complex Stochastic Models with Invertible Neural Networks},
  year = {2020},
  eprint = {2003.06281},
  archiveprefix = {arXiv}
}
"""
