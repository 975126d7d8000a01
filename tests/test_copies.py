"""The same audio twice in a corpus: an error between training and test, a warning elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from recipe_mtlvae.corpus import problems
from tests.checked import PAIR, STRONG, TRAINING, checked, copy
from tests.tiny import AUDIO, RATE


def test_out_of_phase_recordings_are_no_copies_of_each_other(root):
    for path, gain in ((f"{AUDIO}/validation_2.wav", 1.0), (f"{TRAINING}/strong_real_4.wav", 0.5)):
        soundfile.write(root / path, gain * PAIR * [1.0, -1.0], RATE)
    check = checked(root)
    assert (problems.errors(check), check.twins) == ([], [])


def test_the_same_audio_in_training_and_test_is_an_error_that_names_both(root):
    copy(root, f"{AUDIO}/validation_2.wav", f"{TRAINING}/strong_real_4.wav")
    (fault,) = problems.errors(checked(root))
    assert str(fault) == (
        f"{root}/{STRONG}: THE SAME AUDIO IN TRAINING AND TEST: 1 clips of 'strong_real' are in 'validation', "
        "such as 'strong_real_4.wav' and 'validation_2.wav'; take their rows out of this table; the audio may stay"
    )


def test_a_copy_in_the_evaluation_set_is_an_error_too(root):
    copy(root, f"{TRAINING}/strong_real_4.wav", "audio/eval/evaluation/any name 0.wav")
    (fault,) = problems.errors(checked(root))
    assert "1 clips of 'strong_real' are in 'evaluation'" in str(fault)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ("audio/train/weak/weak_1.wav", "strong_real: 1 clips have the same audio as ones of weak, such as"),
        (f"{TRAINING}/strong_real_5.wav", "strong_real: 1 of its clips are copies of others, such as"),
        (
            "audio/validation/synthetic21_validation/soundscapes/synthetic_validation_1.wav",
            "strong_real: 1 clips have the same audio as ones of synthetic_validation, such as",
        ),
    ],
)
def test_other_copies_are_warnings(root, other, words):
    copy(root, f"{TRAINING}/strong_real_4.wav", other)
    check = checked(root)
    assert problems.errors(check) == []
    assert any(text.startswith(words) for text in problems.warnings(check))


def test_copies_are_counted_by_clip(root):
    copies = [f"{TRAINING}/strong_real_{number}.wav" for number in (3, 4, 5)]
    for other in (*copies[1:], f"{AUDIO}/validation_2.wav"):
        copy(root, copies[0], other)
    check = checked(root)
    (fault,) = problems.errors(check)
    assert "3 clips of 'strong_real' are in 'validation'" in str(fault)
    assert any(text.startswith("strong_real: 2 of its clips are copies") for text in problems.warnings(check))


def test_silence_is_no_copy_of_silence(root):
    for path in (f"{AUDIO}/validation_2.wav", f"{TRAINING}/strong_real_4.wav"):
        soundfile.write(root / path, np.zeros(2 * RATE), RATE)
    assert problems.errors(checked(root)) == []
    assert checked(root).twins == []
