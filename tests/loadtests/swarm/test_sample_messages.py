from loadtests.sending.samples import Recorder, Samples
from loadtests.swarm.sample_messages import join, pack, unpack


def _samples(*rows: tuple[float, str | None, str | None, str | None]) -> Samples:
    recorder = Recorder()
    for intended_s, pinned, variant, error in rows:
        times_s = intended_s, intended_s + 0.25, intended_s + 0.5
        recorder.note(times_s=times_s, pinned=pinned, variant=variant, error=error, status=200)
    return recorder.samples()


def _rows(samples: Samples) -> list[tuple[float, str | None, str | None, str | None]]:
    words = (*samples.words, None)
    return [
        (float(at_s), words[pinned], words[variant], words[error])
        for at_s, pinned, variant, error in zip(
            samples.intended_s, samples.pinned, samples.variant, samples.error, strict=True
        )
    ]


def test_what_is_packed_comes_out_as_it_was() -> None:
    """Samples are the same after packing and unpacking."""
    rows = [(0.5, "a", "a", None), (1.0, "b", None, "HTTP 500: no")]
    samples = unpack(pack(_samples(*rows)))
    assert _rows(samples) == rows
    assert samples.done_s.tolist() == [1.0, 1.5]
    assert samples.status.tolist() == [200, 200]


def test_samples_of_several_are_one_in_order_of_time() -> None:
    """Samples of several workers are joined in the order of time, with their words."""
    one, other = [(0.0, "a", "a", None), (2.0, "a", None, "gone")], [(1.0, None, "b", None)]
    assert _rows(join([_samples(*one), _samples(*other)])) == [one[0], other[0], one[1]]


def test_parts_without_requests_do_no_harm() -> None:
    """Parts without samples can be joined."""
    assert _rows(join([_samples(), _samples((0.0, None, "a", None)), unpack(pack(_samples()))])) == [
        (0.0, None, "a", None)
    ]
