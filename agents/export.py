"""From a trained model to a bundle that runs without torch: weights, card, probes, ONNX, and the SB3 zip beside it.

ONNX and zip hold the network alone: guard-rails and masks are those of ``NetworkPolicy``.
"""

import io
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from stable_baselines3.common.base_class import BaseAlgorithm

from agents.learner import GreedyNetwork
from flashsim.envs.actions import ActionCodec, ActionConfig
from flashsim.envs.features import observation_table
from flashsim.envs.sb3 import make_sb3
from flashsim.errors import InputError
from flashsim.policies.bundle import NetworkPolicy, save_policy
from flashsim.policies.guardrails import Rails
from flashsim.scenarios.compiled import CompiledSale

PROBES = 64
ONNX_FILE = "policy.onnx"
ZIP_FILE = "sb3.zip"
_ONNX_OPSET = 17
_ONNX_IR = 8  # the one that goes with opset 17; runtimes refuse the newest, which is what onnx writes by default
_ONNX_NODE = {"tanh": "Tanh", "relu": "Relu"}


def network_policy(
    network: GreedyNetwork, sale: CompiledSale, *, name: str, action: Mapping[str, Any], training: Mapping[str, Any]
) -> NetworkPolicy:
    """The policy of ``network`` as plain arrays; InputError when it is more than layers with activations between.

    A masked one takes its masks along: they follow from what it observes.
    """
    modules = network.modules
    linear = [module for module in modules if isinstance(module, torch.nn.Linear)]
    activations = {torch.nn.Tanh: "tanh", torch.nn.ReLU: "relu"}
    used = {activations[type(module)] for module in modules if type(module) in activations}
    if len(used) != 1 or len(linear) * 2 - 1 != len(modules):
        raise InputError(f"export: expected linear layers with one kind of activation between, got {modules}")
    codec = ActionCodec(sale, ActionConfig(**action))
    return NetworkPolicy(
        name=name,
        action=asdict(codec.config),
        head_sizes=codec.head_sizes,
        observation=tuple(feature.name for feature in observation_table(sale)),
        weights=tuple(layer.weight.detach().cpu().numpy().astype(np.float32) for layer in linear),
        biases=tuple(layer.bias.detach().cpu().numpy().astype(np.float32) for layer in linear),
        activation=used.pop(),
        training=training,
        rails=Rails(**codec.rails(is_masked=network.is_masked)),
        choices=codec.meanings(),
    )


def export(policy: NetworkPolicy, model: BaseAlgorithm, folder: Path, *, sale: CompiledSale, seed: int) -> None:
    """Write the bundle of ``policy`` to ``folder``: weights and card, ONNX, and the model's zip for training on."""
    packed = io.BytesIO()
    model.save(packed)
    beside = {ONNX_FILE: onnx_bytes(policy), ZIP_FILE: packed.getvalue()}
    save_policy(policy, folder, probes=collect_probes(sale, policy, seed=seed), beside=beside)


def collect_probes(sale: CompiledSale, policy: NetworkPolicy, *, seed: int) -> NDArray[np.float32]:
    """Observations that ``policy`` itself meets, from start to end of a few training sales."""
    rows = 4
    env = make_sb3(sale, num_envs=rows, seed=seed, action=ActionConfig(**policy.action), members=sale.training_members)
    observation: NDArray[np.float32] = env.reset()
    seen = [observation]
    for _ in range(sale.all_ticks // ActionConfig(**policy.action).every - 1):
        env.step_async(policy.act(observation))
        observation, _, _, _ = env.step_wait()
        seen.append(observation)
    every = np.concatenate(seen)
    return every[np.linspace(0, len(every) - 1, min(PROBES, len(every))).astype(np.int64)]


def onnx_bytes(policy: NetworkPolicy) -> bytes:
    """The network as an ONNX model: ``observation`` (sale, feature) to ``scores`` (sale, output), float32."""
    nodes, tensors, current = [], [], "observation"
    last = len(policy.weights) - 1
    for layer, (weight, bias) in enumerate(zip(policy.weights, policy.biases, strict=True)):
        tensors += [numpy_helper.from_array(weight, f"weight_{layer}"), numpy_helper.from_array(bias, f"bias_{layer}")]
        out = "scores" if layer == last else f"sum_{layer}"
        nodes.append(helper.make_node("Gemm", [current, f"weight_{layer}", f"bias_{layer}"], [out], transB=1))
        current = out
        if layer < last:
            nodes.append(helper.make_node(_ONNX_NODE[policy.activation], [current], [f"hidden_{layer}"]))
            current = f"hidden_{layer}"
    graph = helper.make_graph(
        nodes,
        "policy",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["sale", len(policy.observation)])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["sale", sum(policy.head_sizes)])],
        initializer=tensors,
    )
    opsets = [helper.make_opsetid("", _ONNX_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_ONNX_IR, producer_name="flashsim")
    helper.set_model_props(model, {"name": policy.name, "head_sizes": str(list(policy.head_sizes))})
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
