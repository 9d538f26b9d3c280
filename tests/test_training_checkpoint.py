"""Checkpoints that are cut short, altered, half-written or poisoned: the last good one is what counts."""

import errno
import json
import os
import pickle
import random
import resource
import signal
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from envs.errors import InterludeError
from policies import folders
from policies.audience.listener_model import load_listener_model
from policies.audience.taste_embedding import taste_model
from policies.networks import BiddingActor, CreativeActor, NetworkSettings
from training import checkpoint as store
from training.checkpoint import Checkpoint, Counters
from training.configuration import load_training
from training.critic import Critic
from training.warm_up import WarmUp

TRUTH_SIZES = (40, 60)
FILES = ("weights.safetensors", "optimizer.safetensors", "manifest.json")
NEWEST, PREVIOUS = "checkpoint", "checkpoint.previous"


def a_state(iteration: int) -> Checkpoint:
    """What a run of full size saves: three real networks and Adam's two moments, a number in every place."""
    settings = NetworkSettings()
    networks = {
        "creative/actor": CreativeActor(settings),
        "bidding/actor": BiddingActor(settings),
        "orchestrator_critic/critic": Critic(settings, "shared", TRUTH_SIZES),
    }
    values: dict[str, Tensor] = {
        f"{path}.{name}": torch.full_like(tensor, float(iteration))
        for path, network in networks.items()
        for name, tensor in network.state_dict().items()
    }
    moments = {
        f"{name}/{moment}": tensor.clone()
        for name, tensor in values.items()
        for moment in ("first", "second")
    }
    counters = Counters(iteration, iteration * 100, 1.5 * iteration)
    return Checkpoint(counters, WarmUp({}, TRUTH_SIZES), values, moments)


def test_policies_are_saved_with_the_listeners_model_of_the_base_team(tmp_path: Path) -> None:
    configuration = load_training("quick").model_copy(update={"networks": NetworkSettings()})
    assert configuration.base_team == "listener-aware"
    store.save_policies(tmp_path / "run", a_state(1), configuration)
    manifest = tmp_path / "run" / "audience" / "manifest.json"
    written = manifest.stat()
    found = load_listener_model(manifest.parent)
    assert (found.taste.whitening == taste_model(configuration.load_scenario()).whitening).all()
    store.save_policies(tmp_path / "run", a_state(2), configuration)  # it does not learn: written once
    assert manifest.stat() == written
    plain = configuration.model_copy(update={"base_team": "pid"})
    store.save_policies(tmp_path / "plain", a_state(1), plain)
    assert not (tmp_path / "plain" / "audience").exists()


def assert_whole(found: Checkpoint) -> None:
    """All numbers come from one and the same save."""
    number, wanted = float(found.counters.iteration), a_state(1)
    assert found.weights.keys() == wanted.weights.keys()
    assert found.moments.keys() == wanted.moments.keys()
    assert all((tensor == number).all() for tensor in (found.weights | found.moments).values())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory with the checkpoints of iterations 1 and 2."""
    for iteration in (1, 2):
        store.save(tmp_path, a_state(iteration))
    return tmp_path


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "two bytes flipped":
        changed = bytearray(data)
        for place in (len(data) // 2, len(data) - 2):
            changed[place] ^= 0xFF
        path.write_bytes(changed)
    else:
        path.write_bytes(data[: len(data) // 2] if how == "truncated" else b"")


@pytest.mark.parametrize("how", ["truncated", "zero bytes", "missing", "two bytes flipped"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named_and_the_checkpoint_before_is_used(run: Path, name: str, how: str) -> None:
    damage(run / NEWEST / name, how)
    found, faults = store.load(run)
    assert found.counters.iteration == 1
    assert_whole(found)
    assert len(faults) == 1
    assert str(run / NEWEST / name) in faults[0]
    assert (run / "checkpoint.damaged").is_dir()  # kept, to be looked at
    store.save(run, a_state(5))
    assert store.load(run)[0].counters.iteration == 5


@pytest.mark.parametrize("how", ["truncated", "zero bytes", "missing", "two bytes flipped"])
def test_without_a_good_checkpoint_every_fault_is_named(run: Path, how: str) -> None:
    damage(run / NEWEST / "weights.safetensors", how)
    damage(run / PREVIOUS / "optimizer.safetensors", how)
    with pytest.raises(InterludeError) as told:
        store.load(run)
    assert told.value.exit_code == 1
    for path in (run / NEWEST / "weights.safetensors", run / PREVIOUS / "optimizer.safetensors"):
        assert str(path) in str(told.value)


def test_every_byte_of_the_tensors_is_under_the_sum(run: Path) -> None:
    path = run / NEWEST / "weights.safetensors"
    data = path.read_bytes()
    drawn = random.Random(0)
    for _ in range(25):
        changed = bytearray(data)
        changed[drawn.randrange(len(data))] ^= 1 << drawn.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(folders.DamagedFileError, match=r"weights\.safetensors is damaged: its SHA-256"):
            folders.read_folder(run / NEWEST)
    path.write_bytes(data)
    folders.read_folder(run / NEWEST)


def test_every_number_of_the_manifest_is_under_its_own_sum(run: Path) -> None:
    path = run / NEWEST / "manifest.json"
    data = path.read_bytes()
    name = data.index(folders.OWN_SUM.encode())  # a sum by another name is none: such a folder is from before
    digits = [i for i, byte in enumerate(data) if chr(byte).isdigit() and not 0 <= i - name < 15]
    for i in random.Random(0).sample(digits, 25):
        other = b"1" if data[i : i + 1] != b"1" else b"2"
        path.write_bytes(data[:i] + other + data[i + 1 :])
        with pytest.raises(folders.DamagedFileError, match=r"manifest\.json"):
            folders.read_manifest(run / NEWEST)
    manifest = json.loads(data)
    del manifest[folders.OWN_SUM]  # as it was before
    path.write_text(json.dumps(manifest))
    folders.read_folder(run / NEWEST)


class Bomb:
    """Writes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("name", FILES)
