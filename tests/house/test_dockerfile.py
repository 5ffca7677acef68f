import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def stages() -> dict[str, list[str]]:
    """The instructions of each build stage by the stage's name, continuation lines joined."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if match := re.match(r"FROM \S+ AS (\w+)", line):
            found[match[1]] = []
        elif line and not line.startswith("#"):
            found[list(found)[-1]].append(line)
    return found


def test_every_file_that_is_copied_exists_and_reaches_the_build() -> None:
    """A renamed file fails this test, before it fails a build of the image."""
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for instructions in stages().values():
        for line in instructions:
            if line.startswith("COPY "):
                for source in line.split()[1:-1]:
                    assert (ROOT / source).exists(), source
                    assert source in allowed, source


def test_the_commands_are_the_makefiles() -> None:
    """The image is built by the Makefile's targets and starts the same command."""
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = re.findall(r"RUN make (\w+)", (ROOT / "Dockerfile").read_text())
    assert len(used) == 2
    assert set(used) <= targets
    assert "counterweight serve models" in (ROOT / "Makefile").read_text()
    assert any('CMD ["counterweight", "serve", "models"' in line for line in stages()["serve"])


def test_the_serving_image_has_no_torch_and_no_root() -> None:
    """The image installs the serving extra, copies only the serving rooms, and runs as an ordinary user."""
    serve = stages()["serve"]
    assert any(line.startswith("RUN make setup EXTRAS=serve,postgres ") for line in serve)
    assert not any("export" in line or "loadtests" in line for line in serve)
    assert "USER 10001" in serve
    assert any(line.startswith("HEALTHCHECK") and "/v2/health/ready" in line for line in serve)
