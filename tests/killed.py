"""A training that is killed right after its state was saved, for the tests of resuming."""

from pathlib import Path

from ctstyle.run.checkpoint import Checkpoint


class Killed(BaseException):
    """As SIGKILL: nothing catches it."""


class KilledAfter(Checkpoint):
    """Saves after every step and dies after step `stop`."""

    stop: int = 0

    def due(self) -> bool:
        """After every step."""
        return True

    def save(self, parts, history) -> None:
        """Save, then die if it is time."""
        super().save(parts, history)
        if len(history) == self.stop:
            raise Killed


def killed_and_resumed(train, folder: Path, stop: int):
    """What `train(checkpoint)` returns when it was killed after step `stop` and ran again; its segments are two."""
    path = folder / ".model-train-0.state"
    dying = KilledAfter(path=path, fingerprint="f")
    dying.stop = stop
    try:
        train(dying)
    except Killed:
        assert path.exists()
    else:
        raise AssertionError(f"the training never came to step {stop}")
    again = Checkpoint(path=path, fingerprint="f")
    result = train(again)
    assert [one["steps"][0] for one in again.segments] == [1, stop + 1] and again.segments[0]["steps"][1] == stop
    assert not list(folder.glob(".*"))
    return result
