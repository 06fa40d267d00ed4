"""What the rungs of ladders must not ask."""

import pytest

from refscore.conformance import OPERATIONS
from refscore.conformance.ladders.setting import Setting
from refscore.processes import DDPM, VP, linear_betas


@pytest.mark.parametrize("energies", [False, True])
@pytest.mark.parametrize("process, unfit", [(VP(), "chain"), (DDPM(linear_betas(20)), "sde")], ids=["VP", "chain"])
def test_large_numbers_do_not_saturate_a_network(process, unfit, energies):
    """1 - tanh^2 of 2000 is 0, 1/cosh^2 is not, and both are right."""
    large = [(o.name, r.arguments.get("model")) for o in OPERATIONS.values() if o.needs != unfit
             for r in o.ladder(Setting(process, energies, o.category == "gradient")) if "large numbers" in r.name]
    assert len(large) > 5 and not [name for name, model in large if model and model.kind in ("mlp", "energy_mlp")]


@pytest.mark.parametrize("n", [7, 20, 200])
def test_most_of_the_steps_of_ddim_are_with_eta_0_or_1(n):
    """Some implementations have no others."""
    etas = [r.arguments["eta"] for r in OPERATIONS["ddim_step"].ladder(Setting(DDPM(linear_betas(n)))) if r.arguments["prev_index"]]
    assert sum(eta in (0, 1) for eta in etas) > len(OPERATIONS["ddim_step"].ladder(Setting(DDPM(linear_betas(n))))) / 2
