"""Published figures of changed explanations come out of our occlusion and sessions."""

import pytest

from export.bench.published import ModelPair, Repeated, is_same, list_pairs, repeat


@pytest.mark.parametrize(
    "pair", [pair for pair in list_pairs() if "SVC" in pair.change], ids=lambda pair: pair.change + pair.data
)
def test_figures_of_support_vectors(pair: ModelPair) -> None:
    """They do not depend on the version of scikit-learn, so they are the published ones."""
    assert all(map(is_same, repeat(pair)))


def test_another_figure_is_told() -> None:
    """A hundredth is allowed, or a twentieth of a conservation."""

    def repeated(figure: str, published: float, ours: float) -> bool:
        return is_same(Repeated(data="Wine", change="-", figure=figure, published=published, ours=ours))

    assert repeated("overlap", 0.5, 0.505)
    assert not repeated("overlap", 0.5, 0.52)
    assert repeated("conservation", 7.5, 7.4)
    assert not repeated("conservation", 7.5, 7.0)
