"""The built-in tasks, one per file, registered through the plugin hook ``tasks``."""

from __future__ import annotations

from collections.abc import Mapping

from ampbench.hookspecs import Lazy, hookimpl
from ampbench.references import GREENBERG_2019, LUECKMANN_2021, PAPAMAKARIOS_2016, PAPAMAKARIOS_2019
from ampbench_tasks import references as ref

BENCHMARK = "Lueckmann et al. 2021"


def _task(target: str, summary: str, source: str, theta: int, x: int, kind: str, bibtex: str) -> Lazy:
    labels = {"theta": str(theta), "x": str(x), "kind": kind}
    return Lazy(f"ampbench_tasks.{target}", summary, source, labels, bibtex)


@hookimpl
def tasks() -> Mapping[str, Lazy]:
    """Return all built-in tasks by name."""
    return {**_classic(), **_black_boxes(), **_structured()}


def _classic() -> Mapping[str, Lazy]:
    """Return the tasks of Lueckmann et al. 2021."""
    return {
        "bernoulli_glm": _task(
            "bernoulli_glm:BernoulliGLM",
            "spiking neuron, sufficient statistics",
            BENCHMARK,
            10,
            10,
            "exact",
            bibtex=LUECKMANN_2021 + ref.GONCALVES_2020,
        ),
        "bernoulli_glm_raw": _task(
            "bernoulli_glm_raw:BernoulliGLMRaw",
            "spiking neuron, spike train",
            BENCHMARK,
            10,
            100,
            "exact",
            bibtex=LUECKMANN_2021 + ref.GONCALVES_2020,
        ),
        "gaussian_linear": _task(
            "gaussian_linear:GaussianLinear",
            "mean of a Gaussian, conjugate",
            BENCHMARK,
            10,
            10,
            "exact",
            bibtex=LUECKMANN_2021,
        ),
        "gaussian_linear_uniform": _task(
            "gaussian_linear_uniform:GaussianLinearUniform",
            "mean of a Gaussian, in a box",
            BENCHMARK,
            10,
            10,
            "exact",
            bibtex=LUECKMANN_2021,
        ),
        "gaussian_mixture": _task(
            "gaussian_mixture:GaussianMixture",
            "common mean of two Gaussians",
            BENCHMARK,
            2,
            2,
            "exact",
            bibtex=LUECKMANN_2021 + ref.SISSON_2007,
        ),
        "lotka_volterra": _task(
            "lotka_volterra:LotkaVolterra",
            "predators and prey, deterministic",
            BENCHMARK,
            4,
            20,
            "exact",
            bibtex=LUECKMANN_2021 + ref.LOTKA_1920,
        ),
        "sir": _task(
            "sir:SIR", "epidemic, deterministic", BENCHMARK, 2, 10, "exact", bibtex=LUECKMANN_2021 + ref.KERMACK_1927
        ),
        "slcp": _task(
            "slcp:SLCP",
            "simple likelihood, four modes",
            BENCHMARK,
            5,
            8,
            "exact",
            bibtex=LUECKMANN_2021 + PAPAMAKARIOS_2019,
        ),
        "slcp_distractors": _task(
            "slcp_distractors:SLCPDistractors",
            "slcp hidden in noise",
            BENCHMARK,
            5,
            100,
            "exact",
            bibtex=LUECKMANN_2021 + GREENBERG_2019,
        ),
        "two_moons": _task(
            "two_moons:TwoMoons",
            "bimodal, thin crescents",
            BENCHMARK,
            2,
            2,
            "exact",
            bibtex=LUECKMANN_2021 + GREENBERG_2019,
        ),
    }


