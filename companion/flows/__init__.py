"""Normalizing flows: distributions made by invertible maps, fitted to data or to a density.

`Flow` is the Keras model, and its `fit` maximum likelihood; `fit_to_density` is variational inference, the direction
that needs the reparameterization trick. `coupling_flow`, `autoregressive_flow`, `planar_flow` and `radial_flow` make
whole flows; `FlowPosterior` is one inside of `companion.VAE`.
"""

from companion.flows.density import FreeEnergy, FreeEnergyHistory, fit_to_density, free_energy
from companion.flows.makers import autoregressive_flow, coupling_flow, planar_flow, radial_flow
from companion.flows.model import Cost, Flow
from companion.flows.posterior import FlowPosterior

__all__ = [
    "Cost",
    "Flow",
    "FlowPosterior",
    "FreeEnergy",
    "FreeEnergyHistory",
    "autoregressive_flow",
    "coupling_flow",
    "fit_to_density",
    "free_energy",
    "planar_flow",
    "radial_flow",
]
