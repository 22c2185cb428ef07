import numpy as np
import pytest

from scratchac import gradcheck


@pytest.mark.parametrize("name", gradcheck.CHECKS)
@pytest.mark.parametrize("seed", [0, 1])
def test_gradient(name, seed):
    result = gradcheck.run(name, seed)
    assert result.error < gradcheck.TOLERANCE, f"{name}: {result.error:.1e}"
    assert result.control_error > 0.01, f"{result.mistake} was not caught in {name}"


def test_numerical_gradient_of_a_polynomial():
    x = np.array([1.0, -2.0])
    np.testing.assert_allclose(gradcheck.numerical_gradient(lambda: x[0] ** 2 * x[1], x), [-4.0, 1.0], rtol=1e-9)
    assert x.tolist() == [1.0, -2.0]


def test_a_wrong_gradient_fails_the_table():
    bad = gradcheck.Result("f", 3, 0.5, "sign", 2.0)
    toothless = gradcheck.Result("f", 3, 1e-9, "sign", 1e-9)
    assert not bad.passed and not toothless.passed
    assert "FAILED" in gradcheck.table([bad])