def _black_boxes() -> Mapping[str, Lazy]:
    """Return the tasks whose simulators are intractable, not differentiable, or separate programs."""
    return {
        "birth_death": _task(
            "birth_death:BirthDeath",
            "linear birth-death process",
            "Kendall 1948",
            2,
            10,
            "exact",
            bibtex=ref.KENDALL_1948,
        ),
        "epidemic": _task(
            "epidemic:Epidemic",
            "agents on a small world",
            "Keeling & Eames 2005",
            3,
            30,
            "forward-only",
            bibtex=ref.KEELING_2005,
        ),
        "external": _task(
            "external:ExternalProgram",
            "birth-death as another program",
            "Kendall 1948",
            2,
            10,
            "exact",
            bibtex=ref.KENDALL_1948,
        ),
        "g_and_k": _task(
            "g_and_k:GAndK",
            "distribution given by its quantiles",
            "Allingham et al. 2009",
            4,
            50,
            "exact",
            bibtex=ref.ALLINGHAM_2009,
        ),
        "ma2": _task(
            "ma2:MA2", "moving average on a triangle", "Marin et al. 2012", 2, 50, "exact", bibtex=ref.MARIN_2012
        ),
        "mg1": _task(
            "mg1:MG1",
            "queue seen by its departures",
            "Shestopaloff & Neal 2014",
            3,
            20,
            "exact",
            bibtex=ref.SHESTOPALOFF_2014,
        ),
        "ricker": _task(
            "ricker:Ricker",
            "chaotic population, Poisson counts",
            "Wood 2010",
            3,
            50,
            "exact",
            bibtex=ref.WOOD_2010 + ref.RICKER_1954,
        ),
        "stochastic_lotka_volterra": _task(
            "stochastic_lotka_volterra:StochasticLotkaVolterra",
            "predators and prey, jump process",
            "Papamakarios & Murray 2016",
            4,
            9,
            "forward-only",
            bibtex=PAPAMAKARIOS_2016 + ref.WILKINSON_2011,
        ),
    }


def _structured() -> Mapping[str, Lazy]:
    """Return the tasks whose graphs have several latent variables; their sizes are options."""
    kind, stored = "structured, exact", "structured, stored"
    return {
        "chain_binomial_sites": _task(
            "chain_binomial_sites:ChainBinomialSites",
            "outbreaks in many towns",
            "Becker 1989",
            12,
            200,
            kind,
            bibtex=ref.BECKER_1989,
        ),
        "collider": _task(
            "collider:Collider",
            "two causes of one effect, bimodal",
            "Pearl 1988, section 2.3",
            2,
            1,
            kind,
            bibtex=ref.PEARL_1988,
        ),
        "diamond": _task(
            "diamond:Diamond",
            "one cause, two ways, one effect",
            "Pearl 1988, section 4.4",
            4,
            1,
            kind,
            bibtex=ref.PEARL_1988,
        ),
        "eight_schools": _task(
            "eight_schools:EightSchools",
            "coaching; observation 1 is real",
            "Rubin 1981",
            10,
            8,
            kind,
            bibtex=ref.RUBIN_1981 + ref.MAGNUSSON_2025,
        ),
        "gaussian_tree": _task(
            "gaussian_tree:GaussianTree",
            "diffusion on a tree, noisy leaves",
            "Felsenstein 1973",
            15,
            8,
            kind,
            bibtex=ref.FELSENSTEIN_1973,
        ),
        "hierarchical": _task(
            "hierarchical:Hierarchical",
            "Gaussian groups with plates",
            "Gelman et al. 2013, chapter 5",
            10,
            40,
            kind,
            bibtex=ref.GELMAN_2013,
        ),
        "irt_1pl": _task(
            "irt_1pl:IRT1PL",
            "answers of students to questions",
            "Rasch 1960",
            41,
            300,
            stored,
            bibtex=ref.RASCH_1960 + ref.SOUNTSOV_2020,
        ),
        "lgssm": _task(
            "lgssm:LGSSM", "linear-Gaussian state space", "Kalman 1960", 10, 10, kind, bibtex=ref.KALMAN_1960
        ),
        "lgssm_theta": _task(
            "lgssm_theta:LGSSMTheta",
            "state space, unknown parameters",
            "Carter & Kohn 1994",
            52,
            50,
            kind,
            bibtex=ref.CARTER_1994,
        ),
        "nile": _task(
            "nile:Nile",
            "local level; observation 1 is real",
            "Durbin & Koopman 2012, chapter 2",
            102,
            100,
            kind,
            bibtex=ref.DURBIN_2012 + ref.COBB_1978,
        ),
        "nonlinear_ssm": _task(
            "nonlinear_ssm:NonlinearSSM",
            "nonlinear state space, multimodal",
            "Gordon et al. 1993",
            10,
            10,
            kind,
            bibtex=ref.GORDON_1993,
        ),
        "radon": _task(
            "radon:Radon",
            "houses in 85 counties; observation 1 is real",
            "Gelman & Hill 2007",
            90,
            919,
            kind,
            bibtex=ref.GELMAN_2007 + ref.PRICE_1996 + ref.MAGNUSSON_2025,
        ),
        "stochastic_volatility": _task(
            "stochastic_volatility:StochasticVolatility",
            "S&P 500; observation 1 is real",
            "Kim et al. 1998",
            103,
            100,
            stored,
            bibtex=ref.KIM_1998 + ref.SOUNTSOV_2020,
        ),
    }
