"""Networks that the engine, the divergences and the families build on, and the classifier of two-sample tests."""

from ampbench.networks.adversary import Adversary, classification_loss, gradient_penalty, loss_and_penalty
from ampbench.networks.classifier import Classifier, train_classifier
from ampbench.networks.conditionals import BernoulliConditional, ImplicitConditional, NormalConditional
from ampbench.networks.embedding import Arrangement, Embedding
from ampbench.networks.residual import ContextFeatures, ResidualMLP

__all__ = [
    "Adversary",
    "Arrangement",
    "BernoulliConditional",
    "Classifier",
    "ContextFeatures",
    "Embedding",
    "ImplicitConditional",
    "NormalConditional",
    "ResidualMLP",
    "classification_loss",
    "gradient_penalty",
    "loss_and_penalty",
    "train_classifier",
]
