"""BibTeX of the publications that define the tasks, and of their data."""

from __future__ import annotations

KENDALL_1948 = """
@article{kendall1948generalized,
  author = {Kendall, David G.},
  title = {On the Generalized ``Birth-and-Death'' Process},
  journal = {The Annals of Mathematical Statistics},
  year = {1948},
  doi = {10.1214/aoms/1177730285}
}
"""

BECKER_1989 = """
@book{becker1989analysis,
  author = {Becker, Niels G.},
  title = {Analysis of Infectious Disease Data},
  publisher = {Chapman and Hall},
  year = {1989}
}
"""

PEARL_1988 = """
@book{pearl1988probabilistic,
  author = {Pearl, Judea},
  title = {Probabilistic Reasoning in Intelligent Systems: Networks of Plausible Inference},
  publisher = {Morgan Kaufmann},
  year = {1988}
}
"""

RUBIN_1981 = """
@article{rubin1981estimation,
  author = {Rubin, Donald B.},
  title = {Estimation in Parallel Randomized Experiments},
  journal = {Journal of Educational Statistics},
  year = {1981},
  doi = {10.3102/10769986006004377}
}
"""

MAGNUSSON_2025 = """
@misc{magnusson2025posteriordb,
  author = {Magnusson, Måns and others},
  title = {posteriordb: Testing, Benchmarking and Developing {Bayesian} Inference Algorithms},
  year = {2025},
  eprint = {2407.04967},
  archiveprefix = {arXiv}
}
"""

KEELING_2005 = """
@article{keeling2005networks,
  author = {Keeling, Matt J. and Eames, Ken T. D.},
  title = {Networks and Epidemic Models},
  journal = {Journal of the Royal Society Interface},
  year = {2005},
  doi = {10.1098/rsif.2005.0051}
}
"""

ALLINGHAM_2009 = """
@article{allingham2009bayesian,
  author = {Allingham, David and King, Robert A. R. and Mengersen, Kerrie L.},
  title = {Bayesian Estimation of Quantile Distributions},
  journal = {Statistics and Computing},
  year = {2009},
  doi = {10.1007/s11222-008-9083-x}
}
"""

FELSENSTEIN_1973 = """
@article{felsenstein1973maximum,
  author = {Felsenstein, Joseph},
  title = {Maximum-Likelihood Estimation of Evolutionary Trees from Continuous Characters},
  journal = {American Journal of Human Genetics},
  volume = {25},
  pages = {471--492},
  year = {1973}
}
"""

GELMAN_2013 = """
@book{gelman2013bayesian,
  author = {Gelman, Andrew and Carlin, John B. and Stern, Hal S. and Dunson, David B. and Vehtari, Aki and
            Rubin, Donald B.},
  title = {Bayesian Data Analysis},
  edition = {Third},
  publisher = {Chapman and Hall/CRC},
  year = {2013},
  url = {http://www.stat.columbia.edu/~gelman/book/}
}
"""

RASCH_1960 = """
@book{rasch1960probabilistic,
  author = {Rasch, Georg},
  title = {Probabilistic Models for Some Intelligence and Attainment Tests},
  publisher = {Danish Institute for Educational Research},
  year = {1960}
}
"""

SOUNTSOV_2020 = """
@misc{sountsov2020inference,
  author = {Sountsov, Pavel and Radul, Alexey and others},
  title = {Inference Gym},
  year = {2020},
  note = {Version 0.0.5}
}
"""

KALMAN_1960 = """
@article{kalman1960new,
  author = {Kalman, Rudolf E.},
  title = {A New Approach to Linear Filtering and Prediction Problems},
  journal = {Journal of Basic Engineering},
  year = {1960},
  doi = {10.1115/1.3662552}
}
"""

CARTER_1994 = """
@article{carter1994gibbs,
  author = {Carter, Christopher K. and Kohn, Robert},
  title = {On {Gibbs} Sampling for State Space Models},
  journal = {Biometrika},
  year = {1994},
  doi = {10.1093/biomet/81.3.541}
}
"""

MARIN_2012 = """
@article{marin2012approximate,
  author = {Marin, Jean-Michel and Pudlo, Pierre and Robert, Christian P. and Ryder, Robin J.},
  title = {Approximate {Bayesian} Computational Methods},
  journal = {Statistics and Computing},
  year = {2012},
  eprint = {1101.0955},
  archiveprefix = {arXiv}
}
"""

