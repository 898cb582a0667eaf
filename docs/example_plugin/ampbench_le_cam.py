r"""Le Cam's divergence, also called triangular discrimination, as a plugin.

.. math:: \int \frac{(p - q)^2}{p + q} = \max_D\; 2 - 4\, \mathbb E_p[(1 - D)^2] - 4\, \mathbb E_q[D^2],
          \qquad D = \frac p{p + q} \;\text{at the maximum}

The adversary is a classifier that descends the squared error; the adversary of the Jensen-Shannon divergence descends
the cross entropy. Both divergences are bounded.

References:
    Le Cam 1986, *Asymptotic methods in statistical decision theory*, https://doi.org/10.1007/978-1-4612-4946-7.
    Nowozin, Cseke, Tomioka 2016, *f-GAN*, arXiv:1606.00709 (variational bounds of f-divergences).
"""

from torch import Tensor, nn

from ampbench import hookimpl
from ampbench.interfaces import Divergence, HasLogRatio, Tuples
from ampbench.networks import Adversary


class LeCam(Divergence, HasLogRatio):
    """Le Cam's divergence.

    Arguments:
        width: units of each hidden layer of the adversary.
    """

    source = "Le Cam 1986"

    def __init__(self, width: int = 128) -> None:
        self.width = width

    def adversary(self, features: int) -> nn.Module:
        """Build a network with one logit per tuple."""
        return Adversary(features, self.width, depth=3)

    def adversary_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return E_p[(1 − D)²] + E_q[D²]: a half minus a quarter of the divergence, at the minimum."""
        return (1 - adversary(p).sigmoid()).square().mean() + adversary(q).sigmoid().square().mean()

    def family_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return −E_q[D²], a quarter of the term of the divergence that depends on q."""
        return -adversary(q).sigmoid().square().mean()


@hookimpl
def divergences() -> dict[str, type[Divergence]]:
    """Add ``le-cam``."""
    return {"le-cam": LeCam}
