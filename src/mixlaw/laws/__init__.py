"""Every published law behind one interface; see `mixlaw.laws.base`."""

from mixlaw.laws.additive import Additive, AdditiveJoint
from mixlaw.laws.autoscale import Autoscale
from mixlaw.laws.bivariate import Bivariate
from mixlaw.laws.chinchilla import Chinchilla
from mixlaw.laws.exponential import Exponential
from mixlaw.laws.gbdt import Gbdt
from mixlaw.laws.gp import GaussianProcess
from mixlaw.laws.mean import Mean
from mixlaw.laws.pairwise import Pairwise
from mixlaw.laws.ridge import Ridge
from mixlaw.laws.transfer import Transfer

LAWS = {
    law.name: law
    for law in (
        Mean,
        Chinchilla,
        Autoscale,
        Transfer,
        Bivariate,
        Exponential,
        Additive,
        AdditiveJoint,
        Pairwise,
    )
}
"""Name -> law, from the simplest on."""

REGRESSORS = {regressor.name: regressor for regressor in (Ridge, GaussianProcess, Gbdt)}
"""Name -> regressor, from the simplest on."""
