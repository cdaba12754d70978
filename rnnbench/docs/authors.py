"""A list of what each architecture and each estimator was compared with, and how it differs."""

from __future__ import annotations

from typing import NamedTuple

PAPER = "the paper's equations"
A = "tests/plugins/architectures/"
STARTS = f"{A}test_authors_code.py::"


class AgainstAuthors(NamedTuple):
    """A row of the table "against the authors' code".

    Attributes:
        code: repository on GitHub, or what was read where there is none.
        equal: what agrees with it.
        other: what differs, and why; empty where nothing is known to.
        test: the test that writes the reference down once more.
    """

    code: str
    equal: str
    other: str
    test: str

    def sentences(self) -> str:
        """Return the row as a paragraph of `rnnbench describe`."""
        other = f" Other: {self.other}." if self.other else ""
        return f"Held against {self.code}. Equal: {self.equal}.{other}".replace(", see below", "")


ARCHITECTURES: dict[str, AgainstAuthors] = {
    "bag-of-words": AgainstAuthors(
        PAPER, "the mean", "words alone, no n-grams: a baseline of order",
        f"{A}test_baselines.py::test_bag_of_words_reads_out_the_mean_of_the_embeddings"),
    "bidirectional": AgainstAuthors(
        "torch", "outputs and gradients", "",
        f"{A}test_bidirectional.py::test_it_equals_torch_over_packed_rows_with_gradients"),
    "clockwork": AgainstAuthors(
        PAPER, "step, starts", "",
        f"{A}test_hierarchies.py::test_clockwork_equals_a_loop_over_units"),
    "da-rnn": AgainstAuthors(
        PAPER, "both stages", "forecasts several steps, from its own output; theirs is of one",
        f"{A}test_forecasting.py::test_da_rnn_is_the_papers_two_stages"),
    "deltanet": AgainstAuthors(
        "fla-org/flash-linear-attention", "block, norms, starts, no biases",
        "inner width of the MLP is `expand` times the model's (theirs 8/3, up to a multiple of "
        "256, most of a small model)",
        f"{STARTS}test_a_block_of_deltanet_is_the_authors"),
    "dilated": AgainstAuthors(
        "code-terminator/DilatedRNN", "layers, fusion of the last outputs",
        "states before the text stay 0 (theirs makes a step on zeros that fill up the last round)",
        f"{A}test_delays.py::test_interleaved_sequences_equal_the_naive_loop_gradients_included"),
    "dlinear": AgainstAuthors(
        "cure-lab/LTSF-Linear", "all, starts included", "reads no covariates",
        f"{A}test_forecasting.py::test_dlinear_maps_the_trend_and_the_rest_of_each_series"),
    "elman": AgainstAuthors(
        "torch", "all, starts included", "",
        "tests/nn/test_cells.py::test_a_fresh_cell_starts_where_torch_starts"),
    "gru": AgainstAuthors(
        "torch", "all, starts included", "",
        "tests/nn/test_cells.py::test_fused_kernel_scan_and_torch_agree_with_copied_weights"),
    "hawk": AgainstAuthors(
        "google-deepmind/recurrentgemma", "block, ring of Λ, starts",
        "W_a and W_x are full (their blocks have 256 channels); the first step of a text is scaled "
        "by √(1 − a²) as in the paper; the root's gradient is not cut at 1000, since half "
        "precision is summed in float32",
        f"{STARTS}test_a_block_of_hawk_is_the_authors_and_starts_as_theirs"),
    "hierarchical": AgainstAuthors(
        PAPER, "update at intervals", "levels are cells by name, simple recurrent ones there",
        f"{A}test_hierarchies.py::test_hierarchical_equals_a_loop_over_units"),
    "hm-lstm": AgainstAuthors(
        PAPER, "cases, slope, output module",
        "no layer norm inside; the slope follows the budget, not epochs",
        f"{A}test_hierarchies.py::test_hm_lstm_equals_a_loop_over_its_case_distinctions"),
    "indrnn": AgainstAuthors(
        "Sunnydreamrain/IndRNN_pytorch", "step, starts, limit after updates, what never decays",
        "no batch norm around the cell, which would mix rows",
        f"{A}test_light.py::test_a_run_holds_limits_after_each_of_its_updates"),
    "influence-balancing": AgainstAuthors(
        PAPER, "system", "",
        "tests/plugins/estimators/test_unbiased.py::test_uoro_is_its_equations_in_a_naive_loop"),
    "lru": AgainstAuthors(
        "NicolasZucchet/minimal-LRU (by others)", "cell, starts, what never decays",
        "RMSNorm before the cell (batch norm after it there, which mixes rows); one learning rate; "
        "exact GELU",
        f"{A}test_diagonal.py::test_lru_is_a_loop_over_complex_numbers"),
    "lstm": AgainstAuthors(
        "torch; salesforce/awd-lstm-lm", "all, starts included",
        "tables of tokens N(0, 1), see below (theirs uniform in ±0.1)",
        "tests/nn/test_cells.py::test_fused_kernel_scan_and_torch_agree_with_copied_weights"),
    "lstnet": AgainstAuthors(
        "laiguokun/LSTNet", "convolution, skips, highway",
        "ReLU in the recurrence as in the paper (their later code: tanh); all steps of the horizon "
        "at once",
        f"{A}test_forecasting.py::test_lstnet_is_the_papers_sum"),
    "mamba": AgainstAuthors(
        "state-spaces/mamba", "block, starts, what never decays",
        "b_Δ never decays either, as in their Mamba-2; other biases and gains do (their training "
        "code is not published)",
        f"{STARTS}test_mamba_starts_with_branches_that_shrink_with_depth"),
    "mdlstm": AgainstAuthors(
        PAPER, "all", "starts as torch's LSTM",
        f"{A}test_grids.py::test_every_direction_equals_its_equations_point_by_point_and_unit_by_unit"),
    "mdrnn": AgainstAuthors(
        PAPER, "all", "starts as torch's",
        f"{A}test_grids.py::test_every_direction_equals_its_equations_point_by_point_and_unit_by_unit"),
    "mgu": AgainstAuthors(
        PAPER, "step", "starts as torch's GRU", f"{A}test_light.py::test_two_steps_of_mgu_by_hand"),
    "mingru": AgainstAuthors(
        "lucidrains/minGRU-pytorch (by others)", "the parallel form in log-space",
        "maps have biases, as in the paper; no factor of expansion",
        "tests/nn/test_linear_scan.py::test_mingru_is_the_paper_s_parallel_form_in_log_space"),
    "minlstm": AgainstAuthors(
        "lucidrains/minGRU-pytorch (by others)", "step",
        "maps have biases, as in the paper",
        "tests/nn/test_linear_scan.py::test_two_steps_of_minlstm_by_hand"),
    "mist": AgainstAuthors(
        "rdipietro/mist-rnns", "step, starts", "",
        f"{STARTS}test_mist_and_tcn_start_as_their_authors_code_does"),
    "n-gram": AgainstAuthors(
        PAPER, "discounts, distribution", "",
        f"{A}test_n_gram.py::test_the_counted_model_reaches_the_tasks_own_baseline"),
    "narx": AgainstAuthors(
        PAPER, "delays", "feeds back hidden states (the original: outputs)",
        f"{A}test_delays.py::test_narx_of_one_delay_is_the_simple_recurrent_network_of_torch"),
    "patchtst": AgainstAuthors(
        "yuqinie98/PatchTST", "patches, norms, positions, starts",
        "scores of a layer are not added to the next one's (theirs are; the paper says nothing of "
        "it); the window's norm has no parameters",
        f"{A}test_forecasting_baselines.py::test_patchtst_is_the_papers_equations"),
    "pointer-generator": AgainstAuthors(
        "abisee/pointer-generator", "mixture, coverage",
        "no words outside the vocabulary; the context is not fed into the next input; starts as "
        "torch's (theirs uniform in ±0.02)",
        f"{A}test_pointers.py::test_a_pointer_generator_mixes_as_the_paper_says"),
    "pointer-network": AgainstAuthors(
        PAPER, "pointing", "the end is a learnt element of the memory",
        f"{A}test_pointers.py::test_a_pointer_network_points_as_the_paper_says"),
    "pointer-sentinel": AgainstAuthors(
        PAPER, "mixture, gate, its own loss", "the window is over batches of a stream too",
        f"{A}test_pointers.py::test_a_pointer_sentinel_mixes_as_the_paper_says"),
    "qrnn": AgainstAuthors(
        "salesforce/pytorch-qrnn", "gates, pooling, starts",
        "zoneout is a trick here; a stream carries the last inputs",
        f"{A}test_light.py::test_qrnn_is_a_masked_convolution_and_a_loop_of_pooling"),
    "ran": AgainstAuthors(
        "kentonl/ran", "step", "W_c x has a bias, which starts at 0; starts as torch's LSTM",
        f"{A}test_light.py::test_two_steps_of_ran_by_hand"),
    "recursive": AgainstAuthors(
        PAPER, "all", "starts as torch's",
        f"{A}test_trees.py::test_recursive_equals_its_equation_node_by_node"),
    "retnet": AgainstAuthors(
        "microsoft/torchscale", "block, γ, angles, norms, starts",
        "scores are not divided by sums over the past, which the norm takes back but for its 1e-6; "
        "MLP and values are whole multiples of the width",
        f"{STARTS}test_a_block_of_retnet_is_the_authors_up_to_the_scale_that_its_norm_takes_back"),
    "s4d": AgainstAuthors(
        "state-spaces/s4", "kernel, starts, what never decays",
        "RMSNorm before the cell; one learning rate; no dropout within the block",
        f"{A}test_diagonal.py::test_s4d_is_the_sampled_differential_equation"),
    "seasonal-naive": AgainstAuthors(
        PAPER, "all", "",
        f"{A}test_forecasting_baselines.py::test_seasonal_naive_repeats_the_last_season"),
    "segrnn": AgainstAuthors(
        "lss-1138/SegRNN", "all, starts included",
        "the task says what is minimised (theirs: the absolute error)",
        f"{A}test_forecasting_baselines.py::"
        "test_segrnn_encodes_segments_and_decodes_each_from_the_same_state"),
    "seq2seq": AgainstAuthors(
        PAPER, "every attention, input feeding, coverage", "starts as torch's",
        f"{A}test_seq2seq.py::test_every_choice_equals_the_papers_loops"),
    "skip": AgainstAuthors(
        PAPER, "step", "starts as torch's", f"{A}test_delays.py::test_two_steps_of_skip_by_hand"),
    "sru": AgainstAuthors(
        "asappresearch/sru", "step, starts",
        "tables of tokens N(0, 1), see below (theirs uniform in ±√(3/H))",
        f"{A}test_light.py::test_sru_starts_as_its_authors_code_does"),
    "tcn": AgainstAuthors(
        "locuslab/TCN",
        "convolutions, starts (torch's: what they write is computed anew), 1×1 map",
        "tables of tokens N(0, 1), see below (theirs N(0, 0.01²) for words, ±0.1 for letters)",
        f"{STARTS}test_mist_and_tcn_start_as_their_authors_code_does"),
    "temporal-attention": AgainstAuthors(
        PAPER, "scores", "reading differences is this plugin's own",
        f"{A}test_forecasting.py::test_temporal_attention_scores_as_the_paper_says"),
    "transformer": AgainstAuthors(
        "torch", "attention, block, starts",
        "rotary positions and a window, so that streams have no end; tables of tokens N(0, 1), see "
        "below (GPT-2: N(0, 0.02²))",
        "tests/nn/test_cells.py::test_attention_depends_on_distance_not_on_position"),
    "tree-lstm": AgainstAuthors(
        "stanfordnlp/treelstm", "child-sum", "starts uniform in ±1/√H; N-ary as in the paper",
        f"{A}test_trees.py::test_child_sum_equals_its_equations_node_by_node_and_unit_by_unit"),
    "xlstm": AgainstAuthors(
        "NX-AI/xlstm", "blocks, norms, starts, what never decays",
        "W and R of an sLSTM are full (a block for each head there): core's fast tiers and tricks "
        "know one recurrent matrix; MLP of 4/3 as in the paper (1.3, up to a multiple of 64)",
        f"{STARTS}test_blocks_of_xlstm_are_the_authors_around_their_memories"),
}  # fmt: skip

