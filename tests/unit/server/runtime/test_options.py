from __future__ import annotations

import onnxruntime as ort
import pytest

from eais.errors import ModelRejected
from eais_server.devices.driver import RunSettings, SessionSettings
from eais_server.runtime.options import check_entry, run_options, session_options


def test_the_defaults_are_onnxruntimes_own_but_for_threads_and_the_log() -> None:
    made, plain = session_options(SessionSettings(), 3), ort.SessionOptions()
    for name in (
        *("graph_optimization_level", "execution_mode", "enable_mem_pattern", "enable_mem_reuse"),
        *("enable_cpu_mem_arena", "use_deterministic_compute", "enable_profiling"),
        *("optimized_model_filepath", "execution_order"),
    ):
        assert getattr(made, name) == getattr(plain, name), name
    assert (made.intra_op_num_threads, made.inter_op_num_threads) == (3, 3)
    assert made.log_severity_level == 4


@pytest.mark.parametrize("level", [0, 1, 2, 3, 99])
def test_levels_are_numbered_as_onnxruntime_does(level: int) -> None:
    made = session_options(SessionSettings(graph_optimization_level=level), 1)
    assert made.graph_optimization_level == ort.GraphOptimizationLevel(level)


def test_what_the_caller_asks_for_arrives() -> None:
    settings = SessionSettings(
        execution_mode=1,
        mem_pattern=False,
        cpu_mem_arena=False,
        deterministic_compute=True,
        config_entries={"session.set_denormal_as_zero": "1"},
    )
    made = session_options(settings, 1)
    assert made.execution_mode == ort.ExecutionMode.ORT_PARALLEL
    assert not made.enable_mem_pattern
    assert not made.enable_cpu_mem_arena
    assert made.use_deterministic_compute
    assert made.get_session_config_entry("session.set_denormal_as_zero") == "1"


@pytest.mark.parametrize(
    "settings",
    [SessionSettings(graph_optimization_level=7), SessionSettings(execution_mode=2)],
)
def test_numbers_that_mean_nothing_are_refused(settings: SessionSettings) -> None:
    with pytest.raises(ModelRejected) as caught:
        session_options(settings, 1)
    assert caught.value.reason == "OPTION_REFUSED"


REFUSED = [
    "ep.context_enable",
    "ep.context_file_path",
    "ep.context_model_external_initializers_file_name",
    "session.optimized_model_external_initializers_file_name",
    "session.optimized_model_filepath",
    "session.model_external_initializers_file_folder_path",
    "session.collect_node_memory_stats_to_file",
    "session.node_partition_config_file",
    "session.moe_expert_counter_state_file",
    "session.save_model_format",
    "session.save_external_prepacked_constant_initializers",
    "session.load_model_format",
    "session.use_ort_model_bytes_directly",
    "session.use_memory_mapped_ort_model",
    "session.intra_op_thread_affinities",
    "session.intra_op_num_threads",
    "session.use_per_session_threads",
    "session.use_env_allocators",
    "session.enable_profiling",
    "session.debug_layout_transformation_DUMP",
    "session.log_severity_level",
    "",
    "x" * 200,
    "a\0b",
]


@pytest.mark.parametrize("key", REFUSED)
def test_entries_that_reach_the_host_are_refused(key: str) -> None:
    with pytest.raises(ModelRejected) as caught:
        session_options(SessionSettings(config_entries={key: "1"}), 1)
    assert caught.value.reason == "OPTION_REFUSED"
    with pytest.raises(ModelRejected):
        run_options(RunSettings({key: "1"}))


@pytest.mark.parametrize("value", ["/etc/passwd", "a/b", "x" * 4096, "\0"])
def test_values_that_look_like_places_are_refused(value: str) -> None:
    with pytest.raises(ModelRejected):
        check_entry("session.set_denormal_as_zero", value)


@pytest.mark.parametrize(
    "key",
    [
        "session.set_denormal_as_zero",
        "session.disable_prepacking",
        "session.intra_op.allow_spinning",
        "session.inter_op.allow_spinning",
        "session.disable_quant_qdq",
        "session.qdqisint8allowed",
        "session.strict_shape_type_inference",
        "session.dynamic_block_base",
        "optimization.enable_gelu_approximation",
        "optimization.disable_specified_optimizers",
        "mlas.use_lut_gemm",
        "memory.enable_memory_arena_shrinkage",
        "disable_synchronize_execution_providers",
    ],
)
def test_entries_that_tune_the_answer_alone_are_let_through(key: str) -> None:
    check_entry(key, "cpu:0")


@pytest.mark.parametrize("key", ["some.future.library_path", "ep.x.Library", "session.custom_ops"])
def test_entries_that_load_operators_are_refused_as_such(key: str) -> None:
    with pytest.raises(ModelRejected) as caught:
        check_entry(key, "x")
    assert caught.value.reason == "OP_REFUSED"
    assert caught.value.metadata == {"op": "custom-op library"}
