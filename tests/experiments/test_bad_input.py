"""What people hand to the programs and cannot be used: one sentence, exit code 2, nothing half-written left behind."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from flashsim.policies.bundle import CARD_FILE, WEIGHTS_FILE, save_policy
from flashsim.scenarios import grocery_evening
from tests.experiments.programs import FEW_SALES, SMALL_SALE, TINY_PPO, Start, files, prefixed, small_world, starter
from tests.made_policies import random_network, random_observations

ROOT = Path(__file__).resolve().parents[2]
TRAIN = ("train", "world.folder=world", *SMALL_SALE, *prefixed("agent", TINY_PPO))
EVALUATE = ("evaluate", "world.folder=world", *SMALL_SALE, *FEW_SALES, "search_ticks=1", "bundles=[bundle]")
RUN = ("run", "world.folder=world")


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    """Starts programs in a folder with a World and a bundle that fits the default sale on it."""
    small_world().save(tmp_path / "world")
    sale = grocery_evening(small_world()).compile()
    save_policy(random_network(sale), tmp_path / "bundle", probes=random_observations(sale, 8))
    return starter(monkeypatch, capsys, tmp_path)


def refusal(start: Start, *arguments: str, output: str = "output/one") -> str:
    """The sentence with which a program refuses its input; nothing may have been written or changed."""
    here = Path.cwd()
    before = {name: (here / name).read_bytes() for name in files(here)}
    ended = start(*arguments, f"output={output}")
    assert ended.code == 2, ended
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1
    assert "Traceback" not in ended.stderr
    assert {name: (here / name).read_bytes() for name in files(here)} == before
    return ended.stderr.removeprefix("error: ").strip()


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("scenario.name=grocery_evning", "unknown name 'grocery_evning'; did you mean 'grocery_evening'"),
        ("scenario.nam=g1", "there is no key scenario.nam (in scenario.nam=g1); did you mean scenario.name?"),
        ("agent.clip_rnge=0.1", "did you mean agent.clip_range?"),
        ("agent=dqm", "there is no option agent=dqm; did you mean agent=dqn?"),
        ("agent.steps=many", "agent.steps must be a whole number, got 'many'"),
        (
            "agent.heads=[price]",
            "agent: action heads: unknown 'price'; choose from discount, timing, capacity, admission",
        ),
        ("agent.scaler=magic", "agent: action scaler: unknown 'magic'"),
        ("agent.max_discount=7", "agent: action max_discount must be between 0 and 1, got 7"),
        ("agent.min_servers=-1", "agent: action min_servers must be between 0 and"),
        ("agent.name=秒杀", "and letters that are not English: \"agent.name='秒杀'\""),
        ("agent.device=gpu", "agent.device must be one of auto, cpu, cuda, got 'gpu'"),
        ("agent.layers=64", "agent.layers"),
        ("seed=null", "seed must be a whole number, got null"),
        ("scenario.ticks=0", "ticks must be between 1 and 100000, got 0"),
        ("scenario.waves=[[200,1]]", "waves: one is due at tick 200, the sale has 65 ticks; release it earlier"),
        ("scenario.depths=[0.1,0.2]", "depths must ascend from 0, got (0.1, 0.2)"),
        ("scenario.depths=[0,0.55]", "the data support depths up to 0.5, got 0.55"),
        ("scenario.stock_cover=-1", "stock_cover"),
        ("world.folder=nowhere", "nowhere"),
        ("world.folder=bundle", "bundle"),
        ("agent.heads=[discount,wheel]", "unknown 'wheel'; choose from discount, timing, capacity"),
    ],
)
def test_a_training_refuses_what_it_cannot_use(start: Start, argument: str, words: str) -> None:
    assert words in refusal(start, *TRAIN, argument)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("agent.steps=0", "steps"),
        ("agent.steps=-5", "steps"),
        ("agent.torch_threads=0", "torch_threads"),
        ("agent.learning_rate=-1", "learning_rate"),
        ("agent.learning_rate=.nan", "learning_rate"),
        ("agent.final_rate=2", "final_rate"),
        ("agent.gamma=1.5", "gamma"),
        ("agent.layers=[]", "layers"),
        ("agent.layers=[0]", "layers"),
        ("agent.evaluations=0", "evaluations"),
        ("agent.evaluation_sales=1", "evaluation_sales"),
        ("agent.imitation_updates=0", "imitation_updates"),
        ("agent.decide_every=0", "decide_every"),
        ("agent.name=''", "name"),
        ("agent.name=../up", "name"),
        ("agent.rollout_steps=0", "rollout_steps"),
        ("agent.batch_size=0", "batch_size"),
        ("agent.epochs=0", "epochs"),
        ("agent.gae_lambda=2", "gae_lambda"),
        ("agent.clip_range=0", "clip_range"),
        ("agent.entropy=-1", "entropy"),
        ("agent.entropy_until=0", "entropy_until"),
        ("seed=-1", "seed"),
        ("seed=9999999999", "seed"),
    ],
)
def test_a_setting_outside_its_range_is_refused_with_its_value(start: Start, argument: str, words: str) -> None:
    sentence = refusal(start, *TRAIN, argument)
    assert words in sentence
    assert argument.partition("=")[2].strip(".[]'") in sentence


@pytest.mark.parametrize(
    "argument",
    [
        "sales=0",
        "batch_size=0",
        "gradient_steps=0",
        "buffer=5",
        "learning_starts=-1",
        "learning_starts=1500000",
        "target_interval=0",
        "average_share=0",
        "exploration_final=2",
        "exploration_until=0",
    ],
)
def test_a_setting_of_dqn_outside_its_range_is_refused_with_its_value(start: Start, argument: str) -> None:
    sentence = refusal(start, "train", "agent=dqn", "world.folder=world", *SMALL_SALE, f"agent.{argument}")
    name, _, value = argument.partition("=")
    assert name in sentence
    assert value in sentence


def test_cuda_that_is_absent_is_refused_before_anything_is_made(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "there is no CUDA device here" in refusal(start, *TRAIN, "agent.device=cuda")
    assert "there is no CUDA device here" in refusal(start, *RUN, "learners.dqn.device=cuda")


@pytest.mark.parametrize("name", ["world.json", "world.safetensors"])
def test_a_tampered_or_truncated_world_is_refused(start: Start, tmp_path: Path, name: str) -> None:
    path = tmp_path / "world" / name
    whole = path.read_bytes()
    middle = whole.index(b"Product 1") if name == "world.json" else len(whole) - 9
    for damaged in (whole[: len(whole) // 2], whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]):
        path.write_bytes(damaged)
        assert name in refusal(start, *TRAIN)


@pytest.mark.parametrize("name", [CARD_FILE, WEIGHTS_FILE])
def test_a_tampered_or_truncated_bundle_is_refused(start: Start, tmp_path: Path, name: str) -> None:
    path = tmp_path / "bundle" / name
    whole = path.read_bytes()
    middle = whole.index(b"none") if name == CARD_FILE else len(whole) - 9
    for damaged in (whole[: len(whole) // 2], whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]):
        path.write_bytes(damaged)
        assert name in refusal(start, *EVALUATE)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("bundles=[]", "expected folders of exported policies, got none"),
        ("bundles=[nowhere]", "nowhere"),
        ("bundles=[world]", "world"),
        ("bundles=[bundle,bundle]", "'random network'"),
        ("scenario.depths=[0,0.2]", "train it on this sale"),
        ("scenario.name=g1", "'g1' is evaluated exactly by experiments.train"),
        ("scenario.name=grocery", "did you mean 'grocery_evening'"),
        ("evaluation.sales=0", "sales"),
        ("evaluation.threads=0", "threads"),
        ("evaluation.resamples=99", "resamples must be between 100 and"),
        ("evaluation.confidence=1.5", "confidence"),
        ("evaluation.seed=-1", "seed"),
        ("search_ticks=-1", "search_ticks"),
    ],
)
def test_an_evaluation_refuses_what_it_cannot_use(start: Start, argument: str, words: str) -> None:
    assert words in refusal(start, *EVALUATE, argument)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("scenario.name=g1", "'g1' has no members to hold out; use experiments.train for it"),
        ("scenario.name=grocery", "did you mean 'grocery_evening'"),
        ("search_ticks=1000", "search_ticks must be at least what a learner trains on"),
        ("learners.ppo.steps=50", "for PPO on 'grocery_evening', got 50: it learns from 4 rollouts"),
        ("learners.ppo.name=dqn", "name"),
        ("learners.ppo.name=DQN", "two policies would be called 'DQN'"),
        (
            "learners=[ppo,nobody]",
            "there is no option learners=nobody; choose from dqn, maskable_ppo, ppo, qrdqn, tensor_ppo",
        ),
        ("learners=[ppo,dqm]", "did you mean learners=dqn?"),
        ("learners={nobody: {}}", "there is no option learners=nobody"),
        ("learners=[ppo,ppo]", "learners: two of them are called 'ppo'; name each once"),
        ("learners={ppo: {steps: 9}, ppo: {}}", "learners: two of them are called 'ppo'; name each once"),
        ("learners={dqn: {clip_range: 1}}", "there is no key learners.dqn.clip_range"),
        ("learners.ppo.clip_rnge=1", "did you mean learners.ppo.clip_range?"),
        ("learners={ppo: {steps: many}}", "learners.ppo.steps must be a whole number, got 'many'"),
        ("learners=[]", "learners: expected at least one of ppo"),
        ("+learners.qrdqn={}", "name all that there shall be, as in learners=[ppo,qrdqn]"),
        ("+learners@learners.more=ppo", "two policies would be called 'PPO'"),
        ("closure_sales=0", "closure_sales"),
        ("evaluation.sales=0", "sales"),
        ("world.folder=nowhere", "nowhere"),
    ],
)
def test_a_run_refuses_what_it_cannot_use(start: Start, argument: str, words: str) -> None:
    assert words in refusal(start, *RUN, argument)


def test_a_report_refuses_what_is_no_evaluation(start: Start, tmp_path: Path) -> None:
    assert "evaluation: expected the folder of a finished run" in refusal(start, "report")
    assert "nowhere" in refusal(start, "report", "evaluation=nowhere")
    (tmp_path / "world" / "evaluation.json").write_text("{}")
    assert "does not describe an evaluation" in refusal(start, "report", "evaluation=world")
    (tmp_path / "world" / "evaluation.json").write_text('{"comparison": {"moon": 1}, "context": {}}')
    assert "world" in refusal(start, "report", "evaluation=world")


def test_missing_data_are_refused(start: Start, tmp_path: Path) -> None:
    assert "nowhere" in refusal(start, "calibrate", "world.data=nowhere")
    assert "expected one of all, early_weeks" in refusal(start, "calibrate", "world.view=next_year", "world.data=.")
    (tmp_path / "empty").mkdir()
    assert "empty" in refusal(start, "train", "world.data=empty")


def test_an_output_that_cannot_be_written_is_refused(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    assert "file" in refusal(start, *TRAIN, output="file/below")
    assert "file" in refusal(start, *TRAIN, output="file")
    assert "already holds files" in refusal(start, *TRAIN, output="world")


def test_the_command_line_itself_ends_with_one_sentence_and_code_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "experiments.train",
            f"world.folder={tmp_path / 'nowhere'}",
            f"output={tmp_path / 'out'}",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
