"""Files that are written whole or not at all: their modes, their names in errors, and paths that are no plain files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from recipe_mtlvae.errors import RecipeError, exit_code_of, fail, printable
from recipe_mtlvae.files import atomic_write, file_stamp, output_file, refuse_pipe, write_text


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_file_has_the_mode_that_the_umask_says(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "x", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == mode


def test_a_failed_write_names_the_file_and_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="No space") as caught, atomic_write(tmp_path / "x"):
        raise OSError(28, "No space left on device")
    assert caught.value.filename == str(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_name_of_the_longest_length_is_written_and_a_longer_one_is_named(tmp_path):
    for name in ("x" * 255, "ö" * 127):
        write_text(tmp_path / name, "x")
        assert (tmp_path / name).read_text() == "x"
    with pytest.raises(OSError, match="File name too long") as caught:
        write_text(tmp_path / ("x" * 256), "x")
    assert caught.value.filename == str(tmp_path / ("x" * 256))


def test_an_error_about_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, atomic_write(tmp_path / "x"):
        (tmp_path / "y").read_text()
    assert caught.value.filename == str(tmp_path / "y")


@pytest.mark.parametrize("kind", ["folder", "device or pipe"])
def test_a_folder_a_pipe_and_a_device_are_not_replaced(tmp_path, kind):
    place = tmp_path / "x"
    place.mkdir() if kind == "folder" else os.mkfifo(place)
    for path in (place, tmp_path / "link"):
        if not path.exists():
            path.symlink_to(place)
        with pytest.raises(RecipeError, match=f"x: --out: expected a file, this is a {kind}|link: --out: expected"):
            output_file(path, "--out")
    with pytest.raises(RecipeError, match="device or pipe"):
        output_file(Path("/dev/null"), "--out")


def test_a_link_stays_and_its_target_is_written(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_text(output_file(tmp_path / "link", "--out"), "x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "x"


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x")
    with pytest.raises(RecipeError, match="x: is a pipe"):
        refuse_pipe(tmp_path / "x")
    refuse_pipe(tmp_path / "missing")


def test_a_missing_file_has_its_own_stamp(tmp_path):
    (tmp_path / "x").write_text("abc")
    assert file_stamp(tmp_path / "x") == (3, (tmp_path / "x").stat().st_mtime_ns)
    assert file_stamp(tmp_path / "y") == (-1, -1)


def test_characters_that_a_terminal_would_act_on_are_escaped(capsys):
    assert printable("a\x1b[31m\n\u202e\udcff") == "a\\x1b[31m\\n\\u202e\\udcff"
    assert printable("Hund, 犬, 10\u00a0s") == "Hund, 犬, 10\u00a0s"

    def refuse() -> None:
        raise fail("label \x1b]0;x\x07", path="a\nb")

    assert exit_code_of(refuse) == 1
    assert capsys.readouterr().err == "error: a\\nb: label \\x1b]0;x\\x07\n"


def test_a_full_standard_output_is_reported_in_one_line():
    code = "import sys; from recipe_mtlvae.errors import exit_code_of; sys.exit(exit_code_of(lambda: print(1)))"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "error: standard output: No space left on device\n")