def test_a_pickle_in_a_checkpoint_is_never_loaded(run: Path, name: str) -> None:
    exploded = run / "exploded"
    data = pickle.dumps(Bomb(exploded))
    if name != "manifest.json":  # with sums that are right, as whoever plants one would give them
        manifest, files = folders.read_folder(run / NEWEST)
        planted = folders.with_manifest({**files, name: data}, manifest)
        (run / NEWEST / "manifest.json").write_bytes(planted["manifest.json"])
    (run / NEWEST / name).write_bytes(data)
    found, faults = store.load(run)
    assert found.counters.iteration == 1
    assert str(run / NEWEST / name) in faults[0].replace("checkpoint.damaged", NEWEST)
    assert not exploded.exists()
    pickle.loads(data).close()
    assert exploded.exists()  # the bomb is a real one


def test_a_file_that_may_not_grow_leaves_the_last_good_checkpoint(run: Path) -> None:
    """The kernel itself refuses the write half way, as a full disk or a quota does."""
    size = (run / NEWEST / "weights.safetensors").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))
    try:
        with pytest.raises(InterludeError, match=rf"cannot write .*checkpoint: {os.strerror(errno.EFBIG)}"):
            store.save(run, a_state(3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    found, faults = store.load(run)
    assert (found.counters.iteration, faults) == (2, [])
    assert_whole(found)
    store.save(run, a_state(4))
    assert store.load(run)[0].counters.iteration == 4


@pytest.mark.parametrize("call", ["fsync", "rename", "mkdir"])
def test_a_full_disk_leaves_a_good_checkpoint_wherever_it_strikes(
    run: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No space at any of the calls that write: each of them in turn, the first time and every later time."""
    holder = folders.os if call == "fsync" else Path
    real, strikes = getattr(holder, call), 0
    for strike in range(1, 8):
        calls = 0

        def full(*arguments: object, strike: int = strike, **settings: object) -> object:
            nonlocal calls
            calls += 1
            if calls >= strike:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*arguments, **settings)

        before = store.load(run)[0].counters.iteration
        with monkeypatch.context() as patch:
            patch.setattr(holder, call, full)
            try:
                store.save(run, a_state(before + 1))
            except InterludeError as error:
                assert "No space left on device" in str(error)
                strikes += 1
        found, faults = store.load(run)
        assert faults == [] or "missing" in faults[0]
        assert found.counters.iteration in (before, before + 1)
        assert_whole(found)
    assert strikes >= 1


def save_without_pause(run: Path, states: list[Checkpoint], ready: int) -> None:
    """A forked process: the code of a real save on a state of real size, until it is killed."""
    torch.set_num_threads(1)
    os.write(ready, b"!")
    for step in range(1_000_000):
        store.save(run, states[step % len(states)])
    os._exit(1)


def kill_while_saving(run: Path, kills: int, seed: int) -> set[str]:
    """SIGKILLs a process that saves, again and again; which folders were there after each."""
    drawn, seen = random.Random(seed), set()
    store.save(run, a_state(1))
    for kill in range(kills):
        states = [a_state(10 * kill + step) for step in (2, 3)]
        told, ready = os.pipe()
        process = os.fork()
        if process == 0:
            save_without_pause(run, states, ready)
        os.read(told, 1)
        time.sleep(drawn.uniform(0.0, 0.08))
        os.kill(process, signal.SIGKILL)
        assert os.WTERMSIG(os.waitpid(process, 0)[1]) == signal.SIGKILL
        for end in (told, ready):
            os.close(end)
        seen.add(" ".join(sorted(path.name for path in run.iterdir())))
        found, faults = store.load(run)
        assert faults == [] or not (run / NEWEST).exists(), faults
        assert found.counters.iteration <= 10 * kill + 3
        assert_whole(found)
    return seen


def test_a_few_kills_while_saving_leave_a_good_checkpoint(tmp_path: Path) -> None:
    kill_while_saving(tmp_path, kills=5, seed=1)


@pytest.mark.slow
def test_a_hundred_kills_while_saving_leave_a_good_checkpoint(tmp_path: Path) -> None:
    seen = kill_while_saving(tmp_path, kills=100, seed=0)
    assert any("checkpoint.new" in names for names in seen)  # some struck in the middle of a save


@pytest.mark.parametrize("moment", range(1, 5))
def test_a_kill_between_any_two_steps_of_a_save_leaves_a_good_checkpoint(
    run: Path, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends before the renaming, removing and making of folders that a save consists of."""

    class Killed(BaseException):
        pass

    steps = 0

    def counted(real: object) -> object:
        def step(*arguments: object, **settings: object) -> object:
            nonlocal steps
            steps += 1
            if steps == moment + 1:
                raise Killed
            return real(*arguments, **settings)  # type: ignore[operator]

        return step

    with monkeypatch.context() as patch:
        patch.setattr(folders.shutil, "rmtree", counted(folders.shutil.rmtree))
        patch.setattr(Path, "mkdir", counted(Path.mkdir))
        patch.setattr(Path, "rename", counted(Path.rename))
        with pytest.raises(Killed):
            store.save(run, a_state(3))
    found, faults = store.load(run)
    assert found.counters.iteration == 2
    assert all("missing" in fault for fault in faults)
    assert_whole(found)
    store.save(run, a_state(4))
    assert store.load(run)[0].counters.iteration == 4