SHESTOPALOFF_2014 = """
@misc{shestopaloff2014queue,
  author = {Shestopaloff, Alexander Y. and Neal, Radford M.},
  title = {On {Bayesian} Inference for the {M/G/1} Queue with Efficient {MCMC} Sampling},
  year = {2014},
  eprint = {1401.5548},
  archiveprefix = {arXiv}
}
"""

COBB_1978 = """
@article{cobb1978problem,
  author = {Cobb, George W.},
  title = {The Problem of the {Nile}: Conditional Solution to a Changepoint Problem},
  journal = {Biometrika},
  year = {1978},
  doi = {10.1093/biomet/65.2.243}
}
"""

DURBIN_2012 = """
@book{durbin2012time,
  author = {Durbin, James and Koopman, Siem Jan},
  title = {Time Series Analysis by State Space Methods},
  edition = {Second},
  publisher = {Oxford University Press},
  year = {2012},
  doi = {10.1093/acprof:oso/9780199641178.001.0001}
}
"""

GORDON_1993 = """
@article{gordon1993novel,
  author = {Gordon, Neil J. and Salmond, David J. and Smith, Adrian F. M.},
  title = {Novel Approach to Nonlinear/Non-{Gaussian} {Bayesian} State Estimation},
  journal = {IEE Proceedings F},
  year = {1993},
  doi = {10.1049/ip-f-2.1993.0015}
}
"""

GELMAN_2007 = """
@book{gelman2007data,
  author = {Gelman, Andrew and Hill, Jennifer},
  title = {Data Analysis Using Regression and Multilevel/Hierarchical Models},
  publisher = {Cambridge University Press},
  year = {2007},
  url = {http://www.stat.columbia.edu/~gelman/arm/}
}
"""

PRICE_1996 = """
@article{price1996bayesian,
  author = {Price, Phillip N. and Nero, Anthony V. and Gelman, Andrew},
  title = {Bayesian Prediction of Mean Indoor Radon Concentrations for {Minnesota} Counties},
  journal = {Health Physics},
  year = {1996},
  doi = {10.1097/00004032-199612000-00009}
}
"""

RICKER_1954 = """
@article{ricker1954stock,
  author = {Ricker, William E.},
  title = {Stock and Recruitment},
  journal = {Journal of the Fisheries Research Board of Canada},
  year = {1954},
  doi = {10.1139/f54-039}
}
"""

WOOD_2010 = """
@article{wood2010statistical,
  author = {Wood, Simon N.},
  title = {Statistical Inference for Noisy Nonlinear Ecological Dynamic Systems},
  journal = {Nature},
  year = {2010},
  doi = {10.1038/nature09319}
}
"""

KIM_1998 = """
@article{kim1998stochastic,
  author = {Kim, Sangjoon and Shephard, Neil and Chib, Siddhartha},
  title = {Stochastic Volatility: Likelihood Inference and Comparison with {ARCH} Models},
  journal = {The Review of Economic Studies},
  year = {1998},
  doi = {10.1111/1467-937X.00050}
}
"""

GONCALVES_2020 = """
@article{goncalves2020training,
  author = {Gonçalves, Pedro J. and others},
  title = {Training Deep Neural Density Estimators to Identify Mechanistic Models of Neural Dynamics},
  journal = {eLife},
  year = {2020},
  doi = {10.7554/eLife.56261}
}
"""

SISSON_2007 = """
@article{sisson2007sequential,
  author = {Sisson, Scott A. and Fan, Yanan and Tanaka, Mark M.},
  title = {Sequential {Monte} {Carlo} without Likelihoods},
  journal = {Proceedings of the National Academy of Sciences},
  year = {2007}
}
"""

KERMACK_1927 = """
@article{kermack1927contribution,
  author = {Kermack, William O. and McKendrick, Anderson G.},
  title = {A Contribution to the Mathematical Theory of Epidemics},
  journal = {Proceedings of the Royal Society of London A},
  year = {1927},
  doi = {10.1098/rspa.1927.0118}
}
"""

LOTKA_1920 = """
@article{lotka1920analytical,
  author = {Lotka, Alfred J.},
  title = {Analytical Note on Certain Rhythmic Relations in Organic Systems},
  journal = {Proceedings of the National Academy of Sciences},
  year = {1920},
  doi = {10.1073/pnas.6.7.410}
}
"""

WILKINSON_2011 = """
@book{wilkinson2011stochastic,
  author = {Wilkinson, Darren J.},
  title = {Stochastic Modelling for Systems Biology},
  year = {2011},
  publisher = {CRC Press},
  doi = {10.1201/b11812}
}
"""