UNBIASED = "tests/plugins/estimators/test_unbiased.py::"
EXACT = "tests/plugins/estimators/test_exact.py::"
ESTIMATORS: dict[str, AgainstAuthors] = {
    "e-prop": AgainstAuthors(
        PAPER, "traces, feedback", "of rate units: the paper's spiking neurons are not here",
        f"{EXACT}test_e_prop_of_an_lstm_is_that_of_a_naive_loop"),
    "kf-rtrl": AgainstAuthors(
        PAPER, "update, mean", "norms have 1e-7 added",
        f"{UNBIASED}test_the_mean_over_draws_is_the_exact_gradient_at_one_over_root_n"),
    "nobacktrack": AgainstAuthors(
        PAPER, "update, mean", "without its Kalman filter; norms have 1e-7 added",
        f"{UNBIASED}test_the_mean_over_draws_is_the_exact_gradient_at_one_over_root_n"),
    "rtrl": AgainstAuthors(
        PAPER, "the exact gradient", "",
        f"{EXACT}test_rtrl_of_elman_is_that_of_a_naive_loop_over_units"),
    "snap": AgainstAuthors(
        PAPER, "pattern, gradient", "the influence is held dense: no time is saved",
        f"{EXACT}test_snap_keeps_what_arises_within_n_steps_along_a_ring_of_units"),
    "sparse-attentive-backtracking": AgainstAuthors(
        PAPER, "forward, backward",
        "cuts a step later than the authors' code, where the paper says so",
        "tests/plugins/tricks/test_sparse_attentive_backtracking.py::"
        "test_backward_equals_a_loop_that_detaches_where_the_gradient_stops"),
    "tbptt": AgainstAuthors(
        PAPER, "stretches", "",
        f"{EXACT}test_tbptt_traces_the_last_batchs_errors_back_through_k2_steps"),
    "uoro": AgainstAuthors(
        PAPER, "update, mean", "",
        f"{UNBIASED}test_uoro_is_its_equations_in_a_naive_loop"),
}  # fmt: skip


def rows(compared: dict[str, AgainstAuthors]) -> list[tuple[str, ...]]:
    """Return the cells of a table's rows, with repositories as links and tests by their names."""
    made: list[tuple[str, ...]] = []
    for name, row in compared.items():
        repository, *note = row.code.split(" (")
        link = row.code
        if "/" in repository and "; " not in repository:
            told = "".join(f" ({n}" for n in note)
            link = f"[{repository}](https://github.com/{repository}){told}"
        made.append((f"`{name}`", link, row.equal, row.other or "—", f"`{row.test}`"))
    return made
